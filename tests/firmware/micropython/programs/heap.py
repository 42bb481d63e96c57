"""Prints the bytes of heap that a peer takes: its code, and what there is while it is idle.

heap.py udp PORT [IMAGE]
heap.py uart "" [IMAGE]

With the path of an image the modules are run from there, as from a board's flash.
"""

import asyncio
import gc
import hashlib
import json
import os
import socket
import sys
import time

import vfs

# All that the modules use of MicroPython itself, whatever uses it first.
USED = hashlib, json, os, socket, time, asyncio.Event, asyncio.Lock, asyncio.StreamReader
USED += asyncio.start_server, asyncio.wait_for, asyncio.create_task, asyncio.sleep


class Silence:
    """A line on which nothing comes."""

    async def read(self, size):
        await asyncio.Event().wait()


def used():
    gc.collect()
    return gc.mem_alloc()


def mount(path):
    with open(path, "rb") as file:
        image = file.read()
    vfs.mount(vfs.VfsRom(image), "/rom")
    sys.path.insert(0, "/rom")


async def main(way, port):
    await asyncio.sleep(0)
    before = used()
    import jsonrpc_iot

    kind = jsonrpc_iot.Udp if way == "udp" else jsonrpc_iot.Uart
    code = used() - before
    rpc = jsonrpc_iot.Rpc()
    link = kind(rpc, int(port), "127.0.0.1") if way == "udp" else kind(rpc, (Silence(), Silence()))
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0.05)
    print(json.dumps({"code": code, "idle": used() - before - code}))
    task.cancel()


if len(sys.argv) > 3:
    mount(sys.argv[3])
asyncio.run(main(*sys.argv[1:3]))
