"""The packets have the bytes of the trust page, in each form."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.protocol.seal.packets import BASE64, BASE85, BINARY, Form, key_id

from .rig import HERE, INSTANCE, KEY, greet, new_client, new_server, sealed

FORMS = {"binary": BINARY, "base85": BASE85, "base64": BASE64}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def test_lengths_and_heads() -> None:
    client, server = new_client(), new_server()
    hello, welcome = greet(client, server)
    data = sealed(client, b"message")
    stray = b"\3" + bytes(3) + b"\1" + data[5:]

    assert (len(hello), hello[:2]) == (70, b"\1\1")
    assert hello[6:14] == key_id(KEY) == hashlib.sha256(b"jsonrpc-iot key id" + KEY).digest()[:8]
    assert (len(welcome), welcome[0], welcome[1:5]) == (57, 2, hello[2:6])
    assert (len(data), data[0], data[5:9]) == (len(b"message") + 25, 3, bytes(4))
    assert server.take(stray, HERE, 0) == b"\4\0\0\0\1"
    assert INSTANCE not in hello


@forms
@given(packet=st.binary(max_size=300))
def test_forms_go_there_and_back(form: Form, packet: bytes) -> None:
    message = form.wrap(packet)

    assert form.unwrap(message) == packet
    if form is not BINARY:
        assert message.isascii()
        assert message.startswith(b"!")
        assert form.is_packet(message)
        assert form.unwrap(message + b"  ") == packet
        assert not set(message) & set(b' "\n\r\\')


@forms
@given(size=st.integers(min_value=96, max_value=2000))
def test_the_largest_message_fits_and_no_larger_one(form: Form, size: int) -> None:
    largest = form.largest(size)

    assert len(form.wrap(bytes(largest + 25))) <= size
    assert len(form.wrap(bytes(largest + 26))) > size
    assert form.least <= 97


def test_room_where_it_is_scarce() -> None:
    assert BASE85.largest(255) >= 175
    assert BINARY.largest(220) == 195


@forms
@given(message=st.binary(max_size=100))
def test_any_bytes_are_a_packet_or_none(form: Form, message: bytes) -> None:
    packet = form.unwrap(message)

    assert packet is None or isinstance(packet, bytes)
