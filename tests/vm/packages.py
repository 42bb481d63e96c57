"""A kernel and daemons, as Debian's packages, unpacked in a folder; nothing is installed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
KERNEL = ["linux-image-amd64", "busybox-static"]


def fetch(release: str, folder: Path, packages: Sequence[str]) -> Path:
    """Have apt fetch them, from where it gets those of this machine, and unpack them.

    Args:
        release: the name of Debian's.
        folder: for all that is fetched; what is there is taken.
        packages: beside the kernel.
    """
    root, unpacked = folder / "root", folder / "unpacked"
    if unpacked.exists():
        return root
    here = _release_here()
    for each in ("etc", "state/lists/partial", "cache/archives/partial", "root"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    sources = SOURCES.read_text(encoding="utf-8").replace(here, release)
    (folder / "etc/debian.sources").write_text(sources, encoding="utf-8")
    (folder / "status").touch()  # as if nothing were installed, so that all libraries come along
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": folder / "etc",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-qq", "-y", *(f"-o{name}={value}" for name, value in settings.items())]
    _run([*apt, "update"])
    _run([*apt, "--download-only", "install", *KERNEL, *packages])
    for package in sorted((folder / "cache/archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(root)])
    unpacked.touch()
    return root


def _release_here() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    return facts["VERSION_CODENAME"].strip('"')


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
