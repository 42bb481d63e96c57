"""What a server counts of the calls that it answers, where it is to count; see `book`."""
