"""What the platform knows of a device that is connected."""

from collections.abc import Sequence

from msgspec import Struct

from ..store.nodes import Hold
from ..store.registry import Actuator, Sensor
from ..token_bucket import TokenBucket
from .connection import DeviceConnection
from .counts import DeviceRecord


class DeviceSession(Struct, eq=False, kw_only=True):
    """One authenticated connection of a device. Times are monotonic.

    Args:
        connection: leads to it.
        device_id: whose it is.
        outbox_id: where its data is acknowledged, otherwise empty.
        sensors: the device's, by `value_key`.
        actuators: the device's.
        tokens: one for each message that may be looked at.
        seen: when its last message came.
        settles: when it may be sent its first command.
        is_online: whether it has said something lately, here or at the node before.
        was_silent: whether it has gone offline before.
        malformed: lines in a row that made no sense.
        record: what is known of the device.
        since: when it was let in, in Unix seconds.
        beat: when its last heartbeat came.
        failed: a row of its outbox could not be stored, so none after it may be.
        node, epoch: with which the device is this node's; see `store.nodes`.
        was_elsewhere: another node that lives has had it until now.
        key_hash: of the device's key, as it was when the session began.
    """

    connection: DeviceConnection
    device_id: str
    outbox_id: str
    sensors: dict[str, Sensor]
    actuators: Sequence[Actuator]
    tokens: TokenBucket
    seen: float
    settles: float
    record: DeviceRecord
    since: float
    beat: float | None = None
    is_online: bool = False
    was_silent: bool = False
    malformed: int = 0
    failed: bool = False
    node: int
    epoch: int
    was_elsewhere: bool
    key_hash: bytes

    @property
    def hold(self) -> Hold:
        """With which the device is this node's."""
        return Hold(self.device_id, self.epoch)
