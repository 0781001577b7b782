"""Published state: what the journal says, in tables that people and the command line read. Never a side effect."""
