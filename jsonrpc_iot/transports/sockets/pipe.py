"""`pipe://NAME` and `unix:///abs/path.sock`: Unix sockets between the processes of one host.

Source: the RPC protocol document, "RPC over Pipe": each process listens on
`/var/run/<name>-jsonrpc.socket`.
"""

import os
import secrets
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
from anyio.abc import SocketAttribute
from msgspec import Meta, Struct

from ...channel.contract import Channel, Listener
from ...channel.info import ChannelAttribute, ChannelInfo, PeerCredentials
from ...channel.url import Url
from ...errors import BindFailed, ConnectFailed, TransportError
from ...protocol.limits import Limits
from .dial import connect_unix
from .framed import FramedChannel
from .listener import StreamListener
from .stream import SocketStream
from .tls import reason

MAX_MESSAGE = 1 << 16
MODE = 0o660

_BACKLOG = 4096
_MAX_PATH_BYTES = 107
_LIVENESS_SECONDS = 1.0
_LOCKED_SECONDS = 0.01
_SEARCH_PATH = ("$JSONRPC_IOT_RUNTIME_DIR", "/var/run", "$XDG_RUNTIME_DIR")


class UnixOptions(Struct, frozen=True):
    """Options of a `unix://` URL.

    Args:
        max: bytes of the largest message that is sent.
        owner: the user, by name or number, whose process must be at the other end; connecting only.
            By default it may be anybody's, but in a folder where anybody may put a socket, as in
            `/tmp`, it must be that of this user, of root or of the folder's owner.
    """

    max: Annotated[int, Meta(gt=0)] = MAX_MESSAGE
    owner: str = ""


class PipeOptions(UnixOptions, frozen=True):
    """Options of a `pipe://` URL.

    Args:
        dir: the folder of the socket, and no other.
    """

    dir: str | None = None


def read_url(url: Url) -> UnixOptions:
    """What a URL to connect to says; raises `InvalidUrl`."""
    return _read(url, lambda url, paths: paths[0])[1]


async def connect(url: Url, limits: Limits) -> Channel:
    """Connect to a server on this host."""
    path, options = _read(url, _with_socket)
    _check_system(url)
    try:
        stream = _UnixStream(await connect_unix(path))
    except FileNotFoundError as error:
        raise ConnectFailed(f"{url}: {_absent(url, path, options)}: {reason(error)}") from error
    except OSError as error:
        raise ConnectFailed(f"{url}: {path}: {reason(error)}") from error
    try:
        _check_owner(url, path, options.owner, stream.credentials)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return _channel(url, options, limits, stream)


async def listen(url: Url, limits: Limits) -> Listener:
    """Bind a socket file; one that a dead server left behind is replaced."""
    path, options = _read(url, _writable)
    _check_system(url)
    try:
        listening = await _bind(path, url)
    except OSError as error:
        raise BindFailed(f"{url}: {path}: {reason(error)}") from error
    identity = _identity(path)

    async def open_channel(stream: _UnixStream) -> Channel:
        return _channel(url, options, limits, stream)

    def remove() -> None:
        if _identity(path) == identity:
            path.unlink(missing_ok=True)

    return StreamListener(
        [listening],
        [url.text],
        open_channel,
        max_peers=limits.peers,
        on_close=remove,
        new_stream=_UnixStream,
    )


def socket_path(folder: Path, name: str) -> Path:
    """The socket file of the server `name`."""
    return folder / f"{name}-jsonrpc.socket"


def _read(url: Url, choose: Callable[[Url, list[Path]], Path]) -> tuple[Path, UnixOptions]:
    if url.scheme == "unix":
        if url.host or not url.path.startswith("/"):
            raise url.error("an absolute path is needed, as in unix:///run/lamp.sock")
        path, options = Path(url.path), url.read_options(UnixOptions)
    else:
        url.forbid_path()
        url.forbid_port()
        options = url.read_options(PipeOptions)
        if not url.host:
            raise url.error("a name is missing, as in pipe://lamp")
        folders = [Path(options.dir)] if options.dir else _folders()
        path = choose(url, [socket_path(folder, url.host) for folder in folders])
    if "\0" in str(path) or "/" in url.host:
        raise url.error("a name or path has no NUL, and a name no slash")
    longest = max(path, _draft(path), key=lambda name: len(str(name)))
    if len(os.fsencode(longest)) > _MAX_PATH_BYTES:
        raise url.error(f"{path} is over {_MAX_PATH_BYTES} bytes, too long for a socket")
    return path, options


def _folders() -> list[Path]:
    expanded = map(os.path.expandvars, _SEARCH_PATH)
    return [Path(folder) for folder in expanded if folder and not folder.startswith("$")]


