"""`make chaos` that is ended leaves nothing behind."""

import os
import select
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.places import ROOT
from tests.waiting import SECONDS, eventually


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize(
    "words", [("tests.peer.lossy.chaos", "udp"), ("tests.gateway.chaos", "--callers", "2")]
)
def test_what_a_chaos_has_started_ends_with_it(words: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as program:
        listed = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        anyio.run(eventually, lambda: len(listed.read_text().split()) >= 2)
        ends = [os.pidfd_open(int(pid)) for pid in listed.read_text().split()]
        program.terminate()
        program.wait(SECONDS)
        for end in ends:
            assert select.select([end], [], [], SECONDS)[0]
            os.close(end)
