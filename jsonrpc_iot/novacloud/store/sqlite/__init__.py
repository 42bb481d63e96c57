"""The database that comes along: one SQLite file."""
