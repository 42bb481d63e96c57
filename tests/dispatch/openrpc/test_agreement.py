"""The document takes for a param what the server takes, and nothing else."""

import datetime as dt
import decimal
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from jsonrpc_iot import Dispatcher

from .kinds import KINDS, VALUES, Side

# Types whose form a `format` tells at the most, which says nothing to a validator; and maps whose
# keys are no texts: of these the schema may take more than the server.
TEXTS = (bytes, UUID, dt.datetime, dt.date, dt.time, dt.timedelta, dict[int, str], dict[UUID, int])
NUMBERS = [int, float, Side, Annotated[int, Meta(ge=0, le=100)], int | float, decimal.Decimal]


class Pair:
    """One method with one param of a type, and the schema that describes it (draft 7)."""

    def __init__(self, kind: Any) -> None:
        self._dispatcher = Dispatcher()

        def take(v: Any) -> bool:
            return True

        take.__annotations__["v"] = kind
        self._dispatcher.method("take")(take)
        document = self._ask({"id": 1, "method": "rpc.discover"})["result"]
        (method,) = [each for each in document["methods"] if each["name"] == "take"]
        self.schema = method["params"][0]["schema"]
        whole = {**self.schema, "components": document.get("components", {})}
        self._validator = jsonschema.Draft7Validator(
            whole, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER
        )

    def _ask(self, message: object) -> Any:
        reply = self._dispatcher.dispatch_sync(msgspec.json.encode(message))
        assert reply is not None
        return msgspec.json.decode(reply)

    def server_takes(self, value: object) -> bool:
        replies = [
            self._ask({"id": 1, "method": "take", "params": params})
            for params in ([value], {"v": value})
        ]
        outcomes = {"result" in reply for reply in replies}
        assert len(outcomes) == 1, replies
        return outcomes.pop()

    def schema_takes(self, value: object) -> bool:
        return bool(self._validator.is_valid(value))


@lru_cache
def pair_of(kind: Any) -> Pair:
    return Pair(kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_schema_and_server_agree(kind: Any) -> None:
    pair = Pair(kind)
    for value in VALUES:
        if pair.server_takes(value) != pair.schema_takes(value):
            assert kind in TEXTS, (value, pair.schema)
            assert pair.schema_takes(value), (value, pair.schema)


@given(value=st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False))
@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_schema_and_server_agree_on_numbers(kind: Any, value: float) -> None:
    pair = pair_of(kind)
    assert pair.server_takes(value) == pair.schema_takes(value)
