"""Values from a device as JSON, whatever codec they came in."""

from base64 import b64encode
from typing import Any

import msgspec

from jsonrpc_iot.channel.url import Url


def json_text(raw: bytes, url: str) -> bytes:
    """A raw result as a JSON text; one that is JSON already stays as it is, digit for digit.

    Args:
        raw: as it came, and found to be in order.
        url: where it came from, which says its codec.
    """
    if Url.parse(url).options.get("codec", "json") == "json":
        return raw
    return encode_json(msgspec.msgpack.decode(raw))


def encode_json(value: Any) -> bytes:
    """Write what a device has sent as JSON: bytes in base64, dates as text.

    Of MessagePack's other types, ext values become `{"ext": code, "data": base64}`, and keys that
    JSON has no form for become its text for a value like them.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_extension)
    except TypeError:  # a key
        return msgspec.json.encode(_with_text_keys(msgspec.to_builtins(value, enc_hook=_extension)))


def _extension(value: object) -> object:
    if isinstance(value, msgspec.msgpack.Ext):
        return {"ext": value.code, "data": b64encode(value.data).decode()}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [*map(_with_text_keys, value)]
    if not isinstance(value, dict):
        return value
    return {_key(key): _with_text_keys(member) for key, member in value.items()}


def _key(key: object) -> object:
    """A key that JSON takes; arrays that are keys have come as tuples."""
    return encode_json(key).decode() if key is None or isinstance(key, bool | tuple) else key
