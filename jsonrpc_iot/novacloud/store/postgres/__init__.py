"""The store in PostgreSQL, which several nodes share; needs the extra `postgres`, and asyncio."""
