"""The clocks: one for what lasts, that goes on while the machine sleeps, and the time of day."""

import time

_SINCE_BOOT: int | None = getattr(
    time, "CLOCK_BOOTTIME", None
)  # Linux; monotonic stands still there


def elapsed() -> float:
    """Seconds since some moment in the past, the same one as long as the process lives."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)


class TimeOfDay:
    """The time of day, as all nodes of a record have it.

    Attributes:
        offset: seconds that the record's clock is ahead of this machine's.
    """

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """The time, in Unix seconds."""
        return time.time() + self.offset
