"""Schemes that a program registers, and those that installed packages offer."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from jsonrpc_iot import (
    Dispatcher,
    InvalidUrl,
    UsageError,
    connect,
    register_transport,
    serve,
    transports,
)
from jsonrpc_iot.cli._options import complete_url
from jsonrpc_iot.transports import open_channel, open_listener
from jsonrpc_iot.transports.packets import memory
from tests.cli.program import Done, run, started
from tests.cli.program import listening as next_url
from tests.places import ROOT

EXAMPLE = ROOT / "examples" / "seqpacket_transport.py"

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test begin, and leave, with no schemes but those of the package."""
    monkeypatch.setattr(transports, "_registered", {})
    transports._installed.cache_clear()


def install_into(folder: Path, name: str, entry_points: str, **modules: str) -> None:
    """Put a package into a folder as installers do."""
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    information = folder / f"{name}-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install packages for one test: a name, its transports as lines, and modules."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(name: str, transports: str, **modules: str) -> None:
        for module in modules:
            monkeypatch.delitem(sys.modules, module, raising=False)
        install_into(tmp_path, name, f"[jsonrpc_iot.transports]\n{transports}\n", **modules)

    return add


MODULE = "from jsonrpc_iot.transports.packets.memory import connect, listen"
OBJECT = "from jsonrpc_iot.transports.packets import memory as transport"


@pytest.mark.anyio
@pytest.mark.parametrize("options", ["", "?codec=msgpack", "?max=200&segment=1"])
async def test_a_registered_scheme_serves_and_connects(options: str) -> None:
    register_transport("x-mem2", memory)
    dispatcher = Dispatcher()
    dispatcher.method("echo")(echo)
    text = "x" * 1000
    url = f"x-mem2://registered{options}"
    async with serve(dispatcher, url) as server, connect(url) as client:
        assert await client.call("echo", [text]) == text
        assert server.urls[0].endswith("segment=1" if "segment" in options else options)
        assert client.info.codec == ("msgpack" if "msgpack" in options else "json")


def echo(text: str) -> str:
    return text


@pytest.mark.parametrize("scheme", ["tcp", "memory", "gatt+bumble", "wss"])
def test_a_scheme_of_ours_cannot_be_replaced(scheme: str) -> None:
    with pytest.raises(UsageError, match="built in"):
        register_transport(scheme, memory)


def test_a_scheme_is_registered_once() -> None:
    register_transport("x-once", memory)
    for transport in (memory, SimpleNamespace(connect=echo, listen=echo)):
        with pytest.raises(UsageError, match="'x-once' is registered already"):
            register_transport("x-once", transport)


@pytest.mark.parametrize("scheme", ["", "X-Upper", "2x", "x_y", "x://", "x y", "ü"])
def test_what_no_url_can_have_is_no_scheme(scheme: str) -> None:
    with pytest.raises(UsageError, match="no URL scheme"):
        register_transport(scheme, memory)


@pytest.mark.parametrize("lacking", ["connect", "listen"])
def test_a_transport_has_both_functions(lacking: str) -> None:
    transport = SimpleNamespace(connect=echo, listen=echo)
    delattr(transport, lacking)
    with pytest.raises(TypeError, match=lacking):
        register_transport("x-half", transport)
    register_transport("x-half", memory)


@pytest.mark.anyio
async def test_an_unknown_scheme_is_told_of_all_there_are(install: Install) -> None:
    register_transport("x-registered", memory)
    install("tiny", "x-installed = tiny", tiny="")
    for opening in (open_channel, open_listener):
        with pytest.raises(InvalidUrl) as caught:
            await opening("nonsense://h?password=s3cret")
        text = str(caught.value)
        assert "nonsense://h?password=***: unknown scheme 'nonsense'" in text
        for scheme in ("tcp", "x-registered", "x-installed"):
            assert scheme in text
    offers = [offer.word for offer in complete_url("x-", {}) if offer.word.startswith("x-")]
    assert offers == ["x-installed://", "x-registered://"]


@pytest.mark.anyio
@pytest.mark.parametrize(("value", "source"), [("tiny", MODULE), ("tiny:transport", OBJECT)])
async def test_an_installed_package_offers_a_scheme(
    install: Install, value: str, source: str
) -> None:
    install("tiny", f"x-tiny = {value}", tiny=source)
    async with (
        serve(Dispatcher(), "x-tiny://one?max=200&segment=1"),
        connect("x-tiny://one?segment=1") as client,
    ):
        assert await client.call("rpc.ping") is True


