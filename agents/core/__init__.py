"""The core of the engine: pure processing of one delivery, whatever the kind of workflow.

Reading order: decision (what a decider answers), registry (the kinds), processor (a batch's records, in order), step
(one delivery), context (what a step reads, writes and sends), requests, timers, outbox, retry.
"""
