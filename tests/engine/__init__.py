"""The one in-memory engine: the product's own code over a broker, stores, a database and an API in memory.

The product decides, keeps records, reads leases, schedules, counts and projects: `agents.core`, the deciders, the
timers, `agents.activities`, the fetcher's queue and offsets, the projector's rows. In memory is what stands around it,
with every fault that the real parts were seen to have. `Engine` runs one process of each role without faults;
`tests.simulation` runs many of them with faults by a seed.

Reading order: clock, broker (logs, groups, what a crash leaves behind), faults (crash points, wrong clocks, slow
answers), process (one life of it), worker, outside and fetcher, projector, engine.
"""
