"""Cuts the power at every step of a put and of an update; prints how many steps there were.

cuts.py FOLDER
"""

import asyncio
import binascii
import hashlib
import os
import sys

import jsonrpc_iot_files
import jsonrpc_iot_update

import jsonrpc_iot

OLD, NEW = b"old" * 100, b"new image" * 200
SHA256 = binascii.hexlify(hashlib.sha256(NEW).digest()).decode()
PIECE = 700


class PowerCut(BaseException):
    """From here on nothing is done any more."""


class Power:
    """Lets so many changes of the disk happen; of what is written then, half gets there."""

    def __init__(self):
        self.left = self.done = 0

    def step(self, torn=None):
        self.done += 1
        self.left -= 1
        if self.left < 0:
            if self.left == -1 and torn:
                torn()
            raise PowerCut


POWER = Power()


class Disk:
    """What changes the disk; all else is that of `os`."""

    def __getattr__(self, name):
        return getattr(os, name)

    def rename(self, old, new):
        POWER.step()
        os.rename(old, new)

    def remove(self, path):
        POWER.step()
        os.remove(path)

    def mkdir(self, path):
        POWER.step()
        os.mkdir(path)


class File:
    """A file whose bytes may be written in half."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        POWER.step(lambda: self._file.write(data[: len(data) // 2]))
        return self._file.write(data)


def open_file(path, mode="r"):
    if mode in ("w", "wb"):
        POWER.step()
    return File(open(path, mode))


jsonrpc_iot_files.os = Disk()
for module in (jsonrpc_iot_files, jsonrpc_iot_update):
    module.open = open_file


class Link:
    """What `begin` is told of."""

    limit, shared = 1024, False


def base64(data):
    return binascii.b2a_base64(data)[:-1].decode()


def remove_all(folder):
    for name, kind, *_ in list(os.ilistdir(folder)):
        path = folder + "/" + name
        if kind & 0x4000:
            remove_all(path)
        else:
            os.remove(path)
    os.rmdir(folder)


def content(path):
    with open(path, "rb") as file:
        return file.read()


# ---- A file that replaces another


async def put(folder):
    files = jsonrpc_iot_files.Files(jsonrpc_iot.Rpc(), folder)
    begun = await files.begin(Link, None, "in/name", len(NEW), SHA256, True)
    if begun["transfer"] is None:
        return
    for offset in range(begun["offset"], len(NEW), PIECE):
        files.write(begun["transfer"], offset, base64(NEW[offset : offset + PIECE]))
    await files.commit(begun["transfer"])


def prepare_files(folder):
    os.mkdir(folder)
    os.mkdir(folder + "/in")
    with open(folder + "/in/name", "wb") as file:
        file.write(OLD)


def check_files(folder):
    assert content(folder + "/in/name") in (OLD, NEW)


def check_put(folder):
    assert content(folder + "/in/name") == NEW
    assert list(os.ilistdir(folder + "/.jsonrpc-iot")) == []


# ---- An image


async def start(folder):
    """What a board does when it gets power: returns what runs, and the service."""
    target = jsonrpc_iot_update.FileTarget(folder + "/images", "1.0.0", 10_000)
    place = await target.boot()
    updates = jsonrpc_iot_update.Updates(jsonrpc_iot.Rpc(), target, folder + "/incoming", None)
    return place, target, updates


async def update(folder):
    _, target, updates = await start(folder)
    if target.status()["version"] == "1.0.0":
        about = len(NEW), SHA256, "1.1.0", "", None
        begun = updates.begin(Link, None, *about)
        for offset in range(begun["offset"], len(NEW), PIECE):
            updates.write(begun["transfer"], offset, base64(NEW[offset : offset + PIECE]))
        await updates.install(begun["transfer"], None)
        _, target, updates = await start(folder)
    assert target.status()["version"] == "1.1.0"
    await updates.confirm()


async def check_images(folder):
    place, target, _ = await start(folder)
    version = target.status()["version"]
    assert (version == "1.0.0" and place is None) or content(place) == NEW


async def check_update(folder):
    for _ in range(2):
        place, target, _ = await start(folder)
        assert target.status() == {"version": "1.1.0", "state": "confirmed", "previous": "1.0.0"}
        assert content(place) == NEW


async def awaited(result):
    return await result if hasattr(result, "send") else result


async def cut_everywhere(folder, prepare, run, check, check_done):
    """Cut the power at each step, look what is there, and go on."""
    steps = 0
    while True:
        prepare(folder)
        POWER.left, POWER.done = steps, 0
        try:
            await run(folder)
            is_whole = True
        except PowerCut:
            is_whole = False
        POWER.left = 1_000_000
        if not is_whole:
            await awaited(check(folder))
            await run(folder)
        await awaited(check_done(folder))
        remove_all(folder)
        if is_whole:
            return steps
        steps += 1


async def main(folder):
    place = folder + "/cuts"
    POWER.left = 1_000_000
    print(await cut_everywhere(place, prepare_files, put, check_files, check_put))
    print(await cut_everywhere(place, os.mkdir, update, check_images, check_update))


asyncio.run(main(sys.argv[1]))
