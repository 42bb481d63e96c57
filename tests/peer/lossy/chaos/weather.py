"""What a bad network does to packets: between datagrams, and between the frames of a line."""

import asyncio
import random
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from jsonrpc_iot import Limits
from jsonrpc_iot.protocol.duplicates import DOUBLED_SECONDS
from jsonrpc_iot.protocol.seal.packets import is_data, is_hello, new_unknown, receiver_of
from jsonrpc_iot.protocol.segments.format import SEGMENT_MARK, AssemblyBudget
from jsonrpc_iot.protocol.segments.receiver import Assembler
from jsonrpc_iot.protocol.tuya.frame import FrameDecoder, encode_frame
from jsonrpc_iot.testing import Faults

_RECORDED = 2000
_Recorded = tuple[bytes, Callable[[bytes], object], bool]
_Call = tuple[bytes, ...]
"""Its id and its key; callers may have equal ids."""

_CALL = re.compile(rb'"id":(\d+),.*"key":"(k\d+-\d+)"')
_MARK = b'"retry":true'
_EXTENSION = re.compile(rb'"(timeout|stream|retry)":')


class Weather:
    """Decides what becomes of packets, and watches for copies that no device can know as such.

    Args:
        faults: what goes wrong with packets in both directions.
        seed: gives the same decisions again.
        hostile: how often, for each packet, somebody sends one that was sent before, to where any
            other went, or says that a session is not known.

    Attributes:
        hellos: from which sealed sessions have begun; seen where packets are datagrams.
        arrived_at: when something has come to the device last.
        untold: by key, how many such copies arrived. They have no mark, and were sent before a
            restart and arrive after it; or they carry no extension at all, and arrive more than
            half a second after another one.
    """

    def __init__(self, faults: Faults, seed: str, hostile: float = 0.0) -> None:
        self.hellos: set[bytes] = set()
        self._hostile = hostile
        self._recorded: deque[_Recorded] = deque(maxlen=_RECORDED)
        self.arrived_at = 0.0
        self.untold: Counter[str] = Counter()
        self._faults = faults
        self._dice = random.Random(seed)
        self._restarted_at = 0.0
        self._sent_at: dict[_Call, float] = {}
        self._arrived_at: dict[_Call, float] = {}
        self._assembler = _new_assembler()

    def note_restart(self) -> None:
        """The device that has been there is gone."""
        self._restarted_at = time.monotonic()
        self._assembler = _new_assembler()

    def send(self, packet: bytes, deliver: Callable[[bytes], object], *, to_device: bool) -> None:
        """Deliver a packet never, once or twice, now or later."""
        faults, dice = self._faults, self._dice
        if to_device and (call := _CALL.search(packet)):
            self._sent_at.setdefault(call.groups(), time.monotonic())
        if is_hello(packet):
            self.hellos.add(packet)
        if self._hostile:
            self._recorded.append((packet, deliver, to_device))
            if dice.random() < self._hostile:
                self._attack()
        if dice.random() < faults.drop:
            return
        for _ in range(1 + (dice.random() < faults.duplicate)):
            delay = 0.0
            if dice.random() < faults.delay:
                delay = dice.uniform(0, faults.delay_seconds)
            elif dice.random() < faults.reorder:
                delay = dice.uniform(0, 0.02)
            if delay:
                arrive = partial(self._arrive, packet, deliver, to_device)
                asyncio.get_running_loop().call_later(delay, arrive)
            else:
                self._arrive(packet, deliver, to_device)

    def _attack(self) -> None:
        """Do what anybody can who is on the way, but has no key."""
        packet, _, to_device = self._dice.choice(self._recorded)
        _, deliver, arrives_at_device = self._dice.choice(self._recorded)
        if is_data(packet) and to_device and not arrives_at_device:
            packet = new_unknown(receiver_of(packet))
        self._arrive(packet, deliver, arrives_at_device)

    def _arrive(self, packet: bytes, deliver: Callable[[bytes], object], to_device: bool) -> None:
        if to_device:
            self.arrived_at = time.monotonic()
            self._watch(packet)
        deliver(packet)

    def _watch(self, packet: bytes) -> None:
        whole: bytes | None = packet
        if packet.startswith(SEGMENT_MARK):
            whole = self._assembler.take(packet, time.monotonic())
        if whole is None or _MARK in whole:
            return
        call = _CALL.search(whole)
        if call is None:
            return
        now = time.monotonic()
        has_crossed = self._sent_at[call.groups()] < self._restarted_at
        is_late = now - self._arrived_at.setdefault(call.groups(), now) > DOUBLED_SECONDS
        if has_crossed or (is_late and _EXTENSION.search(whole) is None):
            self.untold[call[2].decode()] += 1


