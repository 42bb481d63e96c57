"""Programs of other interpreters: they tell what they see in lines of JSON, and take orders so."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream


def interpreter(variable: str, program: str) -> str:
    """The interpreter that has a program, as an environment variable names it; skips without."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no interpreter with {program}")
    return python


class Foreign:
    """A program that says `ready`, and tells each change of an entity's state.

    Args:
        process: it.
    """

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        self._orders = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.states: dict[str, Any] = {}

    async def _read(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(await self._lines.receive_until(b"\n", 1 << 20))
        if "entity" in line:
            self.states[line["entity"]] = line["state"]
        return line

    async def ready(self) -> dict[str, Any]:
        """Wait until it is ready; what it says then."""
        while "ready" not in (line := await self._read()):
            pass
        return line

    async def until(self, states: Mapping[str, Any]) -> None:
        """Wait until entities are in states."""
        while not states.items() <= self.states.items():
            await self._read()

    async def until_text(self, entity: str, part: str) -> None:
        """Wait until an entity shows a text with a part in it."""
        while part not in str(self.states.get(entity)):
            await self._read()

    async def order(self, **what: object) -> None:
        await self._orders.send(json.dumps(what).encode() + b"\n")


FOLDER = Path(__file__).parent

F = TypeVar("F", bound=Foreign)


@asynccontextmanager
async def foreign(kind: type[F], python: str, script: str, *arguments: object) -> AsyncIterator[F]:
    """Run a script of this folder by another interpreter."""
    command = [python, str(FOLDER / script), *map(str, arguments)]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            yield kind(process)
        finally:
            process.kill()
