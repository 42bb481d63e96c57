"""On trio there is a sentence, and no D-Bus."""

import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.services.wifi.networkmanager import NetworkManagerWifi


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "trio"


@pytest.mark.anyio
async def test_on_trio() -> None:
    with pytest.raises(UsageError, match=r"NetworkManager is spoken to on asyncio, not on trio"):
        async with NetworkManagerWifi():
            pass
