"""The core of the engine: pure processing of one delivery, whatever the kind of workflow.

Reading order: decision (what a decider answers), registry (the kinds), processor (one step), context (a batch of
steps), timers, retry.
"""
