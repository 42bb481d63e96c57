"""A platform as one of several nodes."""
