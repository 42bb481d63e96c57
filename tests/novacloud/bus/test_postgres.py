"""Texts of notifications."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.novacloud.bus.postgres import CHANNEL, MOST_TEXT, PostgresBus, decode, encode
from jsonrpc_iot.novacloud.bus.remote import LinkLost
from jsonrpc_iot.novacloud.bus.subjects import is_subject
from jsonrpc_iot.novacloud.bus.subscribers import Hint
from tests.novacloud import servers

from .carriers import Postgres, take


@given(st.integers(0, 999), st.binary() | st.text().map(str.encode))
def test_a_hint_is_as_it_was_after_its_notification(number: int, payload: bytes) -> None:
    hint = Hint("events.data.lamp", payload)
    text = encode(number, hint)

    assert text.isascii()
    assert len(text) <= MOST_TEXT
    assert decode(text) == hint


@given(st.text() | st.from_regex(r"\d* ?[a-z.*]* ?[=:].*", fullmatch=True))
def test_any_text_is_a_hint_or_none(text: str) -> None:
    hint = decode(text)

    assert hint is None or is_subject(hint.subject)


@pytest.mark.anyio
@pytest.mark.only_on("asyncio")
async def test_what_others_notify_does_no_harm() -> None:
    server = servers.postgres()
    async with Postgres(server).new_bus() as bus, bus.subscribe(">") as heard:
        for text in ("", "x", "0 a.> =", "0 a :===", "0 a", "0 a ä", "0 a =ä"):
            server.sql(f"NOTIFY {CHANNEL}, '{text}'")

        assert await take(heard, 1) == [Hint("a", "ä".encode())]


@pytest.mark.anyio
@pytest.mark.only_on("asyncio")
async def test_a_connection_that_ends_between_two_steps_of_a_query_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = PostgresBus(f"postgresql://postgres@{servers.postgres().host}/postgres")
    link = await bus._connect()
    servers.end_queries_in_their_middle(monkeypatch)

    with pytest.raises(LinkLost):
        await link.send([Hint("a", b"")])
