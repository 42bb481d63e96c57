"""The peer in C99."""
