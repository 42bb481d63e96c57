"""How the files in MicroPython get onto a board, and what they take there."""

import http.server
import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from jsonrpc_iot.testing.conformance import check_conformance
from tests.places import ROOT
from tests.ports import free_port
from tests.waiting import SECONDS

from .interpreter import PROGRAMS, SOURCES, command, output_of, started
from .romfs import image_of

pytestmark = pytest.mark.firmware

PAGE = ROOT / "docs" / "micropython.md"

MODULES = sorted(SOURCES.glob("jsonrpc_iot*.py"))
EXAMPLES = sorted(set(SOURCES.glob("*.py")) - set(MODULES))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules and the lamp, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    for source in (*MODULES, *EXAMPLES):
        target = folder / f"{source.stem}.mpy"
        subprocess.run(
            [command("mpy-cross"), "-o", str(target), str(source)], check=True, timeout=SECONDS
        )
    return folder


def test_no_file_is_long() -> None:
    assert all(len(path.read_text().splitlines()) <= 400 for path in MODULES)


@pytest.mark.parametrize(("way", "name"), [("udp", "UDP"), ("uart", "a UART")])
def test_it_takes_as_little_heap_as_the_page_says(
    compiled: Path, tmp_path: Path, way: str, name: str
) -> None:
    image = tmp_path / "rom.img"
    image.write_bytes(image_of({path.name: path.read_bytes() for path in compiled.iterdir()}))
    row = rf"\| an idle peer on {name} \| (\S+) KB \| (\S+) KB \|"
    (said,) = re.findall(row, PAGE.read_text(encoding="utf-8"))

    found = heap(way, compiled), heap(way, tmp_path / "nothing", str(image))

    print(f"\nheap of an idle peer on {way}: as .mpy {found[0]}, from flash {found[1]}")
    for limit, parts in zip(said, found, strict=True):
        assert float(limit) - 1 < sum(parts.values()) / 1024 <= float(limit)


@pytest.mark.anyio
async def test_a_small_heap_bears_whatever_comes(compiled: Path, tmp_path: Path) -> None:
    """All of 72 KB, of which code and asyncio take half, and words are twice as long here."""
    program, port = tmp_path / "small.py", str(free_port(socket.SOCK_DGRAM))
    program.write_text(f"import asyncio, host\nasyncio.run(host.main('udp', '{port}'))\n")
    with started(program, modules=compiled, options=["-X", "heapsize=72k"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        report = await check_conformance(
            f"udp://127.0.0.1:{port}", profile="standard", methods=[("lamp.get", "")]
        )
        assert process.poll() is None
    assert report.ok, report


def heap(way: str, modules: Path, *image: str) -> dict[str, int]:
    port = str(free_port(socket.SOCK_DGRAM))
    found: dict[str, int] = json.loads(
        output_of(PROGRAMS / "heap.py", way, port, *image, modules=modules)
    )
    return found


@pytest.fixture
def address() -> Iterator[str]:
    """Of a web server that has the files."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(SOURCES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_mip_installs_all_there_is(address: str, tmp_path: Path) -> None:
    subprocess.run(
        [
            command("micropython"),
            "-m",
            "mip",
            "install",
            "--target",
            str(tmp_path),
            f"{address}/package.json",
        ],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    installed = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert installed == {path.name: path.read_text() for path in MODULES}


def test_the_package_has_the_version_of_ours() -> None:
    package = json.loads((SOURCES / "package.json").read_text())
    assert package["version"] == version("jsonrpc-iot")
