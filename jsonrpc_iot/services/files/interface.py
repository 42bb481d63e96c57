"""What the `files` service promises: its methods, what they give, and its errors.

The page "Files and firmware over RPC" has them. Nothing counts until it is whole, and every step
may come twice.

FilesError           an error of this service
├── NoSuchFile       3001
├── FileExists       3002
├── NoRoom           3003
├── NotAllowed       3004
├── InUse            3005
└── WrongHash        3101
"""

import abc
from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from jsonrpc_iot import Context, Example, RpcError, method, service

PERMISSION = "files"
"""What a caller needs."""


class FilesError(RpcError):
    """An error of the file service."""

    message = "File error"


class NoSuchFile(FilesError):
    """There is no file of that name."""

    code = 3001
    message = "No such file"


class FileExists(FilesError):
    """There is another file of that name, and `replace` was not asked for."""

    code = 3002
    message = "File exists"


class NoRoom(FilesError):
    """There is no room for so much; `data` may be `{"free": bytes}`."""

    code = 3003
    message = "No room"


class NotAllowed(FilesError):
    """The name is not plain or leads out of the folder; `data` says why."""

    code = 3004
    message = "Not allowed"


class InUse(FilesError):
    """Somebody else writes that, or too many write; `data` may be `{"retry_after": seconds}`."""

    code = 3005
    message = "Busy"


class WrongHash(FilesError):
    """What has come is not what was announced. It is forgotten."""

    code = 3101
    message = "Hash is wrong"


TransferId = str | int
"""How a device names a transfer: as it likes."""

Sha256 = Annotated[
    str,
    # The lengths as `$` takes a line feed at the end.
    Meta(pattern="^[0-9a-fA-F]{64}$", min_length=64, max_length=64, description="SHA-256 in hex"),
]
Size = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]


class FileInfo(Struct, frozen=True, kw_only=True):
    """A file.

    Args:
        name: with its folders before it.
        size: bytes.
        modified: when it was changed, seconds of Unix time.
        sha256: of its bytes, in hex; a list has it where it is known without reading the file.
    """

    name: str
    size: Size
    modified: int | UnsetType = UNSET
    sha256: Sha256 | UnsetType = UNSET


class Begun(Struct, frozen=True, kw_only=True):
    """Where a transfer goes on.

    Args:
        transfer: names it from now on; `None` where nothing is left to do.
        offset: how many bytes are there.
        chunk: bytes that one write may hold on this link.
        window: writes that may be open at once.
    """

    transfer: TransferId | None
    offset: Size
    chunk: Size | UnsetType = UNSET
    window: Size | UnsetType = UNSET


class Written(Struct, frozen=True):
    """How far a transfer is.

    Args:
        offset: how many bytes are there, which is where the next write has to begin.
    """

    offset: Size


