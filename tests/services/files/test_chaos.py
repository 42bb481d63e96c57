"""Links that lose messages while both ends end at any moment: in the end the file is there, right.

`make chaos` has many more of these stories.
"""

import os
import random
from itertools import count
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot.services.files import get, put
from jsonrpc_iot.testing import Faults, LossyLink, served

from .device import DATA, device
from .power import OUTCOMES, CuttingDisk

pytestmark = pytest.mark.anyio

STORIES = int(os.environ.get("JSONRPC_IOT_CRASHES", "4"))
FAULTS = Faults(drop=0.1, reorder=0.1, duplicate=0.1, delay_seconds=0.001)
CALM_AFTER = 5


@pytest.mark.parametrize("seed", range(STORIES))
async def test_both_ends_end_again_and_again(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # not a secret
    (tmp_path / "file").write_bytes(DATA)
    root = tmp_path / "0"
    root.mkdir()
    (root / "file").write_bytes(b"old")
    for number in count(1):
        disk = CuttingDisk(root)
        stop_at = chance.randrange(len(DATA)) if number < CALM_AFTER else len(DATA) + 1
        link = LossyLink(FAULTS, seed=100 * seed + number, max_message=400, retry_seconds=0.02)
        dispatcher = device(root, disk=disk, sync_seconds=chance.choice([0, 0.01, 1]))
        async with served(dispatcher, link.client, link.server) as ends:
            with anyio.CancelScope() as scope:

                def stop(
                    there: int, size: int, scope: anyio.CancelScope = scope, at: int = stop_at
                ) -> None:
                    if there >= at:
                        scope.cancel()

                await put(ends.client, tmp_path / "file", replace=True, progress=stop)
                break
        assert (root / "file").read_bytes() in (b"old", DATA)
        if chance.random() < 0.7:  # the power has gone as well
            root = tmp_path / f"{number}"
            disk.leave(chance.choice(OUTCOMES), root)
            assert (root / "file").read_bytes() in (b"old", DATA)
    assert (root / "file").read_bytes() == DATA

    for number in count(1):
        stop_at = chance.randrange(len(DATA)) if number < CALM_AFTER else len(DATA) + 1
        link = LossyLink(FAULTS, seed=100 * seed + number, max_message=400, retry_seconds=0.02)
        async with served(device(root), link.client, link.server) as ends:
            with anyio.CancelScope() as scope:

                def stop_getting(
                    there: int, size: int, scope: anyio.CancelScope = scope, at: int = stop_at
                ) -> None:
                    if there >= at:
                        scope.cancel()

                await get(ends.client, "file", tmp_path / "copy", progress=stop_getting)
                break
        assert not (tmp_path / "copy").exists()
    assert (tmp_path / "copy").read_bytes() == DATA
