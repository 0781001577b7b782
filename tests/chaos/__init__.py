"""Chaos experiments on the real parts: Kafka, PostgreSQL, and worker, fetcher and projector processes.

`python -m tests.chaos --seed 7 --minutes 2` keeps requesting syncs while faults drawn by the seed come and go, heals
everything, waits for quiet, and lets the independent checker decide. Reading order: `catalogue` (which faults there
are), `faults` (what each does), `system` (what it is done to), `experiment` (what happens when), `verdict`.
"""
