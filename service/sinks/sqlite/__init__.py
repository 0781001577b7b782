"""The sink on SQLite, with the standard library."""
