"""A lamp that answers on a pipe and on TCP at once."""

import sys
from functools import partial
from typing import Annotated

from msgspec import Meta

from jsonrpc_iot import Dispatcher, run

lamp = Dispatcher()
state = {"level": 0}


@lamp.method("lamp.set")
def set_level(level: Annotated[int, Meta(ge=0, le=100)]) -> int:
    """Set the brightness in percent; returns what it was."""
    previous, state["level"] = state["level"], level
    lamp.emit("lamp.changed", state)
    return previous


if __name__ == "__main__":
    run(
        lamp,
        *sys.argv[1:] or ["pipe://lamp", "tcp://127.0.0.1:8805"],
        on_listening=partial(print, flush=True),
    )
