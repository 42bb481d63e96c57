"""`bridge`: a gateway without a program."""

import json
import signal
import sys
from pathlib import Path

import pytest

from jsonrpc_iot import connect_sync
from tests.generate.made import loaded
from tests.places import ROOT

from .program import Done, Running, listening, run, serving, started

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP")

ANYWHERE = ("--bind", "tcp://127.0.0.1:0")


def changed(program: Running, name: str) -> str:
    """The next line about a device."""
    return program.wait_for_error(f"{name} ").removeprefix(f"{name} ").rstrip("\n")


def test_devices_are_called_by_name_at_every_url() -> None:
    with serving("simulate", *ANYWHERE, "--name", "lamp") as (device,):
        binds = (*ANYWHERE, "--bind", "http://127.0.0.1:0/rpc")
        with started("bridge", f"one=tcp://127.0.0.1:1,{device}", *binds) as bridge:
            tcp, http = listening(bridge), listening(bridge)
            assert changed(bridge, "one").startswith(f"online, {device}, ")
            assert run("call", tcp, "one.echo", "value=x").result == "x"
            assert run("call", f"{http}/one", "sys.info").result["name"] == "lamp"
            (state,) = run("call", http, "gateway.devices").result
            assert (state["name"], state["online"]) == ("one", True)
            made = loaded(run("generate", tcp, "--device", "one", "--blocking").out)
            for url, prefix in ((f"{http}/one", ""), (tcp, "one")):
                with connect_sync(url) as client:
                    lamp = client.proxy(made.Lamp, made.BlockingLamp, prefix=prefix)
                    assert lamp.sys_info().name == "lamp"
            assert '"code":-32602' in run("generate", tcp, "--device", "two").err
            assert bridge.stop() == Done(0, "", "")


def test_a_device_that_is_away_is_told_of_and_answered_for() -> None:
    with started("bridge", "one=tcp://127.0.0.1:1", *ANYWHERE) as bridge:
        url = listening(bridge)
        assert changed(bridge, "one").startswith("away: tcp://127.0.0.1:1: ")
        done = run("call", url, "one.echo", "value=x")
        assert done.code == 1
        assert '"code":-32010' in done.err
        assert bridge.stop(signal.SIGINT) == Done(0, "", "")


def test_with_a_log_in_json_changes_are_objects_too() -> None:
    with started("bridge", "one=tcp://127.0.0.1:1", *ANYWHERE, "--log-json") as bridge:
        listening(bridge)
        line = json.loads(bridge.wait_for_error("{"))
        assert (line["logger"], line["level"]) == ("jsonrpc_iot.cli.devices", "INFO")
        assert line["message"].startswith("one away: ")
        assert line["peer"] == "one"
        assert bridge.stop() == Done(0, "", "")


@pytest.mark.parametrize("place", ["env:NOWHERE", "file:/nowhere/key"])
def test_a_key_that_is_not_there_is_wrong_usage(place: str, tmp_path: Path) -> None:
    """Nobody would be told later why the device is away."""
    url = f"tcp://127.0.0.1:1?psk={place}"
    file = tmp_path / "house.toml"
    file.write_text(f"[devices]\none = '{url}'\n")
    for words in (f"one={url}",), ("--config", str(file)):
        done = run("bridge", *words, *ANYWHERE)
        assert done.code == 2
        assert place.partition(":")[2] in done.complaint
    assert run("mcp", url).code == run("mcp", f"one={url}").code == 2


def test_a_device_whose_extra_is_missing_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "httpx2.py").write_text("raise ImportError")
    words = ("bridge", "one=http://127.0.0.1:1/rpc", *ANYWHERE)
    with started(*words, PYTHONPATH=f"{tmp_path}:{ROOT}") as bridge:
        listening(bridge)
        assert "pip install 'jsonrpc-iot[http]'" in changed(bridge, "one")
        assert bridge.stop().code == 0


