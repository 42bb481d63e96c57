"""A house in bad weather: hundreds of callers with equal ids, and all that they need is killed.

`python -m tests.gateway.chaos` runs it and prints a table; `make chaos` does. The gateway, its
devices and the broker are processes of their own. Each call has a key of its own, and the devices
note each execution in a file, so that what was run can be compared with what the callers were told.
"""
