"""One authenticated connection of a device, and the limit on how fast it may talk."""

from collections.abc import Sequence

from ..store.store import Actuator, Known, Sensor
from ..token_bucket import TokenBucket
from .connection import DeviceConnection
from .settings import PlatformSettings


class DeviceSession:
    """What the platform knows of a device while it is connected. Times are monotonic.

    Args:
        connection: leads to it.
        known: the device as the store has it.
        outbox_id: where its data is acknowledged, otherwise empty.
        now: when it authenticated.
        settings: of which the rate and `settle_seconds` are used here.

    Attributes:
        is_online: whether it has said something lately.
        seen: when its last message came.
        malformed: lines in a row that made no sense.
        settles: when it may be sent its first command.
        failed: a row of its outbox could not be stored, so none after it may be.
        tokens: one for each message that may be looked at.
    """

    __slots__ = (
        "actuators",
        "connection",
        "device_id",
        "failed",
        "is_online",
        "malformed",
        "outbox_id",
        "seen",
        "sensors",
        "settles",
        "tokens",
    )

    def __init__(
        self,
        connection: DeviceConnection,
        known: Known,
        outbox_id: str,
        now: float,
        settings: PlatformSettings,
    ) -> None:
        self.connection = connection
        self.device_id = known.row.device_id
        self.outbox_id = outbox_id
        self.sensors: dict[str, Sensor] = {}
        self.actuators: Sequence[Actuator] = known.actuators
        for sensor in known.sensors:
            self.add_sensor(sensor)
        self.is_online = False
        self.seen = now
        self.malformed = 0
        self.settles = now + settings.settle_seconds
        self.failed = False
        self.tokens = TokenBucket(settings.messages_per_second, settings.burst)

    def add_sensor(self, sensor: Sensor) -> None:
        """Take values of one more sensor."""
        self.sensors[sensor.value_key] = sensor
