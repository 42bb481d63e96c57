"""What a platform counts; `platform.stats` shows it."""

from msgspec import Struct, field

# So that the answer to `platform.stats` fits a message of 1 MB.
_REMEMBERED_DEVICES = 1000
_REMEMBERED_KEYS = 8


class Ignored(Struct):
    """Values of one device that were not stored.

    Args:
        unknown: for keys that have no sensor.
        wrong: of another type than the sensor's, or that no sensor can have.
        keys: the first of those keys.
    """

    unknown: int = 0
    wrong: int = 0
    keys: list[str] = []

    def is_new(self, key: str) -> bool:
        """Note a key; says whether it is one more that is remembered."""
        if key in self.keys or len(self.keys) >= _REMEMBERED_KEYS:
            return False
        self.keys.append(key)
        return True


class Counts(Struct):
    """Numbers since the platform began.

    Args:
        connections: that were accepted.
        failed_auths: messages that authenticated nobody.
        messages: of authenticated devices.
        malformed: lines that made no sense.
        values: that were stored.
        unknown_values: without a sensor.
        wrong_values: of another type than the sensor's.
        duplicates: messages that were stored already.
        lost: messages that the store refused.
        responses: to commands.
        dropped_responses: forged, late, or for a command that nobody sent.
        ignored: the values that were not stored, by device.
    """

    connections: int = 0
    failed_auths: int = 0
    messages: int = 0
    malformed: int = 0
    values: int = 0
    unknown_values: int = 0
    wrong_values: int = 0
    duplicates: int = 0
    lost: int = 0
    responses: int = 0
    dropped_responses: int = 0
    ignored: dict[str, Ignored] = field(default_factory=dict)

    def ignored_of(self, device_id: str) -> Ignored:
        """The record of a device; the oldest of too many is forgotten."""
        if device_id not in self.ignored:
            if len(self.ignored) >= _REMEMBERED_DEVICES:
                del self.ignored[next(iter(self.ignored))]
            self.ignored[device_id] = Ignored()
        return self.ignored[device_id]
