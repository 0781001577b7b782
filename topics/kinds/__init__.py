"""The commands of each kind of workflow: its key pattern, its own topics, and what it takes and sends."""
