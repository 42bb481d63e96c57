"""Keys: their text, and what is derived from them."""

import hmac
from base64 import b64encode, urlsafe_b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.trust.keyring import SharedKey, bearer_token, key_id, new_key, read_key
from jsonrpc_iot.trust.keys import key_text, token_digest
from jsonrpc_iot.trust.principal import Principal

KEY = bytes(range(32))


def test_a_key_is_random() -> None:
    assert len(new_key()) == 32
    assert new_key() != new_key()


@given(st.binary(min_size=32, max_size=32))
def test_a_key_survives_its_text(key: bytes) -> None:
    assert read_key(f" {key_text(key)}\r\n") == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "correct horse battery staple",
        "passphrase of 32 characters exact",
        b64encode(bytes(31)).decode(),
        b64encode(bytes(33)).decode(),
        b64encode(KEY).decode().rstrip("="),  # without padding
        KEY.hex(),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",  # whose last bits count for nothing
        "\ud800" * 44,
        "pMk0…",
    ],
)
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="jsonrpc-iot keys new") as caught:
        read_key(text)
    assert not text or text not in str(caught.value)


def test_vectors() -> None:
    assert key_id(KEY).hex() == "86e7a7892a55daa9"
    assert bearer_token(KEY) == "9dqLD0csoiEVgS_PUqnijeplzD7pUBszjVMl9K1nPyw"


@given(st.binary(min_size=32, max_size=32))
def test_what_is_derived_from_a_key(key: bytes) -> None:
    assert key_id(key) == sha256(b"jsonrpc-iot key id" + key).digest()[:8]
    token = bearer_token(key)
    assert urlsafe_b64decode(token + "=") == hmac.digest(key, b"jsonrpc-iot token", "sha256")
    assert token_digest(token) == sha256(token.encode()).digest()


def test_a_shared_key_does_not_show_itself() -> None:
    shared = SharedKey(Principal("app"), KEY, key_id(KEY))
    shown = f"{shared} {shared!r} {[shared]}"
    assert key_id(KEY).hex() in shown
    assert key_text(KEY) not in shown
    assert repr(KEY) not in shown
