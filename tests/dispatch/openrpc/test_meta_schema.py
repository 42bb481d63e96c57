"""Documents are valid by OpenRPC's own meta-schema, however much is cut from them."""

import copy
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator

from jsonrpc_iot import Dispatcher

from .asking import described, with_limit
from .home import home

ALL = home()
DOCUMENT = described(ALL, context=with_limit(None, "admin"))
METHODS = [entry["name"] for entry in DOCUMENT["methods"]]
NOTIFICATIONS = [entry["name"] for entry in DOCUMENT["x-notifications"]]


def complaints(validator: Draft7Validator, document: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_validator_has_teeth(validator: Draft7Validator) -> None:
    broken = copy.deepcopy(DOCUMENT)
    broken["methods"][0]["nonsense"] = 1
    broken["components"]["schemas"]["Reading"]["type"] = "nonsense"
    del broken["info"]["title"]

    assert len(complaints(validator, broken)) == 3


@pytest.mark.parametrize("dispatcher", [ALL, Dispatcher()])
def test_the_whole_document(validator: Draft7Validator, dispatcher: Dispatcher) -> None:
    assert complaints(validator, described(dispatcher)) == []


@pytest.mark.parametrize("size", [220, 245, 512, 1024, None])
@pytest.mark.parametrize("name", dict.fromkeys([*METHODS, *NOTIFICATIONS]))
def test_one_name(validator: Draft7Validator, name: str, size: int | None) -> None:
    document = described(ALL, name, with_limit(size, "admin"))

    assert complaints(validator, document) == []


def entries_as_plain_methods(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What is received, as the methods that it would be if it were answered."""
    received = [each for each in document["x-notifications"] if each["direction"] == "received"]
    return [{key: each[key] for key in each.keys() - {"direction"}} for each in received]


def test_received_notifications_are_described_like_methods(validator: Draft7Validator) -> None:
    methods = entries_as_plain_methods(DOCUMENT)

    assert len(methods) >= 2
    assert complaints(validator, {**DOCUMENT, "methods": methods}) == []


def test_schemas_of_events_are_schemas(validator: Draft7Validator) -> None:
    events = [each for each in DOCUMENT["x-notifications"] if each["direction"] == "emitted"]
    params = [{"name": "all", "schema": each["schema"]} for each in events]

    assert len(params) == 5
    methods = [{"name": "events", "params": params}]
    assert complaints(validator, {**DOCUMENT, "methods": methods}) == []


@pytest.mark.parametrize("name", [each["name"] for each in DOCUMENT["methods"]])
def test_examples_fit_their_schemas(name: str) -> None:
    (entry,) = (each for each in DOCUMENT["methods"] if each["name"] == name)
    params = {each["name"]: each["schema"] for each in entry["params"]}
    for example in entry.get("examples", ()):
        pairs = [(params[each["name"]], each["value"]) for each in example["params"]]
        pairs.append((entry["result"]["schema"], example["result"]["value"]))
        for schema, value in pairs:
            root = {**schema, "components": DOCUMENT["components"]}
            assert complaints(Draft7Validator(root), value) == []
    assert msgspec.json.encode(entry)
