"""The vectors of results that come item by item, against the peer in C."""

import json
from typing import Any

import pytest

from tests.vectors import Vector, read_vectors

from .test_lossy import SETTLED, Device, device

__all__ = ["device"]

pytestmark = pytest.mark.firmware


def squared(value: Any) -> Any:
    """What the method of this peer, `squares`, has in the place of `count`."""
    if isinstance(value, list):
        return [each * each for each in value]
    if "method" in value:
        params = value["params"]
        return {**value, "params": {**params, "item": params["item"] ** 2}}
    return (
        {**value, "result": squared(value["result"])}
        if isinstance(value.get("result"), list)
        else value
    )


def plain(message: Any) -> Any:
    """A message, and of an error its code alone."""
    return (
        {**message, "error": {"code": message["error"]["code"]}} if "error" in message else message
    )


OWN_WAY = "a copy after the end"  # `squares` is idempotent, so its copies are calls
VECTORS = [each for each in read_vectors("streams") if each["name"] != OWN_WAY]


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_vectors(device: Device, vector: Vector) -> None:
    for step in vector["steps"]:
        at = SETTLED + round(step["at"] * 1000)
        sent = device.ask("take", at, step["sent"].replace('"count"', '"squares"').encode().hex())
        sent += device.poll(at)
        expected = [squared(each) for each in step["replies"]]
        key = json.dumps
        assert sorted(map(plain, sent), key=key) == sorted(expected, key=key), step
