"""`seqpacket://NAME`: local sockets of Linux that keep messages apart, so nothing has to be cut."""

import socket
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

import anyio
from anyio.abc import TaskGroup
from msgspec import Meta

import jsonrpc_iot as rpc


class Options(rpc.PacketOptions, frozen=True):
    max: Annotated[int, Meta(gt=0)] = 65_536  # bytes


class Socket:
    """What a channel and a listener have in common."""

    def __init__(self, raw: socket.socket, url: rpc.Url, limits: rpc.Limits) -> None:
        raw.setblocking(False)
        self.raw, self.url, self.limits = raw, url, limits
        self.options = url.read_options(Options)
        self.address = f"seqpacket://{url.host}"

    async def do(self, ready: Callable[..., Any], action: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the socket when that does not block the event loop."""
        while self.raw.fileno() >= 0:
            await ready(self.raw)
            try:
                return action(*args)
            except BlockingIOError:
                continue
            except OSError as error:
                if self.raw.fileno() >= 0:
                    raise anyio.BrokenResourceError(error.strerror) from error
        raise anyio.ClosedResourceError

    async def aclose(self) -> None:
        if self.raw.fileno() >= 0:
            anyio.notify_closing(self.raw)  # whoever waits gets a ClosedResourceError
            self.raw.close()


class SeqpacketChannel(Socket, rpc.Channel):
    @property
    def info(self) -> rpc.ChannelInfo:
        return rpc.ChannelInfo(
            transport="seqpacket",
            local=self.address,
            peer=self.address,
            max_message=self.options.max,
            codec=self.options.codec,
        )

    async def receive(self) -> bytes:
        limit = self.limits.receive_bytes
        message, _, flags, _ = await self.do(anyio.wait_readable, self.raw.recvmsg, limit)
        if flags & socket.MSG_TRUNC:
            raise rpc.FramingError(rpc.TooLarge(data={"limit": limit}))
        if not message:
            raise anyio.EndOfStream
        return bytes(message)

    async def send(self, item: bytes) -> None:
        await self.do(anyio.wait_writable, self.raw.send, item)

    async def send_eof(self) -> None:
        await self.do(anyio.wait_writable, self.raw.shutdown, socket.SHUT_WR)


class SeqpacketListener(Socket, rpc.Listener):
    @property
    def addresses(self) -> list[str]:
        return [self.options.reached_at(self.address)]

    async def serve(
        self, handler: Callable[[rpc.Channel], Coroutine[Any, Any, None]], task_group: TaskGroup
    ) -> None:
        room = anyio.Semaphore(self.limits.peers)

        async def serve_one(raw: socket.socket) -> None:
            await handler(SeqpacketChannel(raw, self.url, self.limits))
            room.release()

        while True:
            await room.acquire()
            task_group.start_soon(serve_one, await self.accept())

    async def accept(self) -> socket.socket:
        while True:
            try:
                raw, _ = await self.do(anyio.wait_readable, self.raw.accept)
                return cast(socket.socket, raw)
            except anyio.BrokenResourceError:  # out of file descriptors, for example
                await anyio.sleep(0.1)


def new_socket(url: rpc.Url) -> socket.socket:
    url.read_options(Options)
    url.forbid_path()
    url.forbid_port()
    if not url.host:
        raise url.error("a name is missing, as in seqpacket://lamp")
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)


async def connect(url: rpc.Url, limits: rpc.Limits) -> rpc.Channel:
    raw = new_socket(url)
    try:
        raw.connect(f"\0{url.host}")
    except OSError as error:
        raw.close()
        raise rpc.ConnectFailed(f"{url}: {error.strerror}") from error
    return SeqpacketChannel(raw, url, limits)


async def listen(url: rpc.Url, limits: rpc.Limits) -> rpc.Listener:
    raw = new_socket(url)
    try:
        raw.bind(f"\0{url.host}")
        raw.listen()
    except OSError as error:
        raw.close()
        raise rpc.BindFailed(f"{url}: {error.strerror}") from error
    return SeqpacketListener(raw, url, limits)
