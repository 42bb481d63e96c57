"""Who has the device leave the network that they talk over learns what has become of it."""

import subprocess
import sys

import anyio
import msgspec
import pytest

from tests._system import require_command
from tests.places import ROOT
from tests.waiting import SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The programs choose their own event loops."""
    return "asyncio"


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_the_link_that_asked_is_cut(scheme: str) -> None:
    alone = [require_command("unshare"), "--net", "--map-root-user"]
    require_command("ip")
    if (await anyio.run_process([*alone, "true"], check=False)).returncode:
        pytest.skip("no networks of one's own here")
    with anyio.fail_after(6 * SECONDS):
        done = await anyio.run_process(
            [*alone, sys.executable, "-m", "tests.services.cut", scheme],
            check=False,
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 0, done.stderr.decode()
    assert msgspec.json.decode(done.stdout) == {
        "not there": 1001,  # told before anything is cut
        "cuts for that": 0,
        "same address": "joined",
        "wrong key": 1002,  # and back on the network before
        "cuts": 2,  # each asked for once
        "other address": "CallTimeout",
        "status there": ["garden", 3],
    }
