"""HTTP and WebSocket, clients and servers."""
