"""Serial lines: ports, Tuya frames and their DataPoints."""
