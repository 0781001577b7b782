"""States of each kind of workflow, with their transitions."""
