"""Chaos on the real parts: Kafka, PostgreSQL, worker, fetcher and projector processes, and what befalls them.

`python -m tests.chaos --seed 7 --minutes 2` keeps asking for syncs while faults drawn by the seed come and go, heals
everything, waits for quiet, and lets the independent checker decide. Reading order: `catalogue` (which faults there
are), `faults` (what each does), `site` (what it is done to), `story` (what happens when), `verdict`.
"""
