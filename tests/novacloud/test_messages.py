"""One line for each message, both ways; any bytes are a message or `MalformedFrame`."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.novacloud.messages import (
    Ack,
    AckPayload,
    Auth,
    AuthPayload,
    AuthResponse,
    AuthResult,
    Command,
    CommandResponse,
    Data,
    Error,
    ErrorPayload,
    Heartbeat,
    Status,
    decode_from_device,
    decode_from_platform,
    encode_line,
)
from jsonrpc_iot.novacloud.platform.connection import Lines

FROM_DEVICE: list[Any] = [
    (Auth(payload=AuthPayload(device_id="a", device_key="k")), {"type": "auth"}),
    (Data(payload={"t": 1}), {"type": "data", "payload": {"t": 1}}),
    (
        Data(payload={"t": [None]}, timestamp=1.5, seq=7),
        {"type": "data", "timestamp": 1.5, "seq": 7, "payload": {"t": [None]}},
    ),
    (Status(payload={}), {"type": "status", "payload": {}}),
    (Heartbeat(), {"type": "heartbeat"}),
    (
        CommandResponse(command_id="c", status="pending"),
        {"type": "command_response", "command_id": "c", "status": "pending"},
    ),
]
FROM_PLATFORM: list[Any] = [
    AuthResponse(payload=AuthResult(status="success", message="m", ext=["ack"])),
    Command(command_id="c", payload={"light": "\U0001f600\u6b63\x00\x7f"}),
    Ack(payload=AckPayload(upto=3)),
    Error(payload=ErrorPayload("wrong")),
]


@pytest.mark.parametrize(("message", "shape"), FROM_DEVICE)
def test_what_a_device_sends(message: Any, shape: dict[str, Any]) -> None:
    line = encode_line(message)
    assert line.endswith(b"\n")
    assert shape.items() <= json.loads(line).items()
    assert decode_from_device(line[:-1]) == message


@pytest.mark.parametrize("message", FROM_PLATFORM)
def test_what_a_platform_sends_is_ascii(message: Any) -> None:
    line = encode_line(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode_from_platform(line) == message


@given(st.text())
def test_any_text_survives(text: str) -> None:
    line = encode_line(Command(command_id="c", payload={"k": text}))
    assert line.isascii()
    assert json.loads(line)["payload"] == {"k": text}


def test_a_special_instruction_comes_as_it_is() -> None:
    line = b'{"type":"config_update","payload":{"interval":30}}'
    assert decode_from_platform(line) == json.loads(line)


@given(st.binary())
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for decode in (decode_from_device, decode_from_platform):
        with suppress(MalformedFrame):
            assert decode(data) is not None


def test_nesting_has_a_limit() -> None:
    def line(levels: int) -> bytes:
        return b'{"type":"data","payload":{"t":' + b"[" * levels + b"]" * levels + b"}}"

    decode_from_device(line(31))
    decode_from_device(b'{"type":"data","payload":{"t":[' + b"[]," * 500 + b"[]]}}")
    for levels in (32, 100, 30_000):
        with pytest.raises(MalformedFrame, match="nested"):
            decode_from_device(line(levels))


def test_a_key_is_in_no_text_and_no_error() -> None:
    auth = Auth(payload=AuthPayload(device_id="a", device_key="secret"))
    assert "secret" not in repr(auth)
    with pytest.raises(MalformedFrame) as caught:
        decode_from_device(b'{"type":"auth","payload":{"device_key":"secret","device_id":3}}')
    assert "secret" not in str(caught.value)


# Few kinds of bytes, so that long and blank lines come up.
PIECES = st.lists(st.sampled_from([b"a", b" ", b"\n", b"\r", b"123456", b"      "]))


@given(PIECES.map(b"".join), st.data())
def test_lines_do_not_depend_on_how_the_bytes_come(whole: bytes, data: Any) -> None:
    *parts, rest = whole.split(b"\n")
    expected = [part if len(part) <= 5 else None for part in parts if len(part) > 5 or part.strip()]
    cut = data.draw(st.integers(0, len(whole)))
    for pieces in ([whole], [whole[:cut], whole[cut:]], [bytes([byte]) for byte in whole]):
        lines = Lines(limit=5)
        assert [line for piece in pieces for line in lines.feed(piece)] == expected
        assert lines.waiting == min(len(rest), 6)