@pytest.mark.anyio
async def test_what_the_program_registers_goes_before_what_is_installed(install: Install) -> None:
    install("tiny", "x-tiny = tiny", tiny="raise RuntimeError('not wanted')")
    register_transport("x-tiny", memory)
    async with await open_listener("x-tiny://own"):
        pass


BROKEN = {
    "x-missing = nowhere_at_all": "ModuleNotFoundError: No module named 'nowhere_at_all'",
    "x-missing = tiny:absent": "AttributeError: module 'tiny' has no attribute 'absent'",
    "x-missing = tiny": "RuntimeError: it needs hardware",
    "x-missing = half": "it has no function 'connect'",
}


@pytest.mark.anyio
@pytest.mark.parametrize("line", BROKEN)
async def test_a_broken_package_is_named_and_the_others_work(install: Install, line: str) -> None:
    source = "" if "absent" in line else "raise RuntimeError('it needs hardware')"
    install("broken-package", line, tiny=source, half="")
    install("good", "x-good = good", good=MODULE)
    for _ in range(2):
        with pytest.raises(InvalidUrl) as caught:
            await open_channel("x-missing://h")
        text = str(caught.value)
        assert text.startswith("x-missing://h: broken-package 1.2 ")
        assert BROKEN[line] in text
        assert isinstance(caught.value.__cause__, Exception)
    async with await open_listener("x-good://h"):
        pass


@pytest.mark.anyio
async def test_metadata_that_cannot_be_read_hides_nothing(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install_into(tmp_path, "unreadable", "[jsonrpc_iot.transports]\nno line of this file\n")
    install("good", "x-good = good", good=MODULE)
    async with await open_listener("x-good://h"):
        pass
    assert "cannot be read" in caplog.text


@pytest.mark.anyio
async def test_two_packages_for_one_scheme_are_named(install: Install) -> None:
    install("first", "x-both = one", one=MODULE)
    install("second", "x-both = two", two=MODULE)
    with pytest.raises(InvalidUrl) as caught:
        await open_channel("x-both://h")
    for package in ("first 1.2 (one)", "second 1.2 (two)"):
        assert package in str(caught.value)


@pytest.mark.anyio
async def test_a_package_found_twice_counts_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("tiny", "x-tiny = tiny", tiny=MODULE)
    (tmp_path / "shadowed").mkdir()
    install_into(
        tmp_path / "shadowed", "tiny", "[jsonrpc_iot.transports]\nx-tiny = tiny\n", tiny="1/0"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "shadowed")])
    async with await open_listener("x-tiny://h"):
        pass


PROGRAM = """
import sys, anyio
from jsonrpc_iot import Dispatcher, connect, register_transport, serve
from jsonrpc_iot.transports.packets import memory

async def main():
    register_transport("x-mem", memory)
    for url in ("memory://a", "x-mem://b"):
        async with serve(Dispatcher(), url), connect(url) as client:
            await client.call("rpc.ping")

anyio.run(main)
assert "importlib.metadata" not in sys.modules
"""


def test_nobody_reads_metadata_while_all_schemes_are_known() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="the example is for Linux")
@pytest.mark.parametrize("options", ["", "?codec=msgpack", "?segment=1"])
def test_the_command_line_takes_an_installed_scheme(tmp_path: Path, options: str) -> None:
    entry_points = "[jsonrpc_iot.transports]\nseqpacket = installed_seqpacket\n"
    source = EXAMPLE.read_text(encoding="utf-8")
    install_into(tmp_path, "seqpackets", entry_points, installed_seqpacket=source)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    url = f"seqpacket://{tmp_path.name}{tmp_path.parent.name}{options}"
    with started("simulate", "--bind", url, PYTHONPATH=path) as program:
        assert next_url(program) == url
        done = run("call", url, "rpc.ping", PYTHONPATH=path)
        assert program.stop().code == 0
    assert done == Done(0, "true\n", "")


def test_the_command_line_explains_a_broken_package(tmp_path: Path) -> None:
    install_into(tmp_path, "sad", "[jsonrpc_iot.transports]\nx-sad = sad\n", sad="import nowhere")
    done = run("call", "x-sad://h", "rpc.ping", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.code == 2
    assert "sad 1.2 (sad)" in done.complaint
    assert "No module named 'nowhere'" in done.complaint
