"""The service and `update`: an image is sent, installed, tested, confirmed, or gone again."""

import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jsonrpc_iot import Client, Dispatcher, InvalidParams, Principal, RpcError, UsageError
from jsonrpc_iot.services.files import Disk, InUse, NoRoom, NotAllowed
from jsonrpc_iot.services.firmware import (
    Firmware,
    FirmwareUpdates,
    Image,
    NotForThisDevice,
    NotRunning,
    SimulatedTarget,
    WrongSignature,
    sign,
    signed_text,
    update,
)
from jsonrpc_iot.testing import Faults, LossyLink, served

pytestmark = pytest.mark.anyio

IMAGE = bytes(number * number % 251 for number in range(3000))
SHA256 = hashlib.sha256(IMAGE).hexdigest()


class Device:
    """A simulated device."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.target = SimulatedTarget("1", space=4000)
        self.folder = folder
        self.options = options

    @asynccontextmanager
    async def client(self, **link: Any) -> AsyncIterator[Client]:
        """Serve it while the block runs; yields a client."""
        options = {"restart": self.target.restart, **self.options}
        updates = FirmwareUpdates(self.target, self.folder / "incoming", **options)
        dispatcher = Dispatcher()
        dispatcher.include(updates)
        dispatcher.everybody = Principal("everybody", {"firmware"})
        ends = LossyLink(Faults(), **{"reliable": True, **link})
        async with updates, served(dispatcher, ends.client, ends.server) as both:
            yield both.client


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image").write_bytes(IMAGE)
    return tmp_path / "image"


@pytest.fixture
def key(tmp_path: Path) -> Ed25519PrivateKey:
    """A key, which is in the file `key` too."""
    made = Ed25519PrivateKey.generate()
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    return made


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


async def test_an_image_is_installed_tested_and_confirmed(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path)
    async with device.client(max_message=500) as client:
        firmware = client.proxy(Firmware)
        async with firmware.progress.values() as progress, firmware.state_changed.values() as news:
            status = await update(client, image, "2", confirm=True)
            assert (status.version, status.state, status.previous) == ("2", "confirmed", "1")
            states = [(await news.receive()).state for _ in range(3)]
            assert states == ["pending", "testing", "confirmed"]
            while (step := await progress.receive()).offset < step.size:
                pass
            assert step.size == len(IMAGE)
    assert device.target.running == IMAGE
    assert [*(tmp_path / "incoming").iterdir()] == []


async def test_without_confirmation_the_image_before_returns(tmp_path: Path, image: Path) -> None:
    async with Device(tmp_path, confirm_seconds=0.01).client() as client:
        firmware = client.proxy(Firmware)
        async with firmware.state_changed.values() as news:
            status = await update(client, image, "2")
            assert (status.version, status.state, status.next) == ("1", "pending", "2")
            changes = [await news.receive() for _ in range(3)]
        states = [(each.version, each.state) for each in changes]
        assert states == [("1", "pending"), ("2", "testing"), ("1", "confirmed")]


async def test_an_image_that_does_not_start(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path)

    def crash() -> None:
        device.target.restart()
        device.target.restart()

    device.options["restart"] = crash
    async with device.client() as client:
        with pytest.raises(NotRunning, match="runs 1, as 2 did not start"):
            await update(client, image, "2", confirm=True)


@pytest.mark.parametrize("limit", [220, 512, None])
async def test_a_signature_is_demanded(
    tmp_path: Path, image: Path, key: Ed25519PrivateKey, limit: int | None
) -> None:
    device = Device(tmp_path, key=public(key), model="lamp")
    facts = Image(version="2", target="lamp", size=len(IMAGE), sha256=SHA256)
    right = sign(facts, tmp_path / "key")
    assert right == key.sign(f"jsonrpc-iot firmware\n2\nlamp\n{SHA256}\n".encode())
    async with device.client(max_message=limit) as client:
        for version, target, signature in (
            ("3", "lamp", right),
            ("2", None, right),
            ("2", "lamp", bytes(64)),
            ("2", "lamp", None),
        ):
            with pytest.raises(WrongSignature):
                await update(client, image, version, target=target, signature=signature)
        with pytest.raises(NotForThisDevice):
            await update(client, image, "2", target="oven", sign_key=tmp_path / "key")
        assert device.target.status().state == "confirmed"
        status = await update(client, image, "2", target="lamp", sign_key=tmp_path / "key")
        assert status.state == "pending"


async def test_images_that_are_refused(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path, restart=None)
    async with device.client() as client:
        firmware = client.proxy(Firmware)
        with pytest.raises(NoRoom):
            await firmware.begin(4001, SHA256, "2")
        with pytest.raises(InvalidParams):
            await firmware.begin(0, SHA256, "2")
        for version in ("", "a\nb", "a\n", "x" * 65):
            with pytest.raises(InvalidParams):
                await firmware.begin(3000, SHA256, version)
        begun = await firmware.begin(3000, SHA256, "2")
        with pytest.raises(InUse):
            await firmware.begin(3000, "0" * 64, "2")
        assert begun.transfer is not None
        with pytest.raises(InvalidParams):
            await firmware.install(begun.transfer)
        await firmware.write(begun.transfer, 0, IMAGE[::-1])
        with pytest.raises(RpcError, match="3101"):
            await firmware.install(begun.transfer)
        await update(client, image, "2")
        with pytest.raises(NotAllowed):
            await firmware.confirm()
        device.target.restart()
        with pytest.raises(InUse):
            await firmware.begin(3000, SHA256, "3")
        await firmware.confirm()
        begun = await firmware.begin(3000, SHA256, "3")
        assert begun.transfer is not None
        await firmware.abort(begun.transfer)
        assert (await firmware.begin(3000, "0" * 64, "3")).offset == 0


class SlowDisk(Disk):
    """A disk on which to keep something takes until `go`."""

    def __init__(self) -> None:
        self.go, self.waits = threading.Event(), threading.Event()
        self.go.set()

    def save(self, path: Path, data: bytes) -> None:
        self.waits.set()
        assert self.go.wait(10)
        super().save(path, data)


async def test_writes_wait_for_no_disk_that_others_are_at(tmp_path: Path) -> None:
    disk = SlowDisk()
    async with Device(tmp_path, restart=None, disk=disk, sync_seconds=60).client() as client:
        firmware = client.proxy(Firmware)
        begun = await firmware.begin(3000, SHA256, "2")
        assert begun.transfer is not None
        disk.waits.clear()
        disk.go.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(firmware.begin, 3000, SHA256, "3")
            await anyio.to_thread.run_sync(disk.waits.wait, 10)
            threading.Timer(5, disk.go.set).start()  # where the loop itself waits
            assert (await firmware.write(begun.transfer, 0, IMAGE[:100])).offset == 100
            assert not disk.go.is_set()
            disk.go.set()


class SlowTarget(SimulatedTarget):
    """A target that takes until `go` to install."""

    def __init__(self) -> None:
        super().__init__("1", space=4000)
        self.go, self.waits = threading.Event(), threading.Event()

    def install(self) -> None:
        self.waits.set()
        assert self.go.wait(10)
        super().install()


async def test_who_asks_while_it_installs_takes_no_threads(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path, restart=None)
    device.target = target = SlowTarget()
    threads = anyio.to_thread.current_default_thread_limiter()
    async with device.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(update, client, image, "2")
        await anyio.to_thread.run_sync(target.waits.wait, 10)
        for _ in range(int(threads.total_tokens) + 5):
            tasks.start_soon(client.call, "firmware.status")
        await client.call("rpc.ping")  # it has them all
        await anyio.wait_all_tasks_blocked()
        assert threads.borrowed_tokens == 1
        target.go.set()


async def test_it_goes_on_after_a_restart(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path, sync_seconds=0)
    steps: list[int] = []
    async with device.client(max_message=300) as client:
        with anyio.CancelScope() as scope:

            def note(there: int, size: int) -> None:
                if there > size // 2:
                    scope.cancel()

            await update(client, image, "2", progress=note)
    async with device.client(max_message=300) as client:
        await update(client, image, "2", progress=lambda there, size: steps.append(there))
    assert len(IMAGE) // 2 < steps[0] < len(IMAGE)
    assert device.target.status().next == "2"


async def test_the_answer_to_install_is_lost(tmp_path: Path, image: Path) -> None:
    device = Device(tmp_path, restart=None)
    link = LossyLink(Faults(), reliable=True)
    updates = FirmwareUpdates(device.target, tmp_path / "incoming")
    dispatcher = Dispatcher()
    dispatcher.include(updates)
    dispatcher.everybody = Principal("everybody", {"firmware"})
    async with served(dispatcher, link.client, link.server) as ends:
        firmware = ends.client.proxy(Firmware)
        begun = await firmware.begin(3000, SHA256, "2")
        assert begun.transfer is not None
        await firmware.write(begun.transfer, 0, IMAGE)
        first = await firmware.install(begun.transfer)
        assert await firmware.install(begun.transfer) == first


def test_what_is_signed() -> None:
    image = Image(version="1.4", size=1, sha256="ab" * 32)
    assert signed_text(image) == b"jsonrpc-iot firmware\n1.4\n\n" + b"ab" * 32 + b"\n"


def test_keys_that_are_none(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    image = Image(version="2", size=1, sha256=SHA256)
    (tmp_path / "text").write_text("nothing")
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "locked").write_bytes(locked)
    for name in ("text", "locked", "nowhere"):
        with pytest.raises(UsageError, match=name):
            sign(image, tmp_path / name)
    target = SimulatedTarget()
    for wrong in (bytes(31), tmp_path / "text", tmp_path / "key", tmp_path / "nowhere"):
        with pytest.raises(UsageError):
            FirmwareUpdates(target, tmp_path / "incoming", key=wrong)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public").write_bytes(pem)
    FirmwareUpdates(target, tmp_path / "incoming", key=tmp_path / "public")
