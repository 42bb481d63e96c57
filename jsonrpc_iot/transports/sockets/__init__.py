"""Streams of bytes: TCP, TLS and pipes."""