def _new_assembler() -> Assembler:
    return Assembler(1400, Limits(), AssemblyBudget(Limits().assembled_bytes_in_all))


class _Datagrams(asyncio.DatagramProtocol):
    """Hands on what comes to a socket."""

    def __init__(self, take: Callable[[bytes, tuple[str, int]], object]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody is at the device's port just now: a loss like any other."""


def _send_to(
    transport: asyncio.DatagramTransport, address: tuple[str, int] | None, packet: bytes
) -> None:
    if not transport.is_closing():
        transport.sendto(packet, address)


@asynccontextmanager
async def udp_proxy(
    weather: Weather, device_port: int, move_seconds: float = 0.0
) -> AsyncIterator[int]:
    """A port in front of a device's, with a socket towards the device for each caller.

    Args:
        weather: between the two.
        device_port: where packets go.
        move_seconds: after which callers come from another address; 0 for never.
    """
    loop = asyncio.get_running_loop()
    towards: dict[tuple[str, int], asyncio.DatagramTransport] = {}
    opening: dict[tuple[str, int], list[bytes]] = {}
    sockets: list[asyncio.DatagramTransport] = []  # what is late may come to one of before

    async def open_towards(caller: tuple[str, int]) -> None:
        def back(packet: bytes, _: tuple[str, int]) -> None:
            weather.send(packet, partial(_send_to, front, caller), to_device=False)

        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(back), remote_addr=("127.0.0.1", device_port)
        )
        sockets.append(transport)
        towards[caller] = transport
        for packet in opening.pop(caller, ()):
            weather.send(packet, partial(_send_to, transport, None), to_device=True)

    def take(packet: bytes, caller: tuple[str, int]) -> None:
        if caller in towards:
            weather.send(packet, partial(_send_to, towards[caller], None), to_device=True)
        elif caller in opening:
            opening[caller].append(packet)
        else:
            opening[caller] = [packet]
            tasks.start_soon(open_towards, caller)

    async def move() -> None:
        while True:
            await anyio.sleep(move_seconds)
            for caller in tuple(towards):
                await open_towards(caller)

    async with anyio.create_task_group() as tasks:
        if move_seconds:
            tasks.start_soon(move)
        front, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(take), local_addr=("127.0.0.1", 0)
        )
        try:
            port: int = front.get_extra_info("sockname")[1]
            yield port
        finally:
            for transport in (front, *sockets):
                transport.close()
            tasks.cancel_scope.cancel()


def join_lines(
    weather: Weather,
    device: ByteStream,
    callers: ByteStream,
    seconds_per_byte: float,
    tasks: TaskGroup,
) -> None:
    """Carry whole frames between two lines, until the tasks are cancelled."""
    tasks.start_soon(_pump, weather, device, callers, seconds_per_byte, tasks, False)
    tasks.start_soon(_pump, weather, callers, device, seconds_per_byte, tasks, True)


async def _pump(
    weather: Weather,
    source: ByteStream,
    sink: ByteStream,
    seconds_per_byte: float,
    tasks: TaskGroup,
    to_device: bool,
) -> None:
    """Cut what comes into frames; write what the weather lets through, one frame at a time."""
    send, waiting = anyio.create_memory_object_stream[bytes](10_000)
    decoder = FrameDecoder()
    with send, waiting:
        tasks.start_soon(_write, weather, waiting, sink, seconds_per_byte, to_device)
        while True:
            data = await source.receive()
            for version, command, content in decoder.feed(data, anyio.current_time()):
                frame = encode_frame(command, content, version)
                weather.send(frame, partial(_put, send), to_device=to_device)


def _put(send: MemoryObjectSendStream[bytes], frame: bytes) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the line is gone
        send.send_nowait(frame)


async def _write(
    weather: Weather,
    waiting: MemoryObjectReceiveStream[bytes],
    sink: ByteStream,
    seconds_per_byte: float,
    to_device: bool,
) -> None:
    async for frame in waiting:
        await anyio.sleep(len(frame) * seconds_per_byte)
        await sink.send(frame)
        if to_device:
            weather.arrived_at = time.monotonic()
