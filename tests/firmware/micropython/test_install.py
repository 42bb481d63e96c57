"""How the files in MicroPython get onto a board, and what they take there."""

import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.waiting import SECONDS

from .interpreter import PROGRAMS, SOURCES, command, output_of
from .romfs import image_of

pytestmark = pytest.mark.firmware

MOST_IN_RAM = 26
"""Kilobytes of heap, where the code is there too."""

MODULES = sorted(SOURCES.glob("jsonrpc_iot*.py"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules and the lamp, compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    for source in MODULES:
        target = folder / f"{source.stem}.mpy"
        subprocess.run(
            [command("mpy-cross"), "-o", str(target), str(source)], check=True, timeout=SECONDS
        )
    return folder


def test_no_file_is_long() -> None:
    assert all(len(path.read_text().splitlines()) <= 400 for path in MODULES)


@pytest.mark.parametrize(("way", "most"), [("udp", 12), ("uart", 16)])
def test_it_takes_little_heap(compiled: Path, tmp_path: Path, way: str, most: int) -> None:
    """In kilobytes, from flash; words are twice as long here as on a microcontroller."""
    image = tmp_path / "rom.img"
    image.write_bytes(image_of({path.name: path.read_bytes() for path in compiled.iterdir()}))

    flash = heap(way, tmp_path / "nothing", str(image))
    ram = heap(way, compiled)

    print(f"\nheap of an idle peer on {way}: from flash {flash}, as .mpy {ram}")
    assert flash["code"] + flash["idle"] <= 1024 * most
    assert ram["code"] + ram["idle"] <= 1024 * MOST_IN_RAM


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
            tmp_path,
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
