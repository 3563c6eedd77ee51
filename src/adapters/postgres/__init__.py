"""PostgreSQL. SQLAlchemy Core is the language, asyncpg runs it (docs/decisions/0001)."""
