"""The lamp on a bare Cortex-M3, spoken to by our client."""

from pathlib import Path

import pytest

from jsonrpc_iot import MethodNotFound, connect
from tests.places import EXAMPLES
from tests.waiting import SECONDS

from .board import BOARD, build, running

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.anyio,
    pytest.mark.only_on("asyncio"),  # as sockets to serial lines do
]


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    mcu = EXAMPLES / "mcu"
    folder = tmp_path_factory.mktemp("lamp")
    return build(folder, BOARD / "main.c", mcu / "rpc_frame.c", flags=[f"-I{mcu}"])


async def test_calls(lamp: Path) -> None:
    async with running(lamp) as board, connect(board.url, timeout=SECONDS) as client:
        assert await client.call("lamp.set", {"level": 40}) == 0
        assert await client.call("lamp.set", {"level": 7}) == 40
        assert await client.call("lamp.uptime") < 1000 * SECONDS
        with pytest.raises(MethodNotFound):
            await client.call("lamp.dance")
