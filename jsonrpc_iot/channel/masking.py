"""Messages without secrets: for traces, which show bytes, and for recordings, which show values."""

import datetime as dt
import re
from base64 import b64encode
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from .contract import Trace
from .url import mask

HIDDEN = "***"
"""Stands for a secret in a value."""

_PROOF = b"rpc.authenticate"
_TOKEN = re.compile(
    rb'(?<="token":")[^"]+'  # a text in JSON, by name
    rb'|(?<="token": ")[^"]+'
    rb'|(?<="params":\[")[^"]+'  # or by place
    rb'|(?<="params": \[")[^"]+'
    rb"|(?<![\w-])[\w-]{32,}"  # whatever is as long as a token of a keyring, in any codec
)

_NUMBERS_TOO = re.compile(r"(?:password|passwd|passcode|pwd)s?$")
_SECRET = re.compile(
    r"(?:passphrase|psk|secret|token|ticket|credential|authorization|cookie|otp)s?$"
    r"|(?:pass|pin)$|(?<!^hot)(?<!^value)(?<!^command)(?<!^public)key$"
)
"""Ends the names of members that hold one, in small letters and without what is between words."""
_PAIRING = {"rpc.authenticate": 0, "rpc.pair": 0, "wifi.connect": 1}
"""Methods, and how many of their params by position are no secrets."""
_OF_THE_PROTOCOL = ("rpc.item", "rpc.more", "rpc.cancel")
_ABOUT_SECRETS = re.compile(r"(?:auth|login|passw|secret|token|key|psk)", re.IGNORECASE)
"""Is in the names of methods whose params by position may all be secrets."""

_IN_TEXT = re.compile(
    r"(?<![\w+/-])(?:[A-Za-z0-9_-]{43}|[A-Za-z0-9+/]{43}=)(?![\w+/=-])"  # a key or token
    r"|^(?:[0-9a-fA-F]{32}){1,2}$"
    r"|(?i:(?<=\bbearer )|(?<=\bbasic ))\S+"
    r"|(?i:(?<=password=)|(?<=passwd=)|(?<=token=)|(?<=psk=)|(?<=secret=))[^\s&,;]+"
)
_NO_LETTER = re.compile(r"[^a-z0-9]")
_KEY_BYTES = 32


def masked(message: bytes) -> bytes:
    """A message as it may be shown: the token of `rpc.authenticate` is as many asterisks."""
    if _PROOF not in message:
        return message
    return _TOKEN.sub(lambda found: b"*" * len(found[0]), message)


def masking(trace: Trace) -> Trace:
    """A trace that is shown no tokens."""
    return lambda direction, message: trace(direction, masked(message))


def message_without_secrets(message: Any) -> Any:
    """A decoded message or batch as it may be kept, in what JSON has a form for.

    Hidden are members whose names say that they hold passwords, keys or tokens, all params that
    prove who somebody is, whatever looks like a key or token, and secrets in URLs. To do so twice
    is no different from doing so once.
    """
    if isinstance(message, list):
        return [message_without_secrets(each) for each in message]
    if not isinstance(message, dict):
        return without_secrets(message)
    method, params = message.get("method"), message.get("params")
    shown = {**without_secrets(message), **_id_of(message)}
    if isinstance(method, str) and params is not None:
        shown["params"] = params_without_secrets(method, params)
        if method.startswith(_OF_THE_PROTOCOL) and isinstance(params, dict):
            shown["params"] |= _id_of(params)
    return shown


def _id_of(members: dict[Any, Any]) -> dict[str, Any]:
    """The id that tells what belongs together, whatever it looks like."""
    id = members.get("id")
    return {"id": id} if isinstance(id, str) else {}


def params_without_secrets(method: str, params: Any) -> Any:
    """The params of a method as they may be kept; see `message_without_secrets`."""
    open_ones = [count for name, count in _PAIRING.items() if f".{method}".endswith(f".{name}")]
    if open_ones == [0]:
        return _shown(params, texts=True, numbers=True)
    if isinstance(params, list) and (open_ones or _ABOUT_SECRETS.search(method)):
        count = open_ones[0] if open_ones else 0
        return [_shown(each, texts=at >= count) for at, each in enumerate(params)]
    return without_secrets(params)


def without_secrets(value: Any) -> Any:
    """A decoded value as it may be kept; see `message_without_secrets`.

    Bytes become `{"$base64": text}`, and the other types of MessagePack texts.
    """
    return _shown(value)


def _shown(value: Any, *, texts: bool = False, numbers: bool = False) -> Any:
    """A value as it may be kept; `texts` and `numbers` in it may be secrets."""
    match value:
        case None | bool():
            return value
        case int() | float():
            return HIDDEN if numbers else value
        case str():
            return HIDDEN if texts and value else _text(value)
        case bytes():
            is_secret = texts or len(value) == _KEY_BYTES
            return HIDDEN if is_secret and value else {"$base64": b64encode(value).decode()}
        case dict():
            return {_name(key): _member(key, each, texts, numbers) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each, texts=texts, numbers=numbers) for each in value]
        case Ext():
            return {"$ext": value.code, **_shown({"$base64": b64encode(value.data).decode()})}
        case dt.datetime():
            return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _member(key: Any, value: Any, texts: bool, numbers: bool) -> Any:
    name = _NO_LETTER.sub("", key.lower()) if isinstance(key, str) else ""
    numbers = numbers or _NUMBERS_TOO.search(name) is not None
    texts = texts or numbers or _SECRET.search(name) is not None
    return _shown(value, texts=texts, numbers=numbers)


def _name(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    return msgspec.json.encode(_shown(key)).decode()


def _text(value: str) -> str:
    text = _IN_TEXT.sub(HIDDEN, value)
    return mask(text) if "://" in text else text
