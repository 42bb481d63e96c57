"""Runs that go through a whole table at once on each event loop, and what each case gave there."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from .model import Case

T = TypeVar("T")

Outcome = tuple[list[bytes], list[object]] | Exception
"""The messages that a case got back and the values that handlers recorded, or what went wrong."""

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "asyncio+uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run_on(backend: str, function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function to its end on the event loop of that name."""
    library, options = BACKENDS[backend]
    return anyio.run(function, backend=library, backend_options=options)


def check_outcome(case: Case, outcome: Outcome, backend: str) -> None:
    """Fail unless the case came out as it must; the failure names the event loop."""
    try:
        if isinstance(outcome, Exception):
            raise outcome
        case.check(*outcome)
    except Exception as error:
        error.add_note(f"on {backend}")
        raise
