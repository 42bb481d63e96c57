"""The service `firmware` for `jsonrpc_iot`: images for a device, and `FileTarget` for two of them.

Bytes of an image go to their place at once, and count when they are whole and right. No more than
a message of it is held in memory.
"""

import asyncio
import hashlib
from binascii import hexlify
from time import ticks_diff, ticks_ms

from jsonrpc_iot_files import (
    BLOCK,
    YIELD_MS,
    decode,
    hash_of,
    hash_text,
    load,
    make_folder,
    missing,
    no_room,
    room,
    save,
    size_of,
    window,
)
from jsonrpc_iot_methods import RpcError, invalid

SYNC = 4096  # bytes after which it is kept how many there are, a block of flash


class Updates:
    """The methods of a device that can be updated; `run` it beside its links.

    Args:
        rpc: gets the methods.
        target: where images are. It has the methods of `FileTarget`, all but `boot`.
        folder: keeps what is known of an image on its way; it is made if it is not there.
        restart: restarts the device; `machine.reset` on a board.
        model: of the device, which refuses images for others; `""` takes all.
        verify: takes the bytes that a signature is over and those of the signature, and returns
            whether it is right; `None` takes all images.
        confirm_seconds: for which an image runs unconfirmed.
    """

    def __init__(self, rpc, target, folder, restart, model="", verify=None, confirm_seconds=300):
        self._rpc, self._target, self._restart, self._model = rpc, target, restart, model
        self._verify, self._confirm_seconds = verify, confirm_seconds
        make_folder(folder)
        self._path = folder + "/update.json"
        self._image = load(self._path)  # and how many bytes of it are there for good
        self._there, self._at = (self._image or {}).get("offset", 0), ticks_ms()
        self._installed, self._changed = None, asyncio.Event()
        size, transfer, signature = ("size", int), ("transfer", object), ("signature", object, None)
        about = (size, ("sha256", str), ("version", str), ("target", object, None), signature)
        again = {"idempotent": True}
        rpc.method("firmware.status", **again)(target.status)
        rpc.method("firmware.begin", *about, peer=True, **again)(self.begin)
        write = transfer, ("offset", int), ("data", str)
        rpc.method("firmware.write", *write, **again)(self.write)
        rpc.method("firmware.abort", transfer, **again)(self.abort)
        rpc.method("firmware.install", transfer, signature)(self.install)
        rpc.method("firmware.confirm", **again)(self.confirm)

    async def run(self):
        """Restart the device when that is due, for ever."""
        while True:
            state = self._target.status()["state"]
            self._changed.clear()
            if state == "confirmed":
                await self._changed.wait()
                continue
            seconds = 0.5 if state == "pending" else self._confirm_seconds
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except asyncio.TimeoutError:
                self._restart()

    def begin(self, link, address, size, sha256, version, target, signature):
        """Begin an image, or go on with it."""
        target = target or ""
        image = {"size": size, "sha256": sha256, "version": version, "target": target}
        id = hash_text(f"{version}\n{target}\n{size}\n{sha256}")[:8]
        is_image = size > 0 and len(sha256) == 64 and 0 < len(version) <= 64
        if not is_image or not isinstance(target, str):
            raise invalid("$", "no image can be so")
        if self._target.status()["state"] == "testing":
            raise RpcError(3005, "The image that runs is not confirmed")
        if self._model and target not in ("", self._model):
            raise RpcError(3103, "Not for this device", {"target": self._model})
        if signature is not None or link.limit >= 1024:
            self._check(image, signature)
        if size > self._target.space():
            raise no_room(self._target.space())
        if self._image is None or self._image["id"] != id:
            age = ticks_diff(ticks_ms(), self._at)
            if self._image and age < YIELD_MS and self._there:
                raise RpcError(3005, "Busy", {"retry_after": 1 + (YIELD_MS - age) // 1000})
            self._target.prepare()
            self._there = 0
        self._image = image
        image["id"], image["signature"] = id, signature
        self._keep()
        begun = {"transfer": id, "offset": self._there, "chunk": room(link)}
        begun["window"] = window(link)
        return begun

    def write(self, transfer, offset, data):
        """Take the next bytes; returns how many are there."""
        image, data = self._wanted(transfer), decode(data)
        if offset == self._there and data:
            if offset + len(data) > image["size"]:
                raise invalid("$.data", f"the image has {image['size']} bytes")
            self._target.write(offset, data)
            self._there += len(data)
            self._at = ticks_ms()
            if self._there // SYNC > offset // SYNC or self._there == image["size"]:
                self._keep()
        return {"offset": self._there}

    def abort(self, transfer):
        """Forget an image on its way."""
        if self._image and self._image["id"] == transfer:
            self._forget()

    async def install(self, transfer, signature):
        """Have an image that is whole, right and signed run after the next restart."""
        if transfer == self._installed and self._target.status()["state"] == "pending":
            return {"state": "pending"}  # the answer was lost
        image = self._wanted(transfer)
        missing(self._there, image["size"])
        hash = hashlib.sha256()
        for offset in range(0, image["size"], BLOCK):
            hash.update(self._target.read(offset, min(BLOCK, image["size"] - offset)))
            await asyncio.sleep(0)
        self._wanted(transfer)  # it may have been aborted meanwhile
        if hexlify(hash.digest()).decode() != image["sha256"]:
            self._forget()
            raise RpcError(3101, "Hash is wrong")
        self._check(image, signature or image["signature"])
        self._target.install(image["version"], image["size"], image["sha256"])
        self._installed = transfer
        self._forget()
        await self._tell()
        return {"state": "pending"}

    async def confirm(self):
        """Have the image that runs stay."""
        state = self._target.status()["state"]
        if state == "pending":
            raise RpcError(3004, "The new image does not run yet")
        if state == "testing":
            self._target.confirm()
            await self._tell()

    async def _tell(self):
        self._changed.set()
        await self._rpc.notify("firmware.state", self._target.status())

    def _check(self, image, signature):
        """Refuse an image that somebody else has made."""
        if self._verify is None:
            return
        lines = "jsonrpc-iot firmware", image["version"], image["target"], image["sha256"], ""
        if not signature:
            raise RpcError(3102, "Signature is missing")
        if not isinstance(signature, str) or not self._verify(
            "\n".join(lines).encode(), decode(signature)
        ):
            raise RpcError(3102, "Signature is wrong")

    def _wanted(self, transfer):
        if self._image is None or self._image["id"] != transfer:
            raise invalid("$.transfer", "there is no such transfer")
        return self._image

    def _keep(self):
        self._image["offset"] = self._there
        save(self._path, self._image)

    def _forget(self):
        self._image, self._there = None, 0
        save(self._path, None)


class FileTarget:
    """Two images as files of a folder, for programs that are started from one of them.

    Args:
        folder: of the images; it is made if it is not there.
        version: of what runs where there is no image yet.
        space: bytes that an image may have.
    """

    def __init__(self, folder, version, space):
        make_folder(folder)
        self._folder, self._space = folder, space
        record = load(folder + "/boot.json")
        self._record = record or {"now": {"slot": None, "version": version}, "next": None}
        self._runs = self._record["now"]

    async def boot(self):
        """Say which image is to run: its path, or `None` for what there was before all images.

        To be called once, at the start: an image that was started before and not confirmed is
        dropped, and so is one whose hash is wrong.
        """
        image = self._record["next"]
        if image and not image["tried"] and await self._is_right(image):
            image["tried"] = True
            self._save()
            self._runs = image
        elif image:
            self._record["next"] = None
            self._save()
        return self._place(self._runs)

    async def _is_right(self, image):
        place = self._place(image)
        return size_of(place) == image["size"] and await hash_of(place) == image["sha256"]

    def status(self):
        """What runs, and what becomes of it."""
        now, image = self._record["now"], self._record["next"]
        status = {"version": self._runs["version"], "state": "confirmed"}
        if image and self._runs is image:
            status["state"], status["previous"] = "testing", now["version"]
        elif image:
            status["state"], status["next"] = "pending", image["version"]
        elif "before" in now:
            status["previous"] = now["before"]
        return status

    def space(self):
        """Bytes that an image may have."""
        return self._space

    def prepare(self):
        """Make place for an image; one that was to run after the next restart is dropped."""
        if self._record["next"]:
            self._record["next"] = None
            self._save()
        open(self._spare(), "wb").close()

    def write(self, offset, data):
        """Take bytes of an image, each behind those before, or again after a restart."""
        with open(self._spare(), "r+b") as file:
            file.seek(offset)
            file.write(data)

    def read(self, offset, size):
        """Bytes that were written."""
        with open(self._spare(), "rb") as file:
            file.seek(offset)
            return file.read(size)

    def install(self, version, size, sha256):
        """Have the image that was written run after the next restart."""
        image = {"slot": self._spare()[-5], "version": version, "size": size, "sha256": sha256}
        image["tried"] = False
        self._record["next"] = image
        self._save()

    def confirm(self):
        """Have the image that runs stay."""
        now, image = self._record["now"], self._record["next"]
        if image and self._runs is image:
            image["before"] = now["version"]
            self._record = {"now": image, "next": None}
            self._save()

    def _place(self, image):
        return image["slot"] and f"{self._folder}/image-{image['slot']}.bin"

    def _spare(self):
        slot = "b" if self._record["now"]["slot"] == "a" else "a"
        return f"{self._folder}/image-{slot}.bin"

    def _save(self):
        save(self._folder + "/boot.json", self._record)
