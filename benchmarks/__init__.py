"""Programs that measure this package against its targets, the floor of its parts and its peers."""
