"""An MQTT broker on this machine, for as long as it takes to show something.

Mosquitto where it is installed, else amqtt.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import anyio

from jsonrpc_iot import TransportError

_SECONDS = 10.0
_PAUSE_SECONDS = 0.02


def has_broker() -> bool:
    """Whether this machine has a broker, and what speaks to one."""
    has_any = shutil.which("mosquitto") is not None or find_spec("amqtt") is not None
    return has_any and find_spec("paho") is not None


@asynccontextmanager
async def local_broker(folder: str) -> AsyncIterator[str]:
    """Run a broker until the block ends; yields the URL of a topic there.

    Args:
        folder: for its configuration.

    Raises:
        TransportError: it did not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    async with await anyio.open_process(
        _command(folder, port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with anyio.move_on_after(_SECONDS):
                while process.returncode is None:
                    with suppress(OSError):
                        await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                        break
                    await anyio.sleep(_PAUSE_SECONDS)
            if process.returncode is not None:
                raise TransportError("the MQTT broker did not start")
            # amqtt (0.12) speaks nothing newer, and says so only after a while.
            version = "" if shutil.which("mosquitto") else "?version=3.1.1"
            yield f"mqtt://127.0.0.1:{port}/demo/rpc{version}"
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


def _command(folder: str, port: int) -> list[str]:
    program = shutil.which("mosquitto")
    if program is None:
        run = f"import asyncio; from {__name__} import run_amqtt; asyncio.run(run_amqtt({port}))"
        return [sys.executable, "-c", run]
    text = f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
    if hasattr(os, "getuid") and os.getuid() == 0:
        text += "user root\n"  # else it becomes a user who cannot read the folder
    path = Path(folder, "mosquitto.conf")
    path.write_text(text, encoding="utf-8")
    return [program, "-c", str(path)]


async def run_amqtt(port: int) -> None:
    """Run amqtt until cancelled, in a process of its own."""
    from amqtt.broker import Broker

    await Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
    ).start()
    await anyio.sleep_forever()
