"""Calls that are running: with middleware, in threads, item by item, in batches."""
