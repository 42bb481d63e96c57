"""What a user gets who installs the package."""

import subprocess
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from jsonrpc_iot.asgi.console.assets import assets
from tests.places import ROOT
from tests.vectors import VECTORS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """The core metadata in the wheel."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_holds_one_package_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist()}

    assert {name for name in top if not name.endswith(".dist-info")} == {"jsonrpc_iot"}
    assert len(top) == 2


def test_the_wheel_holds_the_package_whole_with_the_marker_of_types(wheel: zipfile.ZipFile) -> None:
    files = (path.relative_to(ROOT) for path in ROOT.glob("jsonrpc_iot/**/*") if path.is_file())
    source = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    packed = {name for name in wheel.namelist() if name.startswith("jsonrpc_iot/")}

    assert packed == source
    assert "jsonrpc_iot/py.typed" in packed


@pytest.fixture(scope="module")
def requirements(metadata: Message) -> dict[str, set[str]]:
    """What each extra installs; under "" what is always installed."""
    found = defaultdict[str, set[str]](set)
    for line in metadata.get_all("Requires-Dist", []):
        requirement, _, extra = line.partition("extra == ")
        found[extra.strip("'")].add(requirement)
    return found


def test_the_core_needs_two_packages(requirements: dict[str, set[str]]) -> None:
    assert {line.partition(">=")[0] for line in requirements[""]} == {"anyio", "msgspec"}


def test_the_extra_all_is_all_extras_but_bumble(requirements: dict[str, set[str]]) -> None:
    apart = ("", "all", "bumble")
    others = {extra: lines for extra, lines in requirements.items() if extra not in apart}

    assert requirements["all"] == set.union(*others.values())


def test_the_licence_is_in_the_wheel(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE"))

    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"


def test_the_console_is_served_from_the_wheel(wheel: zipfile.ZipFile) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jsonrpc_iot.asgi.console import assets, page\n"
        "print(assets.__file__, *sorted(assets.assets()))"
    )
    command = [sys.executable, "-c", program, str(wheel.filename)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    place, *files = done.stdout.split()

    assert place.startswith(str(wheel.filename))
    assert files == sorted(assets())
    assert {"app.js", "index.html"} <= set(files)


def test_the_source_distribution_holds_the_console_and_what_it_is_made_of(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folder = ROOT / "jsonrpc_iot" / "asgi" / "console"
    for part in ("page", "packed"):
        files = [each for each in (folder / part).rglob("*") if each.is_file()]
        assert files
        assert {each.relative_to(ROOT).as_posix() for each in files} <= packed
    vectors = {path.relative_to(ROOT).as_posix() for path in VECTORS.iterdir()}
    assert vectors <= packed, "which the tests in it read"
    assert not [name for name in packed if "node_modules" in name]
    assert "tools/console/pack.js" in packed
