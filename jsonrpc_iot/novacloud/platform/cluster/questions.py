"""Asking all other nodes what no record keeps, by hints; who does not answer soon is left out.

An answer may come in parts, since a bus carries little at once. Each part says how many there are.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Generic, TypeVar

import anyio
import msgspec
from msgspec import Raw, Struct

from ...bus.bus import Bus
from ...bus.subjects import is_subject, subject
from ...errors import StoreFailed
from ...store.nodes import Nodes
from ..node.membership import Membership

A = TypeVar("A")

_PATIENCE = 0.5


class Answers(Struct, Generic[A], frozen=True):
    """What other nodes have answered.

    Args:
        parts: of all of them.
        unheard: the names of those that have not answered in time.
    """

    parts: Sequence[A] = ()
    unheard: Sequence[str] = ()


class _Question(Struct, frozen=True, array_like=True):
    """Where to answer, and what about."""

    answer: str
    about: str


class _Part(Struct, frozen=True, array_like=True):
    """Part `place` of the `count` of a node's answer."""

    node: int
    place: int
    count: int
    content: Raw


_questions = msgspec.json.Decoder(_Question)
_parts = msgspec.json.Decoder(_Part)


class Questions:
    """Asks other nodes, and answers them.

    Args:
        nodes: of the record.
        membership: this node's.
        bus: carries questions and answers; either may be lost.
    """

    def __init__(self, nodes: Nodes, membership: Membership, bus: Bus) -> None:
        self._nodes = nodes
        self._membership = membership
        self._bus = bus
        self._tellers: dict[str, Callable[[str], Sequence[Any]]] = {}
        self._numbers = count()

    def answer(self, topic: str, tell: Callable[[str], Sequence[Any]]) -> None:
        """Say what this node answers.

        Args:
            topic: of questions.
            tell: makes the parts of an answer, at least one and each of 7,000 bytes at most, of
                what the question is about.
        """
        self._tellers[topic] = tell

    async def ask(self, topic: str, about: str, kind: type[A]) -> Answers[A]:
        """What all other nodes have to say, within 0.5 s.

        Args:
            topic: of the question.
            about: what it is about.
            kind: of the parts of answers.
        """
        waited = await self._others()
        found: list[A] = []
        if waited and self._bus.health().bus == "ok":
            with anyio.move_on_after(_PATIENCE):
                await self._hear(topic, about, kind, waited, found)
        return Answers(found, sorted(waited.values()))

    async def _hear(
        self, topic: str, about: str, kind: type[A], waited: dict[int, str], found: list[A]
    ) -> None:
        """Ask, and hear until all those that are waited for have answered."""
        heard: dict[int, dict[int, A]] = {number: {} for number in waited}
        here = subject("told", str(self._membership.lease.number), str(next(self._numbers)))
        async with self._bus.subscribe(here) as hints:
            question = msgspec.json.encode(_Question(here, about))
            self._bus.publish(subject("asked", topic), question)
            async for hint in hints:
                with suppress(msgspec.DecodeError):  # lost in part, or of another version
                    part = _parts.decode(hint.payload)
                    parts = heard.get(part.node, {})
                    parts[part.place] = msgspec.json.decode(part.content, type=kind)
                    if part.node in waited and len(parts) == part.count:
                        del waited[part.node]
                        found += parts.values()
                        if not waited:
                            return

    async def _others(self) -> dict[int, str]:
        """The names of the other nodes, as far as they are known."""
        if self._membership.is_alone:
            return {}
        try:
            nodes = await self._nodes.nodes()
        except StoreFailed:
            return {}
        own = self._membership.lease.number
        return {each.number: each.node for each in nodes if each.number != own}

    async def run(self) -> None:
        """Answer, unless there is nobody else."""
        if self._membership.is_alone:
            return
        async with self._bus.subscribe("asked.*") as hints:
            async for hint in hints:
                with suppress(msgspec.DecodeError):  # that of a lost hint, or of another version
                    self._answer(hint.subject.rpartition(".")[2], _questions.decode(hint.payload))

    def _answer(self, topic: str, question: _Question) -> None:
        tell, number = self._tellers.get(topic), self._membership.lease.number
        there = question.answer
        is_ours = there.startswith(f"told.{number}.")
        if tell is None or is_ours or not there.startswith("told.") or not is_subject(there):
            return
        parts = tell(question.about)
        for place, content in enumerate(parts):
            part = (number, place, len(parts), content)
            self._bus.publish(there, msgspec.json.encode(part))
