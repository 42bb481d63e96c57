"""What nodes of one platform tell each other: hints, on a bus that may lose them."""
