"""What a gateway tells of a device."""

from msgspec import Struct


class DeviceState(Struct, frozen=True):
    """A device of a gateway.

    Args:
        name: the gateway's for it.
        online: it is there.
        url: where it is, or was last; without secrets.
        since: when it came or went, in seconds of Unix time.
        last_error: why it is not there, `None` where it is.
        round_trip: seconds that it took to answer when it came.
    """

    name: str
    online: bool
    url: str | None
    since: float
    last_error: str | None
    round_trip: float | None


class DeviceChange(DeviceState, frozen=True, omit_defaults=True):
    """What has become of a device.

    Args:
        removed: the gateway has it no more.
    """

    removed: bool = False
