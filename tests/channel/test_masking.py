"""What traces do not show."""

import json

import msgspec
import pytest

from jsonrpc_iot import Dispatcher, connect, serve
from jsonrpc_iot.channel.masking import masked
from jsonrpc_iot.trust.keyring import bearer_token

TOKEN = bearer_token(bytes(32))


def proof(params: object) -> dict[str, object]:
    return {"id": 1, "method": "rpc.authenticate", "params": params}


@pytest.mark.parametrize("token", [TOKEN, "short", "a.b.c", "with space"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_token_in_json_is_masked(token: str, separators: tuple[str, str]) -> None:
    for params in ({"token": token}, [token]):
        sent = json.dumps(proof(params), separators=separators).encode()
        shown = masked(sent)
        assert token.encode() not in shown
        assert len(shown) == len(sent)
        assert json.loads(shown)["method"] == "rpc.authenticate"


def test_a_token_in_message_pack_is_masked() -> None:
    for params in ({"token": TOKEN}, [TOKEN]):
        shown = masked(msgspec.msgpack.encode(proof(params)))
        assert TOKEN.encode() not in shown
        assert msgspec.msgpack.decode(shown)["method"] == "rpc.authenticate"


def test_other_messages_are_shown_as_they_are() -> None:
    message = json.dumps({"id": 1, "method": "echo", "params": {"token": TOKEN}}).encode()
    assert masked(message) is message


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["memory://traced", "memory://traced?codec=msgpack"])
async def test_neither_end_shows_a_token(url: str) -> None:
    shown: list[tuple[str, bytes]] = []

    def trace(direction: str, message: bytes) -> None:
        shown.append((direction, message))

    async with serve(Dispatcher(), url, trace=trace), connect(url, trace=trace) as client:
        with pytest.raises(Exception, match="-32005"):
            await client.call("rpc.authenticate", {"token": TOKEN})
    proofs = [direction for direction, message in shown if b"rpc.authenticate" in message]
    assert {"->", "<-"} <= set(proofs)
    assert not [message for _, message in shown if TOKEN.encode() in message]
