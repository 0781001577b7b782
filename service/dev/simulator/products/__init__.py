"""Products of Planning Center: their entities, and the generation of their data."""
