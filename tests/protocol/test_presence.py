"""Whether the other end is there: only the answer to the question shows it."""

import json

import pytest
from msgspec import UNSET

from jsonrpc_iot.protocol.codec.json import JsonCodec
from jsonrpc_iot.protocol.noise import Noise
from jsonrpc_iot.protocol.presence import Presence

CODEC = JsonCodec()


class Asker:
    def __init__(self, *, trusts_calls: bool = False) -> None:
        self.shown = 0
        self.presence = Presence(self.note_shown, trusts_calls=trusts_calls)

    def note_shown(self) -> None:
        self.shown += 1

    def ask(self) -> int:
        self.presence.ask(CODEC, UNSET)
        question = json.loads(self.presence.question)
        assert question.pop("method") == "rpc.ping"
        return int(question.pop("id"))


def test_its_answer_shows_it() -> None:
    asker = Asker()
    id = asker.ask()
    assert asker.presence.hear(id, ())
    assert asker.shown == 1


@pytest.mark.parametrize("id", [None, True, 0, 1, -1, 1.5, "1", "id", "float"])
def test_no_other_id_shows_it(id: object) -> None:
    asker = Asker(trusts_calls=True)
    right = asker.ask()
    id = {"id": str(right), "float": float(right)}.get(str(id), id)
    assert not asker.presence.hear(id, ())
    assert asker.shown == 0


def test_before_a_question_nothing_shows_it() -> None:
    asker = Asker()
    assert not asker.presence.hear(0, ())
    assert asker.shown == 0


@pytest.mark.parametrize("trusts_calls", [True, False])
def test_the_answer_to_a_call_may_show_it_and_is_that_of_the_call(trusts_calls: bool) -> None:
    asker = Asker(trusts_calls=trusts_calls)
    assert not asker.presence.hear(7, {7})
    assert asker.shown == trusts_calls


def test_ids_are_new_each_time_and_those_of_no_call() -> None:
    asker = Asker()
    ids = {asker.ask() for _ in range(1000)}
    assert len(ids) > 990
    assert all(1 << 30 < id < 1 << 31 for id in ids)


def test_the_question_that_comes_back_is_an_echo() -> None:
    asker = Asker()
    noise = Noise(lambda: 0.0, None)
    noise.presence = asker.presence
    id = asker.ask()
    assert noise.is_echo(id, asker.presence.question)
    assert not noise.is_echo(id, b" " + asker.presence.question)
