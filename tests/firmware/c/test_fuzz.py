"""The fuzz target of the peer in C: all that is known, and a while of what is not."""

import subprocess
from pathlib import Path

import pytest

from .fuzz import FUZZ, OPTIONS, build, unpack

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(300)]

RUNS = 15_000  # some seconds; the same ones each time, as long as the code is the same
SECONDS = 200.0


def test_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    program, known = build(tmp_path), unpack(tmp_path / "known")
    command = [
        str(program),
        *OPTIONS,
        f"-dict={FUZZ / 'words.dict'}",
        "-seed=1",
        f"-runs={RUNS}",
        str(known),
    ]

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 0, done.stderr[-4000:]
