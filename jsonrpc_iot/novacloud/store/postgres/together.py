"""Questions about one device each, that many ask at the same time, put in one statement.

When a node dies its devices come to the others all at once. One statement for each would keep those
who want to send a command waiting.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import anyio
from msgspec import Struct

from ...errors import CONFINED, StoreFailed

T = TypeVar("T")

_MOST = 500


class _Question(Struct, Generic[T], eq=False):
    """About whom, and the answer once `is_answered`."""

    device_id: str
    answer: T | None = None
    error: StoreFailed | None = None
    is_answered: bool = False


class Together(Generic[T]):
    """Asks about all devices at once about which somebody wants to know something.

    There is one statement at a time, and what is asked meanwhile goes with the next one. Of those
    who wait, the first that gets its turn asks for all.

    Args:
        ask: answers about some devices, as far as there is an answer.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._ask = ask
        self._questions: list[_Question[T]] = []
        self._turn = anyio.Lock()

    async def about(self, device_id: str) -> T | None:
        """What is to be known of a device, as it is at a moment after this was called.

        Raises:
            StoreFailed: it cannot be known.
        """
        question = _Question[T](device_id)
        self._questions.append(question)
        try:
            async with self._turn:
                while not question.is_answered:
                    await self._answer(self._next_group())
        finally:
            if not question.is_answered:  # who is cancelled wants to know no more
                self._questions.remove(question)
        if question.error is not None:
            raise question.error
        return question.answer

    def _next_group(self) -> dict[str, _Question[T]]:
        """Questions that go together; of each device one, since no two get the same answer."""
        group: dict[str, _Question[T]] = {}
        for question in self._questions:
            group.setdefault(question.device_id, question)
            if len(group) >= _MOST:
                break
        return group

    async def _answer(self, group: Mapping[str, _Question[T]]) -> None:
        try:
            found = await self._ask([*group])
        except StoreFailed as error:
            if len(group) > 1 and isinstance(error, CONFINED):
                for id, question in group.items():
                    await self._answer({id: question})
                return
            for question in group.values():
                question.error = StoreFailed(error.message) if len(group) > 1 else error
                question.is_answered = True
        else:
            for id, question in group.items():
                question.answer = found.get(id)
                question.is_answered = True
        self._questions = [each for each in self._questions if not each.is_answered]
