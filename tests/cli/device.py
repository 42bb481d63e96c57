"""A device that behaves as badly as a test wants, on blocking sockets in a thread."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

Behave = Callable[[socket.socket], object]
Answer = Callable[[dict[str, Any]], Iterable[bytes]]


class Device:
    """Accepts connections and lets `behave` handle each in turn.

    Args:
        listening: the bound socket.
        behave: gets each connection, which is closed when it returns.
    """

    def __init__(self, listening: socket.socket, behave: Behave) -> None:
        host, port = listening.getsockname()[:2]
        self.url = f"tcp://{host}:{port}"
        self._listening = listening
        self._behave = behave
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, and wait for the last connection's end."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(20)
                    self._behave(connection)


@contextmanager
def bad_device(behave: Behave) -> Iterator[str]:
    """Run a device while the block runs; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        device = Device(listening, behave)
        try:
            yield device.url
        finally:
            device.stop()


@contextmanager
def udp_device(answer: Answer) -> Iterator[str]:
    """Answer datagrams in a thread while the block runs.

    Args:
        answer: gives the datagrams that go back for a message.

    Yields:
        Its host and port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.bind(("127.0.0.1", 0))
        raw.settimeout(20)
        host, port = raw.getsockname()

        def serve() -> None:
            while True:
                packet, address = raw.recvfrom(65_535)
                if not packet:
                    return
                for reply in answer(msgspec.json.decode(packet)):
                    raw.sendto(reply, address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{host}:{port}"
        finally:
            raw.sendto(b"", (host, port))
            thread.join()


def lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """The messages that arrive, until the other end stops sending."""
    with connection.makefile("rb") as stream:
        for line in stream:
            yield msgspec.json.decode(line)


def wait_for_message(connection: socket.socket) -> None:
    """Wait until a message has arrived, or the other end has stopped sending."""
    next(lines(connection), None)


def answer_with(text: str | bytes) -> Behave:
    """A behaviour: answer each request with a text, in which `$ID` stands for its id."""
    data = text.encode() if isinstance(text, str) else text

    def behave(connection: socket.socket) -> None:
        for message in lines(connection):
            if "method" in message:
                id = msgspec.json.encode(message["id"])
                connection.sendall(data.replace(b"$ID", id) + b"\n")

    return behave


def say_nothing(connection: socket.socket) -> None:
    """A behaviour: read all and answer nothing."""
    for _ in lines(connection):
        pass


def hang_up(connection: socket.socket) -> None:
    """A behaviour: close the connection after the first message."""
    wait_for_message(connection)


def answer_by(methods: dict[str, Callable[[Any], object]]) -> Behave:
    """A behaviour: answer each request with what its method's function makes of the params.

    A function that returns `None` refuses the params, and a method that is not there is an error.
    """

    def behave(connection: socket.socket) -> None:
        for message in lines(connection):
            reply: dict[str, object] = {"id": message["id"]}
            if message["method"] not in methods:
                reply["error"] = {"code": -32601, "message": "Method not found"}
            elif (result := methods[message["method"]](message.get("params"))) is None:
                reply["error"] = {"code": -32602, "message": "Invalid params"}
            else:
                reply["result"] = result
            connection.sendall(msgspec.json.encode(reply) + b"\n")

    return behave
