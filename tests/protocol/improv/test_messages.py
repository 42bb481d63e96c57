"""Improv's commands and results, and how they go over Bluetooth LE."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import MalformedFrame
from jsonrpc_iot.protocol.improv import ble
from jsonrpc_iot.protocol.improv.ble import CallAssembler, decode_call, encode_call
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Capabilities,
    Command,
    State,
    WifiSettings,
    clip,
    decode_strings,
    encode_strings,
)

calls = st.builds(Call, st.integers(0, 255), st.binary(max_size=255))


@given(st.binary(max_size=300))
def test_any_bytes_are_strings_or_malformed(data: bytes) -> None:
    with suppress(MalformedFrame):
        assert encode_strings(decode_strings(data)) == data
    with suppress(MalformedFrame):
        assert WifiSettings.decode(data).encode() == data
    with suppress(MalformedFrame):
        assert data.startswith(Call.decode(data).encode())
    with suppress(MalformedFrame):
        assert encode_call(decode_call(data)) == data


@given(st.lists(st.text(max_size=60)))
def test_strings_come_back(strings: list[str]) -> None:
    assert decode_strings(encode_strings(strings)) == strings


@pytest.mark.parametrize("strings", [[], ["one"], ["a", "b", "c"]])
def test_settings_are_two_strings(strings: list[str]) -> None:
    with pytest.raises(MalformedFrame, match=f"^{len(strings)} strings"):
        WifiSettings.decode(encode_strings(strings))


@pytest.mark.parametrize("settings", [WifiSettings("a" * 256), WifiSettings("a", "\ud800" * 8)])
def test_settings_that_no_packet_holds(settings: WifiSettings) -> None:
    with pytest.raises(ValueError, match=r"range|surrogates"):
        settings.encode()


@given(st.text(st.characters(), max_size=20), st.integers(0, 30))
def test_a_text_is_clipped_between_characters(text: str, most: int) -> None:
    clipped = clip(text, most)
    assert len(clipped.encode()) <= most
    assert text.encode(errors="replace").decode().startswith(clipped)


@given(calls, st.integers(1, 40))
def test_a_command_in_several_writes(call: Call, size: int) -> None:
    encoded = encode_call(call)
    assembler = CallAssembler()
    writes = [encoded[at : at + size] for at in range(0, len(encoded), size)]
    for _ in range(2):  # doubled, it comes twice
        assert [assembler.feed(write) for write in writes] == [*(None,) * (len(writes) - 1), call]
    assert not assembler.reset()


@given(st.lists(st.binary(max_size=40)), calls)
def test_after_a_pause_any_writes_are_forgotten(writes: list[bytes], call: Call) -> None:
    assembler = CallAssembler()
    for write in writes:
        with suppress(MalformedFrame):
            assembler.feed(write)
    assembler.reset()

    assert assembler.feed(encode_call(call)) == call


@pytest.mark.parametrize("data", [b"\x02\x00\x03", b"\x02\x00\x02\x02"])
def test_a_wrong_checksum_or_length_ends_a_command(data: bytes) -> None:
    assembler = CallAssembler()
    with pytest.raises(MalformedFrame):
        assembler.feed(data)
    assert assembler.feed(b"\x02\x00\x02") == Call(Command.IDENTIFY)


def test_the_bytes_of_the_standard() -> None:
    """The example of "Send Wi-Fi settings", and "Service Data format"."""
    settings = WifiSettings("MyWirelessAP", "mysecurepassword")
    encoded = encode_call(Call(Command.WIFI_SETTINGS, settings.encode()))
    assert encoded[:-1] == b"\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"
    assert encoded[-1] == sum(encoded[:-1]) % 256
    flags = Capabilities.IDENTIFY | Capabilities.SCAN
    assert ble.service_data(State.AUTHORIZED, flags) == b"\x02\x05\0\0\0\0"
