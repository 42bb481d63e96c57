"""The sources of Monocypher, as PyPI's pymonocypher carries them: one version, fetched once."""

import hashlib
import subprocess
import tarfile
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from tests._system import lack

SECONDS: Final = 200.0
_REQUIREMENT: Final = "pymonocypher==4.0.2.5"
_SHA256: Final = "472babbf218773bb6d3e396aac20749beaeb3bea505da0df992dbd97410bef98"
_FILES: Final = ("monocypher.c", "monocypher.h")


def monocypher(cache: Path) -> Path:
    """The folder with `monocypher.c` and `monocypher.h`.

    Args:
        cache: a folder that keeps what is fetched.
    """
    folder = cache / _SHA256[:16]
    if not folder.exists():
        with TemporaryDirectory(dir=cache) as work:
            unpacked = _fetch(Path(work))
            try:
                unpacked.rename(folder)
            except OSError:  # another process of the tests was first
                assert folder.exists()
    return folder


def _fetch(work: Path) -> Path:
    venv.create(work / "venv", with_pip=True)  # that of the tests has none
    command = [str(work / "venv" / "bin" / "python"), "-m", "pip", "download", "-q", "--no-deps"]
    command += [
        "--disable-pip-version-check",
        "--no-binary",
        ":all:",
        "-d",
        str(work),
        _REQUIREMENT,
    ]
    try:
        subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        lack(f"pip cannot fetch {_REQUIREMENT}")
    (path,) = work.glob("*.tar.gz")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != _SHA256:
        pytest.fail(f"{_REQUIREMENT} is not what it was: sha256 {digest}")
    target = work / "sources"
    with tarfile.open(path) as archive:
        for member in archive:
            member.name = Path(member.name).name
            if member.name in _FILES:
                archive.extract(member, target, filter="data")
    return target
