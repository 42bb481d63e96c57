"""Ctrl-C while the program `jsonrpc-iot` is being loaded: it ends at once, and says nothing.

Loading takes a moment, and an exception raised in the midst of it would show a traceback. So
this module comes first, and does nothing where another program loads the package.
"""

import os.path
import signal
import sys

_NAMES = ("jsonrpc-iot", "jsonrpc_iot")


def _is_program() -> bool:
    """Whether it is this package's program that starts, by its script or with `python -m`."""
    words = sys.argv or [""]
    if words[0] == "-m":
        return sys.orig_argv[-len(words)].removeprefix("-m") == _NAMES[1]
    name, _ = os.path.splitext(os.path.basename(words[0]))  # pathlib takes a moment to load
    return name.removesuffix("-script") in _NAMES


def catch_again() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt`, now that there is somebody to catch it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _is_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
