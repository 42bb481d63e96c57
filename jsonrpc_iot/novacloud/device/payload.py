"""What a device reports, checked and put into JSON."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from jsonrpc_iot import Unencodable, UsageError

from ..messages import MAX_NESTING


def encode_payload(values: Mapping[str, Any]) -> bytes:
    """The JSON of a report.

    Raises:
        Unencodable: JSON has no form for a value, or it is nested too deep for a platform.
        UsageError: there are no values, or one is `None`, which is none of the protocol's types.
    """
    if not values:
        raise UsageError("a report is a dict with at least one value")
    for key, value in values.items():
        if value is None:
            raise UsageError(f"{key!r}: None is no value that a platform takes")
    try:
        plain = msgspec.to_builtins(dict(values), str_keys=True)
        _check(plain, MAX_NESTING)
        return msgspec.json.encode(plain)
    except (TypeError, UnicodeEncodeError, RecursionError, OverflowError) as error:
        raise Unencodable(f"no form in JSON: {error}") from error


def _check(value: Any, levels: int) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unencodable("NaN and infinities have no form in JSON")
    elif isinstance(value, dict | list | tuple):
        if not levels:
            raise Unencodable(f"nested deeper than {MAX_NESTING} levels")
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, levels - 1)
