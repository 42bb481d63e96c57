"""Callers at all nodes: each command has a number of its own, and what they are told is noted."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from msgspec import Struct

from jsonrpc_iot import Client, JsonRpcIotError, RpcError, connect

from .nodes import Node

WAIT_SECONDS = 5.0
GRACE_SECONDS = 10.0
"""An answer that has not come so long after its time, on a busy machine, never will."""

EXPIRES_SECONDS = 240.0
_CANCELS = 0.2
_AGAIN_SECONDS = 0.2


class Told(Struct, kw_only=True):
    """What came of a command, as far as its sender was told.

    Args:
        device_id: whom it was for.
        begun: when it was sent, by the monotonic clock.
        node: by which.
        came_to: a status, "refused" by an error, "gone" with the node, or "nothing" for long.
        cancelled: whether another node has said that it never gets there.
    """

    device_id: str
    begun: float
    node: str
    came_to: str = "open"
    cancelled: bool = False


class Callers:
    """Those who send commands all the time, and cancel some of them.

    Args:
        ids: of the devices.
        nodes: that are asked.
        seed: gives the same choices again.
        was_in_trouble: whether a node, or what it needs, has been in trouble since a time.

    Attributes:
        told: by number.
    """

    def __init__(
        self,
        ids: Sequence[str],
        nodes: Sequence[Node],
        seed: int,
        was_in_trouble: Callable[[Node, float], bool],
    ) -> None:
        self._ids = ids
        self._nodes = nodes
        self._dice = random.Random(f"{seed} callers")
        self._was_in_trouble = was_in_trouble
        self._is_over = False
        self.told: dict[int, Told] = {}

    def stop(self) -> None:
        """Have them send no more; those who wait still do."""
        self._is_over = True

    async def run(self, pause: float) -> None:
        """Be one of them.

        Args:
            pause: seconds between two commands, at the most.
        """
        while not self._is_over:
            node = self._dice.choice(self._nodes)
            with suppress(JsonRpcIotError, OSError, TimeoutError):
                async with connect(node.manage) as client:
                    while node.place.is_up and not self._is_over:
                        await self._send(client, node)
                        await anyio.sleep(self._dice.uniform(0, pause))
            await anyio.sleep(_AGAIN_SECONDS)

    async def _send(self, client: Client, node: Node) -> None:
        number = len(self.told) + 1
        told = self.told[number] = Told(
            device_id=self._dice.choice(self._ids), begun=time.monotonic(), node=node.name
        )
        is_cancelled = self._dice.random() < _CANCELS
        params = {
            "device_id": told.device_id,
            "payload": {"light": number},
            "expires": EXPIRES_SECONDS,
            "timeout": WAIT_SECONDS,
            "wait": not is_cancelled,
        }
        try:
            outcome = await client.call(
                "command.send", params, timeout=WAIT_SECONDS + GRACE_SECONDS
            )
            told.came_to = outcome["status"]
        except RpcError as error:
            is_excused = self._was_in_trouble(node, told.begun)
            told.came_to = "refused" if is_excused else f"refused for nothing: {error}"
            await anyio.sleep(_AGAIN_SECONDS)
            return
        except (JsonRpcIotError, TimeoutError) as error:
            is_excused = self._was_in_trouble(node, told.begun)
            told.came_to = "gone" if is_excused else f"nothing: {error!r}"
            raise
        if is_cancelled:
            await anyio.sleep(self._dice.choice((0.0, 0.002, 0.01)))
            await self._cancel(outcome["command_id"], told)

    async def _cancel(self, command_id: str, told: Told) -> None:
        """Take a command back at another node."""
        other = self._dice.choice([node for node in self._nodes if node.place.is_up])
        with suppress(JsonRpcIotError, OSError, TimeoutError):
            async with connect(other.manage) as client:
                await client.call(
                    "command.cancel", {"command_id": command_id}, timeout=GRACE_SECONDS
                )
                told.cancelled = True
