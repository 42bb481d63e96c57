"""Messages as bytes: JSON and MessagePack."""
