"""What the kernel knows of a TCP connection, and how long it is to wait for the other end's."""

import socket
import sys

from anyio.abc import ByteStream, SocketAttribute


def set_patience(stream: ByteStream, seconds: float) -> None:
    """Have the kernel give up a connection whose other end confirms nothing for so long."""
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)
    if (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        raw.setsockopt(socket.IPPROTO_TCP, option, max(1, round(1000 * seconds)))


def unconfirmed(stream: ByteStream) -> int | None:
    """Bytes that the other end's kernel has not confirmed, as they travel (TLS has more of them).

    Returns:
        Their number, 0 where the system does not say; `None` when the socket is closed already.
    """
    raw: socket.socket | None = stream.extra(SocketAttribute.raw_socket, None)
    if raw is None or sys.platform != "linux":
        return 0
    import fcntl
    import termios

    if raw.fileno() < 0:
        return None
    try:
        answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)
