"""`update`: an image of this machine becomes what a device runs."""

import os
from typing import TypeVar

import anyio
import anyio.to_thread
from msgspec import UNSET

from jsonrpc_iot import Client, JsonRpcIotError, MessageTooLarge
from jsonrpc_iot.services.files import Begun, InUse, NoRoom, Progress, WrongHash
from jsonrpc_iot.services.files.by_position import call_by_position, full_name
from jsonrpc_iot.services.files.interface import TransferId
from jsonrpc_iot.services.files.put import PATIENCE
from jsonrpc_iot.services.files.sending import PASSING, Patience, Sending
from jsonrpc_iot.services.files.source import Source

from .interface import (
    Firmware,
    FirmwareStatus,
    Installed,
    NotForThisDevice,
    WrongSignature,
)
from .signing import sign
from .target import Image

_LOOK_SECONDS = 0.5
_INSTALL_SECONDS = 120.0
_ERRORS = (NoRoom, InUse, WrongHash, WrongSignature, NotForThisDevice)

T = TypeVar("T")


class NotRunning(JsonRpcIotError):
    """The device does not run the image, or no longer; the text says what it runs instead."""


async def update(
    client: Client,
    path: str | os.PathLike[str],
    version: str,
    *,
    target: str | None = None,
    signature: bytes | None = None,
    sign_key: str | os.PathLike[str] | None = None,
    confirm: bool = False,
    progress: Progress | None = None,
    patience: float = PATIENCE,
    prefix: str = "",
) -> FirmwareStatus:
    """Send an image to a device that has the service `firmware`, and have it installed.

    It goes on after a cut as `files.put` does. Give it a client that reconnects, as the device
    restarts in the end.

    Args:
        client: leads to the device.
        path: of the image.
        version: of the image.
        target: the kind of device that it is for; devices of another kind refuse it.
        signature: of the image, Ed25519.
        sign_key: instead: the file of the private key to sign it with, in PEM.
        confirm: wait until the device runs the image, and have it stay.
        progress: is called with the bytes that are there, and those that there will be.
        patience: seconds to go on with nothing getting through, the restart included.
        prefix: what the device, or a gateway, put before the service's names.

    Returns:
        What the device says in the end: `pending`, or with `confirm` `confirmed`.

    Raises:
        FilesError: the device refuses it; of the class of its code.
        FirmwareError: as above.
        NotRunning: with `confirm`: the device has restarted, and runs something else.
        CallTimeout: nothing has got through for too long; or as `Client.call`.
        ChannelClosed: the connection ended, of a client that does not reconnect.
        OSError: the image cannot be read.
        UsageError: there is no such key.
        MissingExtra: the library for signatures is not installed.
    """
    source = Source(path)
    await source.measure()
    image = Image(version=version, target=target or "", size=source.size, sha256=source.sha256)
    if sign_key is not None:
        signature = await anyio.to_thread.run_sync(sign, image, sign_key)
    updating = Updating(client, prefix, image, signature)
    sending = Sending(
        client,
        source,
        full_name(prefix, "firmware.write"),
        updating.begin,
        updating.firmware.write,
        progress=progress,
        patience=patience,
    )
    await sending.send(updating.install)
    if confirm:
        return await updating.confirm(patience)
    return await updating.status(patience)


class Updating:
    """One image for one device.

    Args:
        client: leads to it.
        prefix: what stands before the service's names.
        image: what is known of it.
        signature: of it.

    Attributes:
        firmware: the device's service.
    """

    def __init__(self, client: Client, prefix: str, image: Image, signature: bytes | None) -> None:
        self.firmware = client.proxy(Firmware, prefix=prefix)
        self._slow = client.proxy(Firmware, prefix=prefix, timeout=_INSTALL_SECONDS)
        self._client = client
        self._prefix = prefix
        self._image = image
        self._signature = signature
        self._comes_late = False
        self._was_asked = False

    async def begin(self) -> Begun:
        """Begin the transfer; where the image is installed already, nothing is left to do."""
        image = self._image
        if self._was_asked and self._is_taken(await self.firmware.status()):
            return Begun(transfer=None, offset=image.size)
        begin = self.firmware.begin
        words = (image.size, image.sha256, image.version, *([image.target] if image.target else ()))
        if self._signature is not None and not self._comes_late:
            try:
                return await begin(
                    image.size,
                    image.sha256,
                    image.version,
                    image.target or None,
                    self._signature,
                )
            except MessageTooLarge:  # it goes with `install`
                self._comes_late = True
        try:
            return await begin(*words)
        except MessageTooLarge:
            return await self._by_position("begin", words, Begun)

    async def install(self, transfer: TransferId) -> None:
        """Have it installed."""
        self._was_asked = True
        if not self._comes_late:
            await self._slow.install(transfer)
            return
        try:
            await self._slow.install(transfer, self._signature)
        except MessageTooLarge:
            await self._by_position("install", (transfer, self._signature), Installed)

    async def _by_position(self, method: str, params: tuple[object, ...], result: type[T]) -> T:
        method = full_name(self._prefix, f"firmware.{method}")
        return await call_by_position(
            self._client, method, params, result, errors=_ERRORS, timeout=_INSTALL_SECONDS
        )

    async def status(self, patience: float) -> FirmwareStatus:
        """What the device says of itself, as soon as it says something."""
        waiting = Patience(patience)
        while True:
            try:
                return await self.firmware.status()
            except PASSING as error:
                await waiting.wait(self._client, error)

    async def confirm(self, patience: float) -> FirmwareStatus:
        """Wait until the image runs, and have it stay.

        Raises:
            NotRunning: something else runs after the restart.
        """
        end = anyio.current_time() + patience
        while (status := await self.status(patience)).state == "pending":
            if anyio.current_time() > end:
                raise NotRunning(f"the device has not restarted, and runs {status.version}")
            await anyio.sleep(_LOOK_SECONDS)
        if status.version != self._image.version:
            version = self._image.version
            raise NotRunning(f"the device runs {status.version}, as {version} did not start")
        waiting = Patience(patience)
        while True:
            try:
                await self.firmware.confirm()
                return await self.firmware.status()
            except PASSING as error:
                await waiting.wait(self._client, error)

    def _is_taken(self, status: FirmwareStatus) -> bool:
        """Whether the device has the image, of which it was told that it is to install it."""
        if status.state == "pending":
            return status.next in (UNSET, self._image.version)
        return status.state == "testing" and status.version == self._image.version
