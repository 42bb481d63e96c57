"""Requests and replies as the tests of the dispatcher write and read them."""

import json
from typing import Any

import msgspec

from jsonrpc_iot.testing.conformance.replies import strict_json

SECRET = "s3cret-detail"
"""A text that must not cross the wire."""


def request(method: str, params: object = None, /, id: object = 1, **members: object) -> bytes:
    """One request; params of `None` are left out."""
    return _message({"method": method, "id": id, **members}, params)


def notice(method: str, params: object = None, /) -> bytes:
    """One notification."""
    return _message({"method": method}, params)


def batch(*messages: bytes) -> bytes:
    """Messages as one array."""
    return b"[" + b",".join(messages) + b"]"


def value(reply: bytes | None) -> Any:
    """The result in a reply that must be a success."""
    response = _response(reply)
    assert response.keys() == {"id", "result"}, response
    return response["result"]


def error(reply: bytes | None) -> dict[str, Any]:
    """The error in a reply that must be a failure."""
    response = _response(reply)
    assert response.keys() == {"id", "error"}, response
    found: dict[str, Any] = response["error"]
    assert {"code", "message"} <= found.keys() <= {"code", "message", "data"}, response
    return found


def code(reply: bytes | None) -> int:
    """The code of the error in a reply."""
    found: int = error(reply)["code"]
    return found


def wrong_param(reply: bytes | None) -> str:
    """The path of the parameter that a reply refuses."""
    refused = error(reply)
    assert refused["code"] == -32602, refused
    assert refused["message"] == "Invalid params"
    assert refused["data"].keys() == {"path", "message"}
    path: str = refused["data"]["path"]
    return path


def values_by_id(reply: bytes | None) -> dict[Any, Any]:
    """The results and errors in the reply to a batch."""
    assert reply is not None
    responses = strict_json(reply)
    assert isinstance(responses, list)
    found = {each["id"]: each.get("result", each.get("error")) for each in responses}
    assert len(found) == len(responses), "an id is answered twice"
    return found


def _message(members: dict[str, object], params: object) -> bytes:
    if params is not None:
        members["params"] = msgspec.to_builtins(params)
    return json.dumps(members).encode()


def _response(reply: bytes | None) -> dict[str, Any]:
    assert reply is not None, "there is no reply"
    response = strict_json(reply)
    assert isinstance(response, dict)
    return response
