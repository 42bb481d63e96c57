"""Fixtures of the dispatcher's tests."""

import pytest

from jsonrpc_iot import Dispatcher

from ._layers import Send


async def _send_async(dispatcher: Dispatcher, message: bytes) -> bytes | None:
    return await dispatcher.dispatch(message)


async def _send_sync(dispatcher: Dispatcher, message: bytes) -> bytes | None:
    return dispatcher.dispatch_sync(message)


@pytest.fixture(params=[_send_async, _send_sync], ids=["dispatch", "dispatch_sync"])
def send(request: pytest.FixtureRequest) -> Send:
    """One of the two ways to have a message answered, for tests of what holds for both."""
    chosen: Send = request.param
    return chosen
