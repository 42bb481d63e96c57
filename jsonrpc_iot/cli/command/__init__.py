"""What a command line is made of: declared by functions, parsed, explained and completed.

A command is a function whose parameters are annotated with an `Argument` or an `Option`. The
standard library alone is used, and only what a command needs is loaded: a call is over before a
larger parser has started.
"""
