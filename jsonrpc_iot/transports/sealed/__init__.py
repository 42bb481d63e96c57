"""`?psk=env:NAME`: links sealed with a shared key, over transports without TLS of their own."""
