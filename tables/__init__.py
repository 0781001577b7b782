"""Records of workflows: one per workflow, with its state, and how they are stored."""
