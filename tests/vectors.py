"""The vectors of `docs/vectors`, which hold for peers in every language; its README says how."""

import json
from typing import Any

from jsonrpc_iot.testing.conformance.replies import ANYTHING, Message, Reply

from .places import ROOT

VECTORS = ROOT / "docs" / "vectors"

Vector = dict[str, Any]


def read_vectors(name: str) -> list[Vector]:
    """The vectors of `NAME.jsonl`, in order."""
    with (VECTORS / f"{name}.jsonl").open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def bytes_of(vector: Vector, member: str = "sent") -> bytes:
    """The bytes that a vector holds as text, or in hex beside it."""
    text: str | None = vector.get(member)
    return bytes.fromhex(vector[f"{member}_hex"]) if text is None else text.encode()


def replies_of(vector: Vector) -> tuple[tuple[Message, ...], ...]:
    """The messages that come back, in any order, and what would be as good."""
    return tuple(tuple(map(_message, each)) for each in (vector["replies"], *vector.get("or", ())))


def _message(value: Any) -> Message:
    return tuple(map(_reply, value)) if isinstance(value, list) else _reply(value)


def _reply(value: Vector) -> Reply:
    error = value.get("error", {})
    return Reply(
        value["id"],
        result=value.get("result", ANYTHING),
        code=error.get("code"),
        message=error.get("message"),
        data=error.get("data", ANYTHING),
        mentions=tuple(error.get("names", ())),
        dialect=None if value.get("jsonrpc", "") is None else "jsonrpc" in value,
    )
