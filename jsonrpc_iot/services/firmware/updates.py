"""The `firmware` service on an `UpdateTarget`.

An image is kept as a file on its way in is, in a folder of its own, so that a transfer survives
whatever ends. `install` looks at it once more and hands it over to the target, whole.
"""

import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from jsonrpc_iot import Context, UsageError
from jsonrpc_iot.services.files import Begun, Disk, InUse, NoRoom, Written
from jsonrpc_iot.services.files.interface import TransferId
from jsonrpc_iot.services.files.room import is_small, window, write_room
from jsonrpc_iot.services.files.transfer import Transfer, Wanted
from jsonrpc_iot.services.files.transfers import Transfers
from jsonrpc_iot.services.files.writer import Writer

from .interface import (
    Firmware,
    FirmwareProgress,
    FirmwareStatus,
    Installed,
    NotForThisDevice,
    WrongSignature,
)
from .signing import Verifier
from .target import Image, UpdateTarget

T = TypeVar("T")

logger = logging.getLogger("jsonrpc_iot.firmware")

_NAME = "firmware"
_BLOCK = 64 << 10
_LEAVING_SECONDS = 0.5  # in which the answer to `install` gets away
_PROGRESS_SECONDS = 0.5


class FirmwareUpdates(Firmware):
    """The `firmware` service of a device.

    As an `async with` block, entered while the device serves, it restarts the device when that is
    due: after `install`, and when an image that runs for the first time is not confirmed in time.

    Args:
        target: takes the images.
        folder: keeps what has not come whole; it is made if it is not there.
        key: whose signature images need: an Ed25519 public key, as its 32 bytes or a file with it.
        model: the kind of device this is; images that are for another one are refused.
        restart: restarts the device. It may end the program.
        confirm_seconds: how long an image may run unconfirmed, `None` for until the next restart.
        sync_seconds: how much time's bytes a cut of the power may cost.
        disk: what the folder is on.

    Raises:
        UsageError: the folder cannot be made, or the key is none.
        MissingExtra: the library for signatures is not installed.
    """

    def __init__(
        self,
        target: UpdateTarget,
        folder: str | os.PathLike[str],
        *,
        key: bytes | str | os.PathLike[str] | None = None,
        model: str = "",
        restart: Callable[[], object] | None = None,
        confirm_seconds: float | None = 300.0,
        sync_seconds: float = 1.0,
        disk: Disk | None = None,
    ) -> None:
        self._target = target
        self._verifier = None if key is None else Verifier(key)
        self._model = model
        self._restart = restart
        self._confirm_seconds = confirm_seconds
        try:
            self._transfers = Transfers(Path(folder), disk=disk, most=1, sync_seconds=sync_seconds)
        except OSError as error:
            raise UsageError(f"{os.fspath(folder)}: {error.strerror}") from None
        self._writer = Writer(self._transfers)
        self._turns = anyio.Lock()
        self._installed = ""
        self._told = -1.0
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._restart_when_due)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(kind, error, trace)

    async def status(self) -> FirmwareStatus:
        """See `Firmware.status`."""
        return await self._at_target(self._target.status)

    async def begin(
        self,
        size: int,
        sha256: str,
        version: str,
        target: str | None = None,
        signature: bytes | None = None,
        *,
        context: Context | None = None,
    ) -> Begun:
        """See `Firmware.begin`."""
        hash = sha256.lower()
        image = Image(version=version, target=target or "", size=size, sha256=hash)
        info = None if context is None else context.info
        demand = signature is not None or not is_small(info)
        begin = partial(self._begin, image, signature or b"", demand=demand)
        transfer = await self._at_target(begin)
        return Begun(
            transfer=transfer.id,
            offset=transfer.offset,
            chunk=write_room(info, size, "firmware.write"),
            window=window(info),
        )

    async def write(self, transfer: TransferId, offset: int, data: bytes) -> Written:
        """See `Firmware.write`."""
        there = await self._writer.write(str(transfer), offset, data)
        self._tell_progress(str(transfer), there)
        return Written(there)

    async def abort(self, transfer: TransferId) -> None:
        """See `Firmware.abort`."""
        await anyio.to_thread.run_sync(self._transfers.drop, str(transfer))

    async def install(self, transfer: TransferId, signature: bytes | None = None) -> Installed:
        """See `Firmware.install`."""
        status = await self._at_target(partial(self._install, str(transfer), signature))
        self._note(status)
        return Installed(status.state)

    async def confirm(self) -> None:
        """See `Firmware.confirm`."""
        before = await self.status()
        await self._at_target(self._target.confirm)
        status = await self.status()
        if status != before:
            logger.info("%s is confirmed", status.version)
            self._note(status)

    def _begin(self, image: Image, signature: bytes, *, demand: bool) -> Transfer:
        if self._target.status().state == "testing":
            raise InUse("The image that runs is not confirmed")
        self._check(image, signature, demand=demand)
        if image.size > (space := self._target.space()):
            raise NoRoom(data={"free": space})
        signed = b64encode(signature).decode()
        about = {"version": image.version, "target": image.target, "signature": signed}
        wanted = Wanted(name=_NAME, size=image.size, sha256=image.sha256, about=about)
        return self._transfers.begin(wanted)

    def _check(self, image: Image, signature: bytes, *, demand: bool = True) -> None:
        """Refuse an image that is not for this device, or from somebody else.

        Args:
            image: what is known of it.
            signature: as it came; empty where none did.
            demand: whether it may not come later.

        Raises:
            NotForThisDevice: it is for another kind of device.
            WrongSignature: the signature is missing or wrong.
        """
        if self._model and image.target not in ("", self._model):
            raise NotForThisDevice(data={"target": self._model})
        if not demand or self._verifier is None:
            return
        if not signature:
            raise WrongSignature("Signature is missing")
        if not self._verifier.accepts(image, signature):
            logger.warning("%s is refused, as its signature is wrong", image.version)
            raise WrongSignature

    def _install(self, id: str, signature: bytes | None) -> FirmwareStatus:
        status = self._target.status()
        if id == self._installed and status.state == "pending":
            return status  # the answer was lost
        with self._transfers.whole(id) as transfer:
            wanted = transfer.wanted
            version, target = wanted.about["version"], wanted.about["target"]
            image = Image(version=version, target=target, size=wanted.size, sha256=wanted.sha256)
            self._check(image, signature or b64decode(wanted.about["signature"]))
            self._target.prepare(image)
            with self._transfers.part(transfer).open("rb") as file:
                offset = 0
                while block := file.read(_BLOCK):
                    self._target.write(offset, block)
                    offset += len(block)
            self._target.install()
            self._installed = id
            self._transfers.forget(transfer)
        logger.info("%s runs after the next restart", version)
        return self._target.status()

    async def _at_target(self, function: Callable[[], T]) -> T:
        """Call a function in a thread, one at a time; who waits needs no thread for that."""
        async with self._turns:
            return await anyio.to_thread.run_sync(function)

    def _tell_progress(self, id: str, there: int) -> None:
        transfer = self._transfers.peek(id)
        now = anyio.current_time()
        if transfer is None or (
            there < transfer.wanted.size and now - self._told < _PROGRESS_SECONDS
        ):
            return
        self._told = now
        self.progress.emit(FirmwareProgress(there, transfer.wanted.size))

    def _note(self, status: FirmwareStatus) -> None:
        """Tell of a new state, and look whether a restart is due."""
        self.state_changed.emit(status)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _restart_when_due(self) -> None:
        while self._restart is not None:
            changed = self._changed
            state = (await self.status()).state
            seconds = {"pending": _LEAVING_SECONDS, "testing": self._confirm_seconds}.get(state)
            with anyio.move_on_after(seconds):
                await changed.wait()
                continue
            if state == "testing":
                logger.warning("the image that runs was not confirmed in time")
            await self._at_target(self._restart)
            self._note(await self.status())
