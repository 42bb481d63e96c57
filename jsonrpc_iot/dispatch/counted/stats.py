"""The numbers as programs and callers get them; `server.stats()` and `rpc.stats` give a `Stats`."""

from msgspec import Struct, field

BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds: how long calls took is told as the numbers of those that took at most so long."""

OTHER_CODES = 0
"""Stands for the codes of errors that came when many others had come already."""


class MethodStats(Struct):
    """What was asked of one method.

    Args:
        calls: that were answered, notifications that were taken too.
        errors: how many of these failed, by the code of the error; 0 for codes beyond the
            first 32, and for those of more than 64 bits.
        seconds: that all calls took together.
        within: how many took at most as many seconds as the bound at the same place in
            `Stats.bounds`, but more than at the one before; the last for all that took longer.
        in_flight: calls that run now.
    """

    calls: int = 0
    errors: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    within: list[int] = field(default_factory=list)
    in_flight: int = 0


class PrincipalStats(Struct):
    """What somebody has asked for.

    Args:
        calls: see `MethodStats`.
        errors: see `MethodStats`.
    """

    calls: int = 0
    errors: dict[int, int] = field(default_factory=dict)


class TransportStats(Struct):
    """What came and left over the links of one kind.

    Args:
        calls: see `MethodStats`.
        errors: see `MethodStats`.
        peers: that are connected; where requests are answered one by one, as over HTTP, there are
            none.
        peers_ever: that have been.
        messages_in: that arrived.
        messages_out: that left.
        bytes_in: of these messages, without what they travel in.
        bytes_out: as well.
        dropped: what was dropped, by reason; see `REASONS`.
    """

    calls: int = 0
    errors: dict[int, int] = field(default_factory=dict)
    peers: int = 0
    peers_ever: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


class Stats(Struct):
    """What a server has done since it began.

    Args:
        seconds: since then.
        methods: by name. What nobody has registered is `(unknown)`, what was no valid message
            `(invalid)`, and `NAME.*` what was handed on to a device.
        principals: by name. Who has proved nothing is `(stranger)`, who has permissions and no name
            `(unnamed)`, and `(others)` are those that came when 100 names were known already.
        transports: by the scheme of their URLs.
        bounds: seconds, see `MethodStats.within`.
    """

    seconds: float
    methods: dict[str, MethodStats] = field(default_factory=dict)
    principals: dict[str, PrincipalStats] = field(default_factory=dict)
    transports: dict[str, TransportStats] = field(default_factory=dict)
    bounds: tuple[float, ...] = BOUNDS
