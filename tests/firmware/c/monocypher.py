"""The sources of Monocypher, as PyPI's pymonocypher carries them: one version, fetched once."""

import hashlib
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.request import urlopen

import pytest

from tests._system import lack
from tests.places import ROOT

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
    path = work / "sources.tar.gz"
    try:
        with urlopen(_address(), timeout=SECONDS) as source:
            path.write_bytes(source.read())
    except (subprocess.SubprocessError, OSError):
        lack(f"the sources of {_REQUIREMENT} cannot be fetched")
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


def _address() -> str:
    """Where the index has the sources; `pip download` would build them first, for minutes."""
    uv = [sys.executable, "tools/uv.py", sys.prefix]
    words = ["pip", "compile", "--quiet", "--no-deps", "--format", "pylock.toml", "-"]
    done = subprocess.run(
        [*uv, *words],
        cwd=ROOT,
        input=_REQUIREMENT,
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    (package,) = tomllib.loads(done.stdout)["packages"]
    return str(package["sdist"]["url"])
