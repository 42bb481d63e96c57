"""What a device says about itself, and an echo to try a link with.

Health, logs and updates are left to services of their own.
"""

import importlib.metadata
import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec

from jsonrpc_iot import Example, method, service


class SystemInfo(msgspec.Struct, frozen=True):
    """The answer to `sys.info`.

    Args:
        name: what the device is called.
        version: the version of the device's software.
        python: the version of the Python that runs it, such as `3.11.9`.
        platform: operating system and machine, such as `Linux-aarch64`.
        uptime: seconds since the service started, to the millisecond.
    """

    name: str
    version: str
    python: str
    platform: str
    uptime: float


_INFO = Example(
    "a lamp",
    result=SystemInfo(
        name="lamp", version="1.4.0", python="3.11.9", platform="Linux-aarch64", uptime=86.4
    ),
)


def package_version() -> str:
    """The version of this package that is installed."""
    try:
        return importlib.metadata.version("jsonrpc-iot")
    except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
        return "unknown"


@service("")
class System:
    """The methods `echo` and `sys.info`. Its names carry no prefix.

    Args:
        name: what the device is called; as the machine is when left out.
        version: the version of the device's software; this package's own when left out.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        name: str | None = None,
        version: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name or platform.node() or "jsonrpc-iot"
        self._version = package_version() if version is None else version
        self._clock = clock
        self._started = clock()

    @method(
        idempotent=True,
        effect="read",
        tags=("system",),
        examples=(Example("a text", {"value": "hi"}, "hi"),),
    )
    def echo(self, value: Any) -> Any:
        """Returns its argument."""
        return value

    @method("sys.info", idempotent=True, effect="read", tags=("system",), examples=(_INFO,))
    def info(self) -> SystemInfo:
        """Says which device this is, what it runs on, and for how long it has been up."""
        return SystemInfo(
            name=self._name,
            version=self._version,
            python=platform.python_version(),
            platform=f"{platform.system()}-{platform.machine()}",
            uptime=round(self._clock() - self._started, 3),
        )
