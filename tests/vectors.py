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


def as_named(sent: list[Any], expected: list[Any], ids: dict[str, Any]) -> list[Any]:
    """What was sent, with the names of a vector of calls and without what it leaves open.

    Args:
        sent: the messages.
        expected: those of the vector.
        ids: by their names in the vector; what was not known is added.
    """
    for message, wanted in zip(sent, expected, strict=False):
        if "id" in message:
            ids.setdefault(wanted["id"], message["id"])
        if wanted.get("retry") and "timeout" not in wanted:
            message.pop("timeout", None)
    names = {id: name for name, id in ids.items()}

    def rename(members: dict[str, Any]) -> dict[str, Any]:
        return {
            key: names.get(each, each) if key == "id" else each for key, each in members.items()
        }

    found: list[Any] = json.loads(json.dumps(sent), object_hook=rename)
    return found


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
