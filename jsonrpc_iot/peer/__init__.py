"""One end of a connection: the calls that it makes and those that it answers."""
