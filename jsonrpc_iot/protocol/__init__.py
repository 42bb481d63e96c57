"""The wire protocol without I/O: no sockets, no clock, no event loop, no logging."""
