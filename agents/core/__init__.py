"""The core of the engine: pure processing of one event, whatever the kind of workflow."""
