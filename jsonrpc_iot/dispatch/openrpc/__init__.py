"""The description of a dispatcher as an OpenRPC document."""
