"""What an outbox is made of: its rows, bounds, totals and errors."""

from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from jsonrpc_iot import JsonRpcIotError

Kind: TypeAlias = Literal["data", "status"]
WhenFull: TypeAlias = Literal["drop_oldest", "drop_newest", "block"]


class OutboxFailed(JsonRpcIotError):
    """The outbox cannot be read or written; the text says why. What was to be reported is not."""


class OutboxFull(OutboxFailed):
    """There is no space on the disk, or within the quota; what is in the outbox stays as it is."""


class Row(NamedTuple):
    """One report.

    Args:
        seq: its number, higher than that of every earlier row of the same outbox.
        kind: the type of its message.
        timestamp: when it was made, in Unix seconds.
        payload: in JSON.
    """

    seq: int
    kind: Kind
    timestamp: float
    payload: bytes


class NewRow(NamedTuple):
    """A report without a number yet; members as the parameters of `Outbox.put`."""

    kind: Kind
    timestamp: float
    payload: bytes
    batch: int = 0


class Growing(NamedTuple):
    """The last row, as long as reports of its batch may join it."""

    batch: int
    seq: int
    payload: bytes


class Bounds(NamedTuple):
    """What an outbox may hold; members as the parameters of `Outbox`."""

    rows: int
    bytes: int
    when_full: WhenFull
    quota: int | None


class Totals(Struct):
    """What an outbox holds and has held; members as the properties of `Outbox`.

    `growing` is the last row, while it may still change.
    """

    rows: int = 0
    bytes: int = 0
    last_seq: int = 0
    dropped: int = 0
    growing: Growing | None = None
