"""The sink on PostgreSQL, with asyncpg."""
