"""How the pytest plugin gets loaded, its client without async, and the example."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.places import ROOT

from .suite import PLUGIN, run

pytest_plugins = ["pytester"]


def entry_points(folder: Path) -> None:
    """Install the entry points of this source tree in a folder, as far as pytest sees."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = folder / "jsonrpc_iot_entry-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: jsonrpc-iot-entry\nVersion: 1\n"
    )
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))


@pytest.mark.parametrize(
    ("arguments", "conftest"),
    [((), ""), (("-p", PLUGIN), f"pytest_plugins = ['{PLUGIN}']")],
    ids=["installed", "and-named-twice"],
)
def test_the_plugin_may_be_loaded_in_several_ways(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    conftest: str,
) -> None:
    installed = pytester.mkdir("installed")
    entry_points(installed)
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{ROOT}")
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        """
    import pytest
    from jsonrpc_iot import Dispatcher

    @pytest.fixture
    def rpc_dispatcher():
        return Dispatcher()

    async def test_it(rpc_client):
        assert await rpc_client.call("rpc.ping") is True
    """
    )
    result = pytester.runpytest_subprocess("-W", "error", *arguments)
    result.assert_outcomes(passed=2)


def test_loading_it_loads_nothing_but_the_package() -> None:
    program = f"import sys, {PLUGIN} as _; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert PLUGIN in loaded
    assert not loaded & {
        "jsonrpc_iot.testing.rig",
        "trio",
        "uvloop",
        "jsonrpc_iot.transports.sockets.tcp",
    }


def test_the_fixtures_and_the_marker_are_listed(device: pytest.Pytester) -> None:
    result = device.runpytest_inprocess("--fixtures")
    for name in ("client", "connect", "device", "dispatcher", "link", "open", "server", "where"):
        result.stdout.fnmatch_lines([f"rpc_{name}*plugin.py:*", "    *"])
    device.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.rpc_link(*where*"])


def test_a_test_without_async_has_a_client_that_waits(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    def test_toggle(rpc_device):
        assert rpc_device.call("toggle") == 1

    @pytest.mark.rpc_link("udp", "pipe", "unix")
    def test_links(rpc_device):
        assert rpc_device.call("toggle") == 1

    def test_failing(rpc_device):
        assert rpc_device.call("toggle") == 2
    """,
    )
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["over tcp, as the client sees it:", "* <- *1*"])


@pytest.mark.parametrize("link", ["'memory'", "Faults(drop=0.2)"])
def test_a_test_without_async_runs_over_a_real_link(device: pytest.Pytester, link: str) -> None:
    result = run(
        device,
        f"\n    @pytest.mark.rpc_link({link})\n    def test_it(rpc_device):\n        pass",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["rpc_device: a test without async cannot run over *: take tcp*"])


def test_the_example(pytester: pytest.Pytester) -> None:
    for name in ("lamp.py", "lamp_test.py"):
        source = (ROOT / "examples" / name).read_text("utf-8")
        pytester.path.joinpath(name).write_text(source, "utf-8")
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers")
    result = pytester.runpytest_subprocess("-p", PLUGIN, "lamp_test.py")
    result.assert_outcomes(passed=16)
