"""Once is once: thousands of calls over bad links to devices that are stopped and killed.

`python -m tests.peer.lossy.chaos` runs it and prints a table; `make chaos` does. Devices and
callers are processes of their own. Each call has a key of its own, and a device notes each
execution in a file, so that what was run can be compared with what the callers were told.
"""
