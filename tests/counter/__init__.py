"""A third kind of workflow, plugged into the engine as any other: a counter with a timer, a child and an action.

Nothing of the core knows it. Reading order: commands, state, decider, kind.
"""
