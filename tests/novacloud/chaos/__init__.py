"""A storm over several nodes: they, their database and their bus are killed, frozen and cut off.

`python -m tests.novacloud.chaos` runs it and prints a table; `make chaos` does. The nodes, and the
devices, are processes of their own. Each command has a number of its own, and so has each report of
a device; devices note what they do, and in the end that is compared with the database.
"""
