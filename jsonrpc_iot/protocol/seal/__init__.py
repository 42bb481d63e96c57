"""Sealed links: packets that only who holds a key can make or read."""
