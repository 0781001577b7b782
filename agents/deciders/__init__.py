"""The pure core: `decide(state, command, at)` and `owed(state)` for each kind of workflow."""
