"""Fixtures of the tests of Tuya links."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream

from jsonrpc_iot.testing import (
    VirtualSerial,
    virtual_serial_pair,
)

from .ends import SECONDS, Both, opened


@pytest.fixture
async def line() -> AsyncIterator[VirtualSerial[ByteStream]]:
    with anyio.fail_after(SECONDS):
        async with virtual_serial_pair() as pair:
            yield pair


@pytest.fixture
async def both(line: VirtualSerial[ByteStream]) -> AsyncIterator[Both]:
    async with opened(line) as both:
        yield both
