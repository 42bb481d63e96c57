"""Channels made of other channels: nothing that a channel can do is lost in them."""

import inspect
from typing import Any, cast

import pytest

from jsonrpc_iot import Channel
from jsonrpc_iot.channel.wrappers import WrappedChannel

pytestmark = pytest.mark.anyio

# `extra` looks up what it is asked for in `extra_attributes`.
_OF_ITS_OWN = ("extra", "offer_to", "rest")
NAMES = [name for name in dir(Channel) if not name.startswith("_") and name not in _OF_ITS_OWN]


class Inner:
    """Has every name of a channel; notes what is called, and answers with the same."""

    def __init__(self) -> None:
        self.called: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> Any:
        member = getattr(Channel, name)
        if not callable(member):
            return (name,)

        def answer(*arguments: object) -> tuple[object, ...]:
            self.called.append((name, *arguments))
            return (name, *arguments)

        async def answer_later(*arguments: object) -> tuple[object, ...]:
            return answer(*arguments)

        return answer_later if inspect.iscoroutinefunction(member) else answer


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrapped_channel_does_what_the_inner_one_does(name: str) -> None:
    inner = Inner()
    wrapped = getattr(WrappedChannel(cast(Channel, inner)), name)

    member = getattr(Channel, name)
    if not callable(member):
        assert wrapped == (name,)
        return
    signature = inspect.signature(member)
    arguments = [object() for _ in list(signature.parameters)[1:]]
    answer = wrapped(*arguments)
    if inspect.isawaitable(answer):
        answer = await answer
    assert inner.called == [(name, *arguments)]
    if signature.return_annotation not in (None, "None"):
        assert answer == (name, *arguments)


def test_nothing_is_offered_behind_the_back_of_a_wrapper() -> None:
    inner = Inner()
    wrapped = WrappedChannel(cast(Channel, inner))
    wrapped.offer_to(lambda messages: True)
    assert not wrapped.rest(lambda: None)
    assert inner.called == []


def test_the_walk_goes_over_all_names() -> None:
    assert {"info", "expect_within", "send_batch", "aclose", "extra_attributes"} <= {*NAMES}
