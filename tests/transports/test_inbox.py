"""Bursts from ends that cannot be held back."""

import msgspec
import pytest

from jsonrpc_iot import ChannelInfo
from jsonrpc_iot.protocol.messages import CodecName
from jsonrpc_iot.transports.inbox import Inbox

NOTE = {"method": "n", "params": {"id": 5, "text": "x" * 900}}
RESPONSE = {"id": 1, "result": {"method": "m"}}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_response_has_room_behind_notifications(
    codec: CodecName, caplog: pytest.LogCaptureFixture
) -> None:
    encode = msgspec.msgpack.encode if codec == "msgpack" else msgspec.json.encode
    inbox = Inbox(ChannelInfo(transport="uart", peer="uart:///dev/ttyS7", codec=codec))
    taken = [inbox.put(encode(NOTE)) for _ in range(3000)]
    assert taken == sorted(taken, reverse=True)
    assert 1000 < sum(taken) < 1200  # a megabyte
    assert inbox.put(encode(RESPONSE))
    assert inbox.put(encode([RESPONSE]))
    assert inbox.put(b"~00000002 a part of one")
    assert not inbox.put(encode(NOTE))
    assert inbox.dropped == 3001 - sum(taken)
    assert [each.getMessage() for each in caplog.records] == [
        "uart:///dev/ttyS7: messages come faster than they are read"
    ]
    messages = inbox.take()
    assert messages[sum(taken)] == encode(RESPONSE)
    assert len(messages) == sum(taken) + 3
    assert inbox.put(encode(NOTE))


def test_responses_take_no_room_without_end() -> None:
    inbox = Inbox(ChannelInfo(transport="uart"))
    response = msgspec.json.encode({"id": 1, "result": "x" * 10_000})
    assert 200 < sum(inbox.put(response) for _ in range(1000)) < 220  # two megabytes


def test_many_small_notifications_have_room() -> None:
    inbox = Inbox(ChannelInfo(transport="uart"))
    assert all(inbox.put(b'{"method":"n","params":[%d]}' % number) for number in range(10_000))
