"""What the parts of the SQLite store share: how they read the file, and how they change it."""

import abc
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from jsonrpc_iot import RpcError

from .keeper import Keeper
from .taken import Taken

T = TypeVar("T")


class Tables(abc.ABC):
    """Some tables of the file.

    Attributes:
        keeper: keeps those of values in shape.
    """

    keeper: Keeper
    _taken: Taken

    @abc.abstractmethod
    async def _read(self, find: Callable[[sqlite3.Connection], T]) -> T:
        """Read one moment of the file in a thread."""

    @abc.abstractmethod
    async def _query(self, find: Callable[[sqlite3.Connection], T]) -> T:
        """The same for what may take long, so that nobody has to wait for it to look up."""

    @abc.abstractmethod
    async def _commit(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in the writer's thread; returns what it does once that is committed."""

    async def _change(self, text: str, values: tuple[Any, ...], missing: RpcError) -> None:
        """Change one row; raises `missing` where there is none."""

        def change(db: sqlite3.Connection) -> None:
            if not db.execute(text, values).rowcount:
                raise missing

        await self._commit(change)
