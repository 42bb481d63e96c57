"""The clock for what lasts: it goes on while the machine sleeps, and nobody sets it."""

import time

_SINCE_BOOT: int | None = getattr(
    time, "CLOCK_BOOTTIME", None
)  # Linux; monotonic stands still there


def elapsed() -> float:
    """Seconds since some moment in the past, the same one as long as the process lives."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)
