"""Deterministic simulation: random histories of the in-memory engine (tests.engine), by a seed, with every fault.

One seed is one history, the same each time: `python -m tests.simulation --seed 7 --verbose`.

Reading order: fleet (the processes of a role), clients (requests, cancels, bad messages), world (one history), journal
and check (what must hold), waiting (who waits in vain), controls (builds without one protection, to be caught).
"""
