"""Any bytes: the peer in MicroPython finds in them what the decoders of this package find."""

import random
from collections.abc import Iterator

import pytest

from jsonrpc_iot.protocol.jsonstream import JsonSplitter
from jsonrpc_iot.protocol.tuya.frame import Command, FrameDecoder, encode_frame
from jsonrpc_iot.testing.conformance.replies import strict_json
from tests.vectors import bytes_of, read_vectors

from .interpreter import Driver

pytestmark = pytest.mark.firmware

LIMIT = 1024


def spoilt(dice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, lost, doubled."""
    spoilt = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(spoilt) + 1)
        match dice.randrange(4):
            case 0:
                spoilt[at:at] = dice.choice([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\n"])
            case 1:
                spoilt[at : at + 1] = dice.randbytes(1)
            case 2:
                del spoilt[at : at + dice.randrange(1, 5)]
            case _:
                spoilt[at:at] = spoilt[at : at + dice.randrange(1, 20)]
    return bytes(spoilt)


def test_spoilt_messages_lead_to_answers_and_nothing_else(peer: Driver) -> None:
    dice = random.Random(5)
    messages = [bytes_of(vector) for vector in read_vectors("messages")]
    messages = [message for message in messages if len(message) < LIMIT]
    peer.ask("new", lossy=True, limit=LIMIT, remembered=100_000)
    for number in range(1500):
        data = spoilt(dice, dice.choice(messages))
        answer = peer.ask("take", at=10 * number, hex=data.hex())
        for sent in answer["sent"]:
            strict_json(sent.encode())
            assert len(sent.encode()) <= LIMIT
        assert set(answer["logged"]) <= {"OSError('unforeseen',)"}, data
    assert peer.ask("take", hex=b'{"id":1,"method":"rpc.ping"}'.hex())["sent"]


def lines(dice: random.Random) -> Iterator[bytes]:
    """Streams of JSON, more or less."""
    parts = [b'{"a":1}', b"[1,[2]]", b'"x{"', b"5", b"\n", b" ", b"{", b"]", b'"', b"\\", b"x"]
    for _ in range(300):
        yield b"".join(dice.choices(parts, k=dice.randrange(12)))


def test_lines(peer: Driver) -> None:
    dice = random.Random(6)
    for data in lines(dice):
        splitter = JsonSplitter(LIMIT)
        expected = [message.hex() for message in splitter.feed(data)]
        answer = peer.ask("lines", limit=LIMIT, step=dice.randrange(1, 9), hex=data.hex())
        assert answer["found"] == expected, data


def noise(dice: random.Random) -> Iterator[bytes]:
    """Lines with frames, whole and broken, and what is none."""
    for _ in range(300):
        data = b""
        for _ in range(dice.randrange(1, 6)):
            message = dice.randbytes(dice.randrange(20))
            frame = encode_frame(dice.choice([0xFE, 0xFE, 0x07]), message, dice.randrange(4))
            data += spoilt(dice, frame) if dice.random() < 0.4 else frame
            data += dice.choice([b"", b"\x55", b"\x55\xaa", dice.randbytes(3)])
        yield data


def test_frames(peer: Driver) -> None:
    dice = random.Random(7)
    for data in noise(dice):
        decoder = FrameDecoder(LIMIT)
        frames = decoder.feed(data, 0)
        frames += decoder.expire(1)
        expected = [frame.data.hex() for frame in frames if frame.command == Command.RPC]
        answer = peer.ask("frames", limit=LIMIT, step=dice.randrange(1, 40), hex=data.hex())
        assert answer["found"] == expected, data
