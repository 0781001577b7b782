"""The sink in PostgreSQL, with asyncpg."""
