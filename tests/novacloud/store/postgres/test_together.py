"""What many ask at the same time goes in one statement, and each gets an answer of its own."""

from collections.abc import Callable, Mapping, Sequence

import anyio
import pytest

from jsonrpc_iot.novacloud.errors import StoreDamaged, StoreFailed
from jsonrpc_iot.novacloud.store.postgres.together import Together
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


class Asked:
    """Answers when it is told to.

    Attributes:
        groups: that it was asked about.
        may_answer: is waited for before each answer.
        failure: what is wrong with a group, if there is something.
    """

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_answer = anyio.Event()
        self.failure: Callable[[Sequence[str]], StoreFailed | None] = lambda ids: None
        self.together = Together(self._ask)
        self.answers: dict[str, list[str] | None] = {}
        self.failed: dict[str, StoreFailed] = {}

    async def _ask(self, ids: Sequence[str]) -> Mapping[str, list[str]]:
        self.groups.append([*ids])
        await self.may_answer.wait()
        if (failure := self.failure(ids)) is not None:
            raise failure
        return {id: [id] for id in ids if id != "unknown"}

    async def about(self, id: str) -> None:
        try:
            self.answers[id] = await self.together.about(id)
        except StoreFailed as error:
            self.failed[id] = error


async def ask_at_once(asked: Asked, *ids: str) -> None:
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for id in ids:
                tasks.start_soon(asked.about, id)
            await anyio.wait_all_tasks_blocked()
            asked.may_answer.set()


async def test_what_is_asked_meanwhile_goes_together() -> None:
    asked = Asked()
    await ask_at_once(asked, "a", "b", "c", "unknown", "b")
    assert sorted(id for group in asked.groups for id in group) == ["a", "b", "b", "c", "unknown"]
    assert len(asked.groups) <= 3
    assert all(len({*group}) == len(group) for group in asked.groups)  # no two share an answer
    assert asked.answers == {"a": ["a"], "b": ["b"], "c": ["c"], "unknown": None}


async def test_who_is_cancelled_takes_nobody_along() -> None:
    asked = Asked()
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as leading:
            leading.start_soon(asked.about, "a")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(asked.about, "b")
            tasks.start_soon(asked.about, "c")
            await anyio.wait_all_tasks_blocked()
            leading.cancel_scope.cancel()
            asked.may_answer.set()
    assert asked.answers == {"b": ["b"], "c": ["c"]}
    assert asked.groups[0] == ["a"]
    assert "a" not in asked.groups[1]


async def test_what_fails_fails_for_all_who_asked() -> None:
    asked = Asked()
    asked.failure = lambda ids: StoreFailed("away")
    await ask_at_once(asked, "a", "b", "c")
    assert {id: error.message for id, error in asked.failed.items()} == dict.fromkeys("abc", "away")
    assert len({*map(id, asked.failed.values())}) == 3


async def test_what_is_wrong_with_one_costs_no_other_its_answer() -> None:
    asked = Asked()
    asked.failure = lambda ids: StoreDamaged("damaged") if "b" in ids else None
    await ask_at_once(asked, "a", "b", "c", "d")
    assert asked.answers.keys() == {"a", "c", "d"}
    assert asked.failed.keys() == {"b"}
