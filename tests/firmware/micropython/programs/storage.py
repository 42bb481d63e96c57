"""A device that takes files and images: storage.py WAY PLACE FOLDER [KEY].

It prints which image it runs. It ends where a board would restart.
"""

import asyncio
import hashlib
import sys

from host import serve_links
from jsonrpc_iot_files import Files
from jsonrpc_iot_update import FileTarget, Updates

from jsonrpc_iot import Rpc


def verifier(key):
    def verify(text, signature):
        return hashlib.sha256(key.encode() + text).digest() * 2 == signature

    return verify


async def main(way, place, folder, key=None):
    rpc = Rpc()
    Files(rpc, folder + "/files")
    target = FileTarget(folder + "/images", "1.0.0", 100_000)
    image = await target.boot()
    verify = key and verifier(key)
    updates = Updates(rpc, target, folder + "/incoming", sys.exit, "lamp-2", verify, 2)
    tasks = [asyncio.create_task(each) for each in (serve_links(rpc, way, place), updates.run())]
    await asyncio.sleep(0)
    print("runs", image)
    await tasks[0]


asyncio.run(main(*sys.argv[1:]))
