"""The server: a dispatcher at its URLs."""
