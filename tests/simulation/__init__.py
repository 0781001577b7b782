"""Deterministic simulation: the whole engine against a simulated broker, store, database, API and clock, by a seed.

The product's own code decides, keeps records, reads leases and counts: `agents.room.step` over `agents.strict.batch`,
the deciders, the timers, `agents.activities`. Simulated is what stands around it, with every misfortune that the real
parts were seen to have. One seed is one history, the same each time: `python -m tests.simulation --seed 7`.

Reading order: broker (what a crash leaves behind), worker, fetcher, world (who does what next), check.
"""
