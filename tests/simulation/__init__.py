"""Deterministic simulation: the whole engine against a simulated broker, store, database, API and clock, by a seed.

The product's own code decides, keeps records, reads leases, counts and projects: `agents.core.context.step` over
`agents.core.batch`, the deciders, the timers, `agents.activities`, the fetcher's turns and offsets, the projector's
rows. Simulated is what stands around it, with every misfortune that the real parts were seen to have. One seed is one
history, the same each time: `python -m tests.simulation --seed 7 --verbose`.

Reading order: broker (logs, groups, what a crash leaves behind), fate (dying, wrong clocks, answers that take their
time), worker, outside and fetcher, projector (one life of a process each), fleet (who lives, who is a zombie), clients
(what comes in), world (who does what next), journal and check (what must hold), controls (what must be caught).
"""
