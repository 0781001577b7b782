"""Decider of an entity sync: the run's lifecycle, the window of leases, retries, and the commands that follow."""
