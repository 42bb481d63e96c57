"""Packages of npm that tests use: each at one version, checked by its digest, fetched once."""

import base64
import hashlib
import subprocess
import tarfile
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from tests._system import lack, require_command

SECONDS = 45.0


class Package(NamedTuple):
    """A version of an npm package.

    Args:
        name: what it is called.
        version: which one.
        sha512: the digest of its archive, as npm writes it.
    """

    name: str
    version: str
    sha512: str


def archive_of(package: Package, cache: Path) -> Path:
    """The archive of a package.

    Args:
        package: which.
        cache: a folder that keeps what is fetched.
    """
    path = cache / f"{package.name.strip('@').replace('/', '-')}-{package.version}.tgz"
    if not path.exists():
        command = [require_command("npm"), "pack", f"{package.name}@{package.version}"]
        command += ["--silent", "--pack-destination", str(cache)]
        try:
            subprocess.run(command, cwd=cache, capture_output=True, timeout=SECONDS, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            lack(f"npm cannot fetch {package.name}")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != package.sha512:
        path.unlink()
        pytest.fail(f"{package.name} {package.version} is not what it was: sha512-{digest}")
    return path


def unpacked(package: Package, cache: Path, target: Path, pattern: str) -> Path:
    """Unpack files of a package.

    Args:
        package: which.
        cache: keeps what is fetched.
        target: where they go.
        pattern: what the names of the files look like, within the package.

    Returns:
        The folder of the package.
    """
    with tarfile.open(archive_of(package, cache)) as archive:
        wanted = [each for each in archive if fnmatch(each.name, f"package/{pattern}")]
        archive.extractall(target, wanted, filter="data")
    return target / "package"
