"""RPC over HTTP: the server, the client, and what others have."""
