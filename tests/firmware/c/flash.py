"""A device in C with files and firmware on flash, whose power may go at any step."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from .desk import Driver

SECTOR: Final = 1024
UNIT: Final = 8

Params = dict[str, Any]


class PowerCut(Exception):
    """The power has gone while the device was at it."""


class Refused(Exception):
    """The device has answered with an error."""

    def __init__(self, error: Params) -> None:
        super().__init__(error)
        self.code: int = error["code"]
        self.data: Params = error.get("data", {})


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Device:
    """The device, and a clock.

    Args:
        driver: of the program.
        verify: says whether a signature is that of a text.

    Attributes:
        now: milliseconds.
        place: of the image that runs.
        events: what it has notified.
    """

    def __init__(
        self, driver: Driver, verify: Callable[[bytes, bytes], bool] | None = None
    ) -> None:
        self._driver = driver
        self._verify = verify
        self._id = 0
        self.now = 1000
        self.place = -1
        self.events: list[tuple[str, Params]] = []

    def start(self) -> None:
        """Let it start, as after a cut of the power."""
        (line,) = self._ask("start", self.now)
        self.place = int(line.removeprefix("boot "))

    def power(self, units: int) -> None:
        """Have the power go after so many steps; 0 for never."""
        self._driver.ask("power", units)

    def set(self, *command: object) -> None:
        self._driver.ask(*command)

    def image(self, place: int, size: int) -> str:
        """The SHA-256 of so many bytes in a place for images."""
        (line,) = self._driver.ask("image", place, size)
        return line.removeprefix("image ")

    def poll(self) -> bool:
        """Let it do what is due; says whether it wants to be restarted."""
        return "restart" in self._ask("poll", self.now)

    def call(self, method: str, **params: Any) -> Any:
        """Call it.

        Raises:
            Refused: it has answered with an error.
            PowerCut: the power has gone.
        """
        self._id += 1
        self.now += 1
        result: Any = None
        request = json.dumps({"id": self._id, "method": method, "params": params})
        for line in self._ask("take", self.now, request.encode().hex()):
            message = json.loads(bytes.fromhex(line.removeprefix("sent ")))
            if "id" not in message:
                self.events.append((message["method"], message["params"]))
            elif "error" in message:
                raise Refused(message["error"])
            else:
                assert message["id"] == self._id
                result = message["result"]
        return result

    def _ask(self, *command: object) -> list[str]:
        lines = self._driver.ask(*command)
        if lines and lines[0].startswith("verify "):
            assert self._verify is not None
            signature, text = (bytes.fromhex(line.split(" ")[1]) for line in lines)
            lines = self._driver.ask("yes" if self._verify(signature, text) else "no")
        if "cut" in lines:
            raise PowerCut
        return lines


def send(device: Device, data: bytes, write: str, begun: Params, chunk: int = 0) -> None:
    """Write what is missing, as a caller does: where the device says that it goes on."""
    offset = begun["offset"]
    while offset < len(data):
        piece = data[offset : offset + (chunk or begun["chunk"])]
        answer = device.call(
            write,
            transfer=begun["transfer"],
            offset=offset,
            data=base64.b64encode(piece).decode(),
        )
        assert answer["offset"] > offset
        offset = answer["offset"]


def put(device: Device, name: str, data: bytes, *, replace: bool = False, chunk: int = 0) -> None:
    """Put a file there."""
    begun = device.call(
        "files.begin", name=name, size=len(data), sha256=digest(data), replace=replace
    )
    if begun["transfer"] is not None:
        send(device, data, "files.write", begun, chunk)
        committed = device.call("files.commit", transfer=begun["transfer"])
        assert committed == {"sha256": digest(data)}


def get(device: Device, name: str) -> bytes:
    """The bytes of a file."""
    data = b""
    while True:
        piece = device.call("files.read", name=name, offset=len(data), length=1 << 20)
        data += base64.b64decode(piece["data"])
        if not piece["data"]:
            return data


def load(device: Device, data: bytes, version: str, **more: str) -> None:
    """Send an image, and have it installed."""
    begun = device.call(
        "firmware.begin", size=len(data), sha256=digest(data), version=version, **more
    )
    send(device, data, "firmware.write", begun)
    answer = device.call("firmware.install", transfer=begun["transfer"])
    assert answer == {"state": "pending"}
