"""What a NovaCloud platform keeps, and the database that comes along."""
