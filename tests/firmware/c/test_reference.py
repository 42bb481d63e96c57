"""Requests with random damage, which the peer in C answers as the plain reference does."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jsonrpc_iot.testing.conformance.replies import (
    INVALID_PARAMS,
    Message,
    message_faults,
    strict_json,
)
from tests.conformance.reference import LeftOpen, expected
from tests.conformance.test_reference import TEMPLATES, Damage, damages

from .desk import Driver, heard

pytestmark = pytest.mark.firmware

BITS = 32
STREAM = 2


@settings(max_examples=1500)
@given(template=st.sampled_from(TEMPLATES), damaged=damages)
def test_damaged_requests(peer: Driver, template: bytes, damaged: list[Damage]) -> None:
    message = template
    for position, gone, new in damaged:
        at = position % (len(message) + 1)
        message = message[:at] + new + message[at + gone :]
    try:
        replies = tuple(map(in_either_dialect, expected(message)))
    except LeftOpen:
        assume(False)
    peer.ask("new", 0, STREAM, 65507, 16, 1)
    sent = heard(peer.ask("take", 0, message.hex()), "sent")
    values = [strict_json(bytes.fromhex(each)) for each in sent]
    if faults := message_faults(replies, values):
        assert is_for_want_of_bits(replies, values), (message, faults)


def in_either_dialect(message: Message) -> Message:
    """A valid entry of the same batch may have told the dialect for what cannot be read."""
    if isinstance(message, tuple):
        return tuple(replace(each, dialect=None) if each.id is None else each for each in message)
    return message


def is_for_want_of_bits(expect: tuple[Message, ...], values: list[Any]) -> bool:
    """Whether integers were refused that are too large for this peer."""
    refused = f'"code": {INVALID_PARAMS}' in json.dumps(values)
    return refused and any(
        isinstance(reply.result, int) and abs(reply.result) >= 1 << (BITS - 1)
        for message in expect
        for reply in (message if isinstance(message, tuple) else [message])
    )
