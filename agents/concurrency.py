"""Concurrency limits: how much of what one process does at the same time. All of them stand here."""

# Of a fetcher.
COMMANDS = 512  # leases and actions in flight
COMMANDS_PER_CONNECTION = 8
UNITS_PER_LEASE = 8  # pages, or parents, of one lease that are fetched at the same time
COMMITS_AHEAD = 8  # pages of a chain that wait for their commit while the next one is fetched
COMMIT_BATCHES = 4
COMMIT_BATCHES_PER_TABLE = (
    2  # a locked table holds up so many; with one, a single table takes a fifth to a quarter less
)
TABLE_READS = 2  # of parents; of each table one
DATABASE_BATCHES = 2  # of openings of runs, and of closings: a third would only share the database's time
INTERRUPTION_BATCHES = 1  # of each kind of call that counts interruptions: few, and only after a process has ended
RESULT_BATCHES = 4  # requests to the broker that report results
REQUESTS_PER_CONNECTION = 8  # to an API, unless its connection says otherwise
REQUESTS_PER_CONNECTION_MAX = 64  # that a connection may say
SOCKETS = 512  # to all APIs together
LARGE_BODIES = 1  # that are parsed at the same time: parsed, one takes up to ten times its bytes

# Database connections of a process.
# No kind of call waits for another kind's.
SINK_CONNECTIONS = COMMIT_BATCHES + TABLE_READS + 2 * DATABASE_BATCHES + INTERRUPTION_BATCHES
STATUS_CONNECTIONS = 2

# Of the embedded broker.
JAR_DOWNLOADS = 8
