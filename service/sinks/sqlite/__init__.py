"""The sink in SQLite, with the standard library."""
