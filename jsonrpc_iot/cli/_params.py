"""PARAMS: the words of a command line that become the params of a request."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from jsonrpc_iot import InvalidParams, UsageError

_BOM = b"\xef\xbb\xbf"
_FORMS = "PARAMS is one JSON object or array, words key=text or key:=json, @FILE, or -"

Params = dict[str, Any] | list[Any] | None


def read_params(words: Sequence[str]) -> Params:
    """Read the params that words describe.

    Args:
        words: one JSON object or array; or any number of `key=text` and `key:=json`; or `@FILE`;
            or `-` for standard input. None at all mean no params.

    Raises:
        UsageError: they are nothing of that kind, or a file cannot be read.
    """
    if not words:
        return None
    if len(words) == 1:
        (word,) = words
        if word.startswith(("{", "[")):
            return _object_or_array(word, "PARAMS")
        if word.startswith("@"):
            return _object_or_array(_read_file(word[1:]), word)
        if word == "-":
            return _object_or_array(read_stdin(), "standard input")
    members: dict[str, Any] = {}
    for word in words:
        key, value = _member(word)
        if key in members:
            raise UsageError(f"PARAMS: {key!r} is given twice")
        members[key] = value
    return members


def hint_at_json(words: Sequence[str], error: InvalidParams) -> str | None:
    """What to say to somebody who wrote `key=1` where the device wants no text.

    Args:
        words: those of the command line.
        error: the device's.
    """
    data = error.data if isinstance(error.data, dict) else {}
    for word in words:
        key, _, text = word.partition("=")
        if data.get("path") == f"$.{key}" and "got `str`" in str(data.get("message")):
            with suppress(UsageError):
                _decode(text, key)
                return f"{word} sends a text; {key}:={text} sends it as JSON"
    return None


def _member(word: str) -> tuple[str, Any]:
    key, equals, text = word.partition("=")
    as_json = key.endswith(":")
    key = key.removesuffix(":")
    if not equals or not key:
        raise UsageError(f"{word!r} is not understood: {_FORMS}")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UsageError(f"PARAMS: {word!r} is no UTF-8") from None
    return key, _decode(text, f"PARAMS: the value of {key!r}") if as_json else text


def _object_or_array(text: str | bytes, source: str) -> dict[str, Any] | list[Any]:
    value = _decode(text, source)
    if not isinstance(value, dict | list):
        raise UsageError(f"{source} holds neither a JSON object nor an array")
    return value


def _decode(text: str | bytes, source: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(f"{source} is no JSON: {error}") from None
    except RecursionError:
        raise UsageError(f"{source} is nested too deep") from None


def _read_file(name: str) -> bytes:
    try:
        return Path(name).read_bytes().removeprefix(_BOM)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read {name!r}: {reason}") from None


def read_stdin() -> bytes:
    """All that standard input has, without a byte order mark; raises `UsageError` for none."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer.read().removeprefix(_BOM)
