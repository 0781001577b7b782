"""The benchmark: the whole pipeline beside a bare loop on the same API and the same PostgreSQL, in turns.

One step everywhere: GET a page of 25 records (about 7.6 kB), store them with one commit (fsync on). The floor runs
the step in a loop with nothing around it. The engine's pages are read in sequence, too: each names the next.

Reading order: shapes, pages (speed beside the floors), flat, decisions, limited, restart, table; then what they stand
on: environment (API and database), cluster (broker and processes), engine, api, stub. `peers` are other engines.
"""