def test_a_quiet_bridge_tells_of_no_device() -> None:
    with started("bridge", "one=tcp://127.0.0.1:1", *ANYWHERE, "-q") as bridge:
        url = listening(bridge)
        assert '"code":-32010' in run("call", url, "one.echo", "value=x").err
        assert bridge.stop() == Done(0, "", "")


@pytest.mark.parametrize("pattern", ["sys.*", "one.sys.info"])
def test_only_what_is_allowed_is_offered(pattern: str) -> None:
    with (
        serving("simulate", *ANYWHERE) as (device,),
        started("bridge", f"one={device}", *ANYWHERE, "--allow", pattern) as bridge,
    ):
        url = listening(bridge)
        changed(bridge, "one")
        assert run("call", url, "one.sys.info").code == 0
        assert '"code":-32601' in run("call", url, "one.echo", "value=x").err


def test_the_file_is_read_again_and_changes_what_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with serving("simulate", *ANYWHERE) as (device,):
        text = 'bind = ["tcp://127.0.0.1:0"]\n[devices]\n'
        file.write_text(f'{text}stays = "{device}"\ngoes = "{device}"\n')
        with started("bridge", "--config", str(file)) as bridge:
            url = listening(bridge)
            first = {bridge.wait_for_error("").split()[0] for _ in range(2)}
            assert first == {"stays", "goes"}

            file.write_text(f'{text}stays = "{device}"\n[devices.comes]\nulr = "{device}"\n')
            bridge.process.send_signal(signal.SIGHUP)
            complaint = bridge.wait_for_error("jsonrpc-iot: ")
            assert "line 5: devices.comes.ulr: unknown, did you mean url?" in complaint
            assert run("call", url, "goes.echo", "value=x").result == "x"

            file.write_text(f'{text}stays = "{device}"\n[devices.comes]\nurl = "{device}"\n')
            bridge.process.send_signal(signal.SIGHUP)
            assert changed(bridge, "goes") == "removed"
            assert changed(bridge, "comes").startswith("online")
            assert run("call", url, "comes.echo", "value=x").result == "x"
            assert run("call", url, "stays.echo", "value=x").result == "x"
            assert bridge.stop() == Done(0, "", "")


def test_what_holds_from_the_next_start_is_told_as_long_as_it_differs(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    first, other = 'bind = ["tcp://127.0.0.1:0"]\n', 'bind = ["tcp://127.0.0.1:1"]\n'
    file.write_text(first)
    with started("bridge", "--config", str(file)) as bridge:
        listening(bridge)
        for text in (other, f"{first}homeassistant = true\n", other):
            file.write_text(text)
            bridge.process.send_signal(signal.SIGHUP)
            assert "hold from the next start" in bridge.wait_for_error("jsonrpc-iot: ")
        file.write_text(f'{first}[devices]\none = "tcp://127.0.0.1:1"\n')  # all else as at first
        bridge.process.send_signal(signal.SIGHUP)
        assert bridge.wait_for_error("").startswith("one away")
        assert bridge.stop() == Done(0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "needs --bind"),
        (ANYWHERE, "needs devices"),
        (("tcp://127.0.0.1:1", *ANYWHERE), "given as NAME=URL"),
        (("a.b=tcp://127.0.0.1:1", *ANYWHERE), "'a.b' cannot be the name"),
        (("a=nonsense://x", *ANYWHERE), "unknown scheme 'nonsense'"),
        (("a=tcp://h:1", "a=tcp://h:2", *ANYWHERE), "'a' is given twice"),
        (("a=", *ANYWHERE), "needs a URL"),
        (("--config", "/nowhere.toml", *ANYWHERE), "/nowhere.toml: cannot read it"),
    ],
)
def test_wrong_usage_is_code_2(words: tuple[str, ...], complaint: str) -> None:
    done = run("bridge", *words)
    assert done.code == 2
    assert complaint in done.complaint


def test_a_taken_address_is_code_3() -> None:
    with serving("simulate", *ANYWHERE) as (device,):
        done = run("bridge", f"a={device}", "--bind", device)
    assert done.code == 3
    assert "Address already in use" in done.err