def _with_socket(url: Url, paths: list[Path]) -> Path:
    """The first that exists; where none does, the first, for the error to name."""
    return next((path for path in paths if path.is_socket()), paths[0])


def _absent(url: Url, path: Path, options: UnixOptions) -> str:
    """Where there is no socket."""
    if not isinstance(options, PipeOptions):
        return str(path)
    folders = [path.parent] if options.dir else _folders()
    paths = ", ".join(str(socket_path(each, url.host)) for each in folders)
    return f"nobody serves it: {paths}"


def _writable(url: Url, paths: list[Path]) -> Path:
    """The first in a folder that this process may write to."""
    for path in paths:
        if os.access(path.parent, os.W_OK | os.X_OK):
            return path
    folders = ", ".join(str(path.parent) for path in paths)
    raise BindFailed(f"{url}: no folder to write the socket to; tried {folders}; ?dir= names one")


async def _bind(path: Path, url: Url) -> socket.socket:
    """Bind under a name of our own and move the socket into place, so that it is never half there.

    That way it has its mode before anyone can connect, and replaces a dead one in one step.
    """
    async with _alone_in(path.parent):
        if _is_socket(path, url) and await _is_alive(path):
            raise BindFailed(f"{url}: {path}: another server is listening there")
        draft = _draft(path)
        bound = await anyio.create_unix_listener(draft, mode=MODE, backlog=_BACKLOG)
        listening = bound.extra(SocketAttribute.raw_socket)
        try:
            draft.rename(path)
        except OSError:
            draft.unlink(missing_ok=True)
            listening.close()
            raise
        return listening


def _draft(path: Path) -> Path:
    """A name that no other server takes, also none in another container with its own numbers."""
    return path.with_name(f".{secrets.token_hex(6)}")


@asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """Let no other server look at a folder's sockets and replace them meanwhile.

    The lock is on the folder itself, so that nothing is left behind, and ends with the process.
    Where the folder cannot be read, there is none.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        yield
        return
    try:
        while not _lock(descriptor):  # noqa: ASYNC110  # locks have no event
            await anyio.sleep(_LOCKED_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_socket(path: Path, url: Url) -> bool:
    if os.path.lexists(path) and not path.is_socket():
        raise BindFailed(f"{url}: {path} exists and is no socket")
    return path.is_socket()


async def _is_alive(path: Path) -> bool:
    try:
        with anyio.fail_after(_LIVENESS_SECONDS):
            raw = await connect_unix(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except TimeoutError:
        return True
    raw.close()
    return True


def _check_owner(url: Url, path: Path, wanted: str, server: PeerCredentials | None) -> None:
    """Refuse a server that anybody may have put there, before anything is sent to it.

    Raises:
        ConnectFailed: it is not whose it should be.
        InvalidUrl: there is no such user.
    """
    owner = path.stat().st_uid if server is None else server.uid
    folder = path.parent.stat()
    if wanted:
        if owner != _user(url, wanted):
            raise ConnectFailed(f"{url}: {path} is of user {owner}, not of {wanted}")
    elif folder.st_mode & stat.S_IWOTH and owner not in (0, os.geteuid(), folder.st_uid):
        raise ConnectFailed(
            f"{url}: {path} is of user {owner}, and anybody may put one there; "
            f"?owner={owner} connects all the same"
        )


def _user(url: Url, name: str) -> int:
    import pwd

    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise url.error(f"there is no user {name!r}") from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None


class _UnixStream(SocketStream):
    """A Unix socket that knows who is at the other end.

    Args:
        raw: connected.
    """

    def __init__(self, raw: socket.socket) -> None:
        super().__init__(raw)
        self.credentials = _credentials(raw)

    @property
    def network(self) -> str:
        """Whose process is at the other end, where the system tells."""
        return f"user {self.credentials.uid}" if self.credentials else ""

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes = super().extra_attributes
        if self.credentials is None:
            return attributes
        return {**attributes, ChannelAttribute.credentials: lambda: self.credentials}


def _channel(url: Url, options: UnixOptions, limits: Limits, stream: _UnixStream) -> Channel:
    credentials = stream.credentials
    pid = f"#pid={credentials.pid}" if credentials else ""
    info = ChannelInfo(
        transport=url.scheme, local=url.text, peer=url.text + pid, max_message=options.max
    )
    return FramedChannel(stream, info, limits)


def _credentials(raw: socket.socket) -> PeerCredentials | None:
    """Who is at the other end, where the system tells (Linux: unix(7), SO_PEERCRED)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    format = "3i"
    data = raw.getsockopt(socket.SOL_SOCKET, option, struct.calcsize(format))
    return PeerCredentials(*struct.unpack(format, data))


def _check_system(url: Url) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise TransportError(f"{url}: this system's Python has no Unix sockets; use tcp://")
