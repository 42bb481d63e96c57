"""What a NovaCloud platform keeps: the contracts, and databases that fulfil them."""
