"""What is remembered: one record per workflow, its states, and how they are stored. Answers "what is true"."""
