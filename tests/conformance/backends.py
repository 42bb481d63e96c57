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


class Failures:
    """What is wrong with some cases of a table that are checked in one test.

    Attributes:
        found: an exception for each of these cases, which its notes name.
    """

    def __init__(self) -> None:
        self.found: list[Exception] = []

    def check(self, case: Case, outcome: Outcome) -> None:
        """Note what is wrong with what a case gave, if anything is."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            case.check(*outcome)
        except Exception as error:  # noqa: BLE001  # all of them are raised in the end
            error.add_note(f"case {case.name}")
            self.found.append(error)

    def raise_all(self) -> None:
        """Fail if anything was wrong."""
        if self.found:
            raise ExceptionGroup(f"{len(self.found)} cases went wrong", self.found)
