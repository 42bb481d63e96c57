"""Being a node: a lease, and the devices that are this node's."""
