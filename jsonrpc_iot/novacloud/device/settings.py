"""What may be set of a device besides who it is."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from .backoff import Schedule

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class DeviceSettings(Struct, frozen=True, kw_only=True):
    """Limits and times of a `NovaDevice`. Times are seconds, sizes bytes.

    Args:
        pending_seconds: that a command may take before the platform is told that it goes on.
        still_pending_seconds: until it is told so again; many platforms give up after 60.
        drain_rate: reports sent per second; a platform takes about 100 of a device.
        drain_burst: reports that may be sent at once.
        connect_seconds: to connect within, the TLS handshake included.
        auth_seconds: that the platform may take to answer the authentication.
        ack_seconds: that a platform with the extension `ack` may acknowledge nothing although there
            is something to acknowledge, or ten times its slowest acknowledgement if that is longer;
            then the device connects anew, to another address where there is one.
        close_seconds: that closing may take to finish commands and send what waits.
        line: the longest line in either direction.
        commands: that may run at once; those beyond are answered with an error.
        answers: final responses that are kept for commands that come again.
        answer_bytes: that these may take.
        schedule: when to connect again.
    """

    pending_seconds: Seconds = 1.0
    still_pending_seconds: Seconds = 20.0
    drain_rate: Seconds = 90.0
    drain_burst: Count = 150
    connect_seconds: Seconds = 10.0
    auth_seconds: Seconds = 15.0
    ack_seconds: Seconds = 120.0
    close_seconds: Annotated[float, Meta(ge=0)] = 5.0
    line: Annotated[int, Meta(ge=1024)] = 65536
    commands: Count = 64
    answers: Count = 256
    answer_bytes: Count = 1 << 20
    schedule: Schedule = msgspec.field(default_factory=Schedule)


class DeviceCounts(Struct, kw_only=True):
    """What has happened to a device since it was made.

    Args:
        connections: that were authenticated.
        failed_connections: that could not be had, or ended before.
        refusals: of the key.
        sent: rows that were sent, repeats included.
        commands: that were run.
        repeated_commands: that came again.
        unknown_messages: of a type that nothing is registered for.
        malformed: lines that made no sense.
        complaints: lines of ours that made no sense to the platform.
    """

    connections: int = 0
    failed_connections: int = 0
    refusals: int = 0
    sent: int = 0
    commands: int = 0
    repeated_commands: int = 0
    unknown_messages: int = 0
    malformed: int = 0
    complaints: int = 0
