"""What a platform has to do with the other nodes of its record."""
