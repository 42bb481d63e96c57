"""What both ends of a pairing compute: what two codes agree on, and what is refused."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import UsageError
from jsonrpc_iot.trust.exchange import Agreed, Exchange, digits_of
from tests.cli.program import environment


def exchanged(client_code: str, device_code: str) -> tuple[Agreed, Agreed]:
    client, device = Exchange(client_code, "client"), Exchange(device_code, "device")
    return client.finish(device.message), device.finish(client.message)


def test_two_codes_agree_on_nothing() -> None:
    client, device = exchanged("12345678", "12345679")
    assert client.client != device.client
    assert client.device != device.device
    assert client.open(device.seal(bytes(32))) is None


def test_no_exchange_is_like_another() -> None:
    assert exchanged("12345678", "12345678")[0] != exchanged("12345678", "12345678")[0]


def test_an_end_never_confirms_like_the_other() -> None:
    agreed, _ = exchanged("12345678", "12345678")
    assert agreed.client != agreed.device


def test_a_changed_key_is_not_opened() -> None:
    agreed, _ = exchanged("12345678", "12345678")
    sealed = agreed.seal(bytes(32))
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        assert agreed.open(bytes(changed)) is None
    assert agreed.open(sealed[:-1]) is None
    assert agreed.open(b"") is None


MESSAGE = Exchange("12345678", "client", random=lambda count: bytes([1]) * count).message


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"A",
        MESSAGE[:-1],
        MESSAGE + b"\0",
        b"B" + MESSAGE[1:],  # our own side
        b"S" + MESSAGE[1:],
        b"A" + bytes(32),  # of a low order
        b"A\x01" + bytes(31),  # the neutral point
        b"A" + b"\xec" + b"\xff" * 30 + b"\x7f",  # of order 2
        b"A" + b"\x02" * 32,  # not on the curve
        b"A" + b"\xff" * 32,
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="SPAKE2"):
        Exchange("12345678", "device").finish(message)


@given(st.binary(min_size=33, max_size=33))
def test_any_bytes_are_agreed_on_or_refused(message: bytes) -> None:
    device = Exchange("12345678", "device")
    try:
        agreed = device.finish(message)
    except ValueError:
        return
    assert agreed.client != agreed.device


def test_a_reflected_message_is_refused() -> None:
    for side in (b"A", b"B"):
        client = Exchange("12345678", "client")
        with pytest.raises(ValueError, match="SPAKE2"):
            client.finish(side + client.message[1:])


@pytest.mark.parametrize("code", ["1234-5678", "12345678", " 12 34 56 78 ", "1-2-3-4-5-6-7-8"])
def test_a_code_is_its_digits(code: str) -> None:
    assert digits_of(code) == "12345678"


@pytest.mark.parametrize("code", ["", "1234567", "8765-432", "abcdefgh", "1234567a", "\uff11" * 8])
def test_what_is_no_code_is_refused_and_not_quoted(code: str) -> None:
    with pytest.raises(UsageError, match="at least 8 digits: 1234-5678") as caught:
        digits_of(code)
    assert not code or code not in str(caught.value)


def test_what_is_agreed_does_not_show_itself() -> None:
    agreed, _ = exchanged("12345678", "12345678")
    assert repr(agreed) == "Agreed(***)"


@pytest.mark.parametrize("missing", ["spake2", "cryptography"])
def test_without_a_library_it_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from jsonrpc_iot import MissingExtra\n"
        "from jsonrpc_iot.trust.pairing import Pairing\n"
        "try: Pairing(None, '12345678')\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'jsonrpc-iot[seal]'" in done.stdout
