"""Clients made from a description: an OpenRPC document in, the source of a program out.

`document` reads what a device says of itself into the model, and trusts none of it; `python` and
`typescript` write what the model says. None of them has any I/O of its own.
"""
