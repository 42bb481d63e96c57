"""The sequences of `docs/vectors/calls.jsonl`: what a client sends, whose time we turn on."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from jsonrpc_iot import CallTimeout, Client, MalformedResponse, RpcError, connect
from tests.vectors import Vector, read_vectors

SECONDS = 10.0
TURNS = 10  # of the event loop, in which all is done that is due
TURN_SECONDS = 0.005  # since a client that seems to have been stopped looks for what has come first


class Device:
    """The other end: takes what the client sends, and sends what it is told."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._ids: dict[str, object] = {}  # by their names in a vector

    def greet(self) -> Any:
        """Learn the client's address by its first message."""
        data, address = self._socket.recvfrom(65_535)
        self._socket.connect(address)
        return json.loads(data)

    def send(self, message: Any) -> None:
        id = message["id"]
        named = self._ids.get(id, id) if isinstance(id, str) else id
        self._socket.send(json.dumps({**message, "id": named}).encode())

    def sent(self) -> Iterator[Any]:
        """What the client has sent; it has dealt with all that came before it answers this."""
        self._socket.send(b'{"id":"settled","method":"rpc.ping"}')
        while (message := json.loads(self._socket.recv(65_535))).get("id") != "settled":
            yield message

    def check(self, message: Any, expected: Any) -> None:
        """Hold what was sent against a vector, where each new id gets a name."""
        if "id" in message and expected["id"] not in self._ids:
            assert message["id"] not in self._ids.values(), "an id is used again"
            self._ids[expected["id"]] = message["id"]
        named = json.loads(json.dumps(expected), object_hook=self._with_ids)
        if "timeout" in named:
            named["timeout"] = pytest.approx(named["timeout"], rel=0.01)
        elif named.get("retry"):
            message.pop("timeout", None)
        assert message == named

    def _with_ids(self, members: dict[str, Any]) -> dict[str, Any]:
        return {key: self._ids[each] if key == "id" else each for key, each in members.items()}


@contextmanager
def connected(knows: bool | None) -> Iterator[tuple[Device, Client, BlockingPortal]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, start_blocking_portal() as portal:
        end.bind(("127.0.0.1", 0))
        end.settimeout(SECONDS)
        url = f"udp://127.0.0.1:{end.getsockname()[1]}"
        connecting = connect(url, extensions=knows)
        with portal.wrap_async_context_manager(connecting) as client:
            yield Device(end), client, portal


def outcome_of(call: "Future[Any]") -> dict[str, object]:
    assert call.done()
    match call.exception():
        case None:
            return {"result": call.result()}
        case CallTimeout():
            return {"timeout": True}
        case MalformedResponse():
            return {"malformed": True}
        case RpcError(code=code):
            return {"error": code}
        case other:
            raise other


@pytest.mark.parametrize(
    "vector", [pytest.param(each, id=each["name"]) for each in read_vectors("calls")]
)
def test_vectors(vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    now = [began]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    call: Future[Any] = Future()
    with connected(vector.get("knows")) as (device, client, portal):
        for number, step in enumerate(vector["steps"]):
            now[0] = began + step["at"]
            sent = []
            if "call" in step:
                options = {"timeout": None, **step["call"]}
                method, params = options.pop("method"), options.pop("params")
                call = portal.start_task_soon(partial(client.call, method, params, **options))
                if not number:
                    sent.append(device.greet())
            for message in step.get("arrives", ()):
                device.send(message)
            for _ in range(TURNS):
                portal.call(anyio.lowlevel.checkpoint)
                now[0] += TURN_SECONDS
            sent += device.sent()
            expected = step.get("sent", [])
            assert len(sent) == len(expected), (step, sent)
            for pair in zip(sent, expected, strict=True):
                device.check(*pair)
            if "outcome" in step:
                assert outcome_of(call) == step["outcome"], step
                call = Future()
            assert not call.done(), step
        call.cancel()
