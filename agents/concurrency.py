"""Concurrency limits: how much of what one process does at the same time. All of them stand here."""

# Of a fetcher.
COMMANDS = 512  # leases and actions in flight
COMMANDS_PER_CONNECTION = 8
UNITS_PER_LEASE = 8  # pages, or parents, of one lease that are fetched at the same time
COMMITS_AHEAD = 8  # pages of a chain that wait for their commit while the next one is fetched
DATABASE_BATCHES = 2  # of each kind of call: a third would only share the database's time
RESULT_BATCHES = 4  # requests to the broker that report results
REQUESTS_PER_CONNECTION = 8  # to an API, unless its connection says otherwise
REQUESTS_PER_CONNECTION_MAX = 64  # that a connection may say
SOCKETS = 512  # to all APIs together
LARGE_BODIES = 1  # that are parsed at the same time: parsed, one takes up to ten times its bytes

# Database connections of a process.
SINK_CONNECTIONS = 8
STATUS_CONNECTIONS = 2

# Of the embedded broker.
JAR_DOWNLOADS = 8
