"""How many files a process may have open, since each device needs one."""

import sys
from contextlib import suppress
from math import inf

_SPARE = 128
"""Descriptors for the database, the management and the rest of the program."""


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, where the system has such limits."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems' hard limit has no end, and is refused
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_of_files() -> float:
    """How many files may be open; infinite where the system has no such limit."""
    if sys.platform == "win32":
        return inf
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft


def room_for_devices() -> float:
    """How many devices may be connected, so that there are descriptors for everything else."""
    limit = limit_of_files()
    return limit if limit == inf else max(limit - _SPARE, limit // 2)
