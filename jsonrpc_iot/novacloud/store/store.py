"""What a platform needs of a database: `Store`, all contracts in one.

A store keeps rows and knows no rules: who may do what, and what a value has to look like, is the
platform's business. Another database is a subclass of `Store` that passes the contract tests in
`tests/novacloud/store`. All times are Unix seconds.
"""

import abc
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .command_log import CommandLog
from .nodes import Nodes
from .outboxes import Outboxes
from .registry import Registry
from .telemetry_log import TelemetryLog


class Store(Registry, TelemetryLog, CommandLog, Outboxes):
    """Devices, values and commands on a medium that survives the process.

    An `async with` block opens and closes it. A method that changes something returns once the
    change is durable; either all of it is, or nothing, and then it raises `StoreFailed`.
    """

    @abc.abstractmethod
    async def __aenter__(self) -> Self: ...

    @abc.abstractmethod
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...

    @property
    @abc.abstractmethod
    def nodes(self) -> Nodes:
        """The nodes that share this record, and which device is with which of them."""

    @property
    def folder(self) -> Path | None:
        """Where on this machine's disks it is, if it is."""
        return None

    def sizes(self) -> Mapping[str, int]:
        """Bytes that it takes on this machine's disks: the `database`, and its `log`."""
        return {}

    @abc.abstractmethod
    async def backup(self, path: str) -> None:
        """Write a copy of all that is stored at this moment to a new file.

        Raises:
            StoreFailed: the file is there already, or cannot be written.
        """
