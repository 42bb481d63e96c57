"""What a platform knows as lines of JSON, to be taken to another database."""