class Committed(Struct, frozen=True):
    """What is there now.

    Args:
        sha256: in hex.
    """

    sha256: Sha256


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a file.

    Args:
        data: its bytes, no more than fit a message.
        size: bytes that the whole file has. It is left out after the first piece where messages
            are small, as is the hash.
        sha256: of the whole file, in hex.
    """

    data: bytes
    size: Size | UnsetType = UNSET
    sha256: Sha256 | UnsetType = UNSET


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FILE = FileInfo(name="log.txt", size=0, modified=1_790_000_000, sha256=_EMPTY)
_BEGIN = Example(
    "a file of 12,000 bytes",
    {"name": "logo.png", "size": 12_000, "sha256": _EMPTY},
    Begun(transfer="5f0c2a91", offset=0, chunk=960, window=8),
)


@service("files")
class Files(abc.ABC):
    """The `files` service. `FolderFiles` is the one over a folder."""

    @method("list", effect="read", requires=PERMISSION, errors=(NotAllowed,), tags=("files",))
    @abc.abstractmethod
    def entries(self, path: str = "") -> AsyncIterator[FileInfo]:
        """The files there are, with those in folders.

        Args:
            path: a folder, for those in it alone.

        Raises:
            NotAllowed: the path is not plain, or leads out of the service's folder.
        """

    @method(
        effect="read",
        requires=PERMISSION,
        errors=(NoSuchFile, NotAllowed),
        tags=("files",),
        examples=(Example("a file", {"name": "log.txt"}, _FILE),),
    )
    @abc.abstractmethod
    async def stat(self, name: str) -> FileInfo:
        """Says what is known of a file, its hash too.

        Raises:
            NoSuchFile: there is none.
            NotAllowed: the name is not plain, or leads out of the service's folder.
        """

    @method(
        effect="danger",
        requires=PERMISSION,
        errors=(NoSuchFile, NotAllowed),
        tags=("files",),
    )
    @abc.abstractmethod
    async def delete(self, name: str) -> None:
        """Deletes a file.

        Raises:
            NoSuchFile: there is none.
            NotAllowed: as in `stat`.
        """

    @method(
        idempotent=True,
        effect="change",
        requires=PERMISSION,
        errors=(FileExists, NoRoom, NotAllowed, InUse),
        tags=("files",),
        examples=(_BEGIN,),
    )
    @abc.abstractmethod
    async def begin(
        self,
        name: str,
        size: Size,
        sha256: Sha256,
        replace: bool = False,
        *,
        context: Context | None = None,
    ) -> Begun:
        """Begins a transfer, or goes on with it: the same name, size and hash are the same one.

        Args:
            name: of the file.
            size: bytes.
            sha256: of the bytes, in hex.
            replace: another file of that name is to be replaced.
            context: of the call.

        Raises:
            FileExists: there is another file of that name, and `replace` is not said.
            NoRoom: there is no room for it.
            NotAllowed: as in `stat`.
            InUse: another file of that name is being written, or as many as may be.
        """

    @method(
        idempotent=True,
        effect="change",
        requires=PERMISSION,
        errors=(NoRoom,),
        tags=("files",),
    )
    @abc.abstractmethod
    async def write(self, transfer: TransferId, offset: Size, data: bytes) -> Written:
        """Takes the next bytes. Any others change nothing, and are told where to go on.

        Args:
            transfer: as `begin` named it.
            offset: where the bytes belong.
            data: no more than the `chunk` of `begin`.

        Raises:
            InvalidParams: there is no such transfer, or its file is not so large.
            NoRoom: the disk is full. The transfer goes on when it no longer is.
        """

    @method(
        idempotent=True,
        serial=True,
        effect="change",
        requires=PERMISSION,
        errors=(FileExists, WrongHash, NoRoom, NotAllowed),
        tags=("files",),
    )
    @abc.abstractmethod
    async def commit(self, transfer: TransferId) -> Committed:
        """Has the file take its place, all at once, when it is whole and right.

        Raises:
            InvalidParams: there is no such transfer, or bytes are missing; `data` says which.
            WrongHash: it is not what was announced.
            FileExists: another file has taken that name meanwhile.
            NotAllowed: or that of a folder which it is in.
        """

    @method(
        effect="read",
        requires=PERMISSION,
        errors=(NoSuchFile, NotAllowed),
        tags=("files",),
    )
    @abc.abstractmethod
    async def read(
        self, name: str, offset: Size, length: Size, *, context: Context | None = None
    ) -> Piece:
        """A part of a file, shortened to what fits a message and the file.

        Args:
            name: of the file.
            offset: where it begins.
            length: bytes.
            context: of the call.

        Raises:
            NoSuchFile: there is none.
            NotAllowed: as in `stat`.
        """

    @method(idempotent=True, effect="change", requires=PERMISSION, tags=("files",))
    @abc.abstractmethod
    async def abort(self, transfer: TransferId) -> None:
        """Forgets a transfer and what has come of it; one that is not there as well."""
