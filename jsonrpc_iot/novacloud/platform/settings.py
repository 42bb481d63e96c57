"""What an operator may set of a platform; the defaults are those of the protocol page."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class PlatformSettings(Struct, kw_only=True):
    """Limits and times of a `NovaPlatform`. Times are seconds, sizes bytes.

    A platform keeps a copy: see `NovaPlatform.renew`.

    Args:
        auth_seconds: how long a connection may take to authenticate, its TLS handshake included.
        auth_line: the longest line before a connection is authenticated.
        line: the longest line after that, also of a command.
        unauthenticated: connections that may authenticate at once. Others wait, unless another
            network has more of them than theirs: then one of those has to go.
        failed_auth_delay: the longest delay of the answer to a failed authentication.
        messages_per_second: of one device; over it, its connection is read more slowly.
        bytes_per_second: of one device likewise: a line longer than the one may be to reach the
            other counts as several messages.
        burst: messages that may come at once.
        queued_commands: for one device.
        settle_seconds: between the answer to an authentication and the first command.
        online_seconds: without a message until a device counts as offline.
        response_seconds: for a command's final response.
        malformed_lines: in a row that close a connection.
        write_seconds: that one write may take before the connection is closed.
        unsent: bytes that may wait for a device that does not read.
        unwritten: messages of all devices that may wait for the store before reading pauses.
        flaps: replaced connections of one device in a minute from which on it is slowed down.
        flap_delay: the longest delay of the answer to a device that was replaced too often.
        auto_define: define a sensor when its first value comes.
        sensors: of one device at most.
    """

    auth_seconds: Seconds = 10.0
    auth_line: Count = 4096
    line: Count = 65536
    unauthenticated: Count = 1000
    failed_auth_delay: Annotated[float, Meta(ge=0)] = 5.0
    messages_per_second: Seconds = 100.0
    bytes_per_second: Seconds = 262_144.0
    burst: Count = 200
    queued_commands: Count = 256
    settle_seconds: Annotated[float, Meta(ge=0)] = 1.0
    online_seconds: Seconds = 180.0
    response_seconds: Seconds = 60.0
    malformed_lines: Count = 10
    write_seconds: Seconds = 30.0
    unsent: Count = 1 << 18
    unwritten: Count = 20_000
    flaps: Count = 5
    flap_delay: Annotated[float, Meta(ge=0)] = 5.0
    auto_define: bool = False
    sensors: Count = 256
