"""`serve` and `simulate`: being a device."""

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.cli.serve import load_dispatcher

from .conftest import Simulated
from .program import Done, listening, run, serving, started

LAMP = """
from jsonrpc_iot import Dispatcher

class Room:
    dispatcher = Dispatcher()

dispatcher = Room.dispatcher
nothing = None

@dispatcher.method("lamp.level")
def level() -> int:
    return 7

@dispatcher.method
def fail() -> None:
    raise RuntimeError("\\x1b[31mno light")
"""


KINDS = """
from jsonrpc_iot import Dispatcher, method, service

@service("door")
class Door:
    def __init__(self, name: str = "front") -> None:
        self.name = name

    @method
    def which(self) -> str:
        return self.name

class Needy(Door):
    def __init__(self, name: str) -> None: ...

class House(Dispatcher):
    def __init__(self) -> None:
        super().__init__()
        self.include(Door("house"))

back = Door("back")

def side() -> Door:
    return Door("side")

def whole() -> Dispatcher:
    return House()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with applications."""
    folder = tmp_path_factory.mktemp("applications")
    (folder / "lamp.py").write_text(LAMP)
    (folder / "own_echo.py").write_text(
        "from jsonrpc_iot import Dispatcher\n"
        "dispatcher = Dispatcher()\n"
        "@dispatcher.method\n"
        "def echo() -> str: return 'mine'\n"
        "@dispatcher.method('wifi.scan')\n"
        "def scan() -> None: return None\n"
    )
    (folder / "broken.py").write_text("x = 1\ny = x / 0\n")
    (folder / "quits.py").write_text("raise SystemExit('I am a script')\n")
    (folder / "garbled.py").write_text("def :\n")
    (folder / "needy.py").write_text("import no_such_thing\n")
    (folder / "kinds.py").write_text(KINDS)
    return folder


@pytest.fixture
def present_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes `folder` the present one, and forgets what was imported from it."""
    before = set(sys.modules)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture(scope="module")
def lamp(folder: Path) -> Iterator[str]:
    """The URL of a served application with Wi-Fi."""
    bind = ("--bind", "tcp://127.0.0.1:0")
    with serving("serve", "lamp:dispatcher", "--wifi", "simulated", *bind, cwd=folder) as (url,):
        yield url


def test_an_application_of_the_present_folder_with_built_in_services(lamp: str) -> None:
    done = run("call", lamp, "rpc.methods")

    wifi = ["wifi.connect", "wifi.disconnect", "wifi.scan", "wifi.status"]
    own = ["fail", "lamp.level"]
    assert set(done.result) >= {*own, *wifi, "echo", "sys.info", "rpc.ping", "rpc.methods"}
    assert run("call", lamp, "lamp.level") == Done(0, "7\n", "")


@pytest.mark.parametrize("target", [[], ["lamp:Room.dispatcher"]])
def test_without_wifi(folder: Path, target: list[str]) -> None:
    with serving("serve", *target, "--bind", "tcp://127.0.0.1:0", cwd=folder) as (url,):
        done = run("call", url, "rpc.methods")

    assert "echo" in done.result
    assert "wifi.scan" not in done.result


def test_a_method_of_the_application_comes_before_a_built_in_one(folder: Path) -> None:
    with serving("serve", "own_echo:dispatcher", "--bind", "tcp://127.0.0.1:0", cwd=folder) as urls:
        assert run("call", urls[0], "echo") == Done(0, '"mine"\n', "")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("lamp", "'lamp' does not name a Dispatcher as in lamp:dispatcher"),
        (":dispatcher", "':dispatcher' does not name a Dispatcher"),
        ("lamp:", "'lamp:' does not name a Dispatcher"),
        (".lamp:dispatcher", "'.lamp:dispatcher' does not name a Dispatcher"),
        ("nolamp:dispatcher", "there is no module 'nolamp'"),
        ("lamp.no:dispatcher", "there is no module 'lamp.no'"),
        ("lamp:light", "lamp:light: lamp has no 'light'"),
        ("lamp:Room.light", "lamp:Room.light: lamp has no 'Room.light'"),
        ("lamp:nothing", "lamp:nothing is no Dispatcher but of type NoneType"),
        ("broken:dispatcher", "importing 'broken' failed: ZeroDivisionError: division by zero"),
        ("quits:dispatcher", "importing 'quits' failed: SystemExit: I am a script"),
        ("garbled:dispatcher", "importing 'garbled' failed: SyntaxError"),
        ("needy:dispatcher", "importing 'needy' failed: ModuleNotFoundError"),
        ("kinds:Needy", "kinds:Needy() failed: TypeError: "),
        ("lamp:level", "lamp:level is no Dispatcher but of type int"),
    ],
)
def test_an_application_that_cannot_be_served(
    present_folder: None, target: str, problem: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_dispatcher(target)

    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("name", "which"),
    [("Door", "front"), ("back", "back"), ("side", "side"), ("House", "house"), ("whole", "house")],
)
def test_what_gives_a_dispatcher_is_served_too(present_folder: None, name: str, which: str) -> None:
    reply = load_dispatcher(f"kinds:{name}").dispatch_sync(b'{"id":1,"method":"door.which"}')
    assert reply == f'{{"id":1,"result":"{which}"}}'.encode()


def test_a_change_starts_the_device_again(tmp_path: Path) -> None:
    source = tmp_path / "changing.py"
    source.write_text(KINDS)
    bind = ("--bind", "tcp://127.0.0.1:0", "--reload")
    with started("serve", "changing:Door", *bind, cwd=tmp_path) as program:
        assert run("call", listening(program), "door.which").result == "front"
        source.write_text(KINDS.replace("front", "repainted"))
        assert run("call", listening(program), "door.which").result == "repainted"
        done = program.stop()
    assert done.code == 0
    assert done.err.startswith("jsonrpc-iot: a file has changed: starting again\n")


def test_the_place_of_a_failure_in_an_application(folder: Path) -> None:
    done = run("serve", "broken:dispatcher", "--bind", "tcp://127.0.0.1:0", cwd=folder)

    assert done.code == 2
    assert done.complaint.endswith(f"division by zero ({folder / 'broken.py'}:2)")


def test_a_service_that_the_application_has_already(folder: Path) -> None:
    arguments = ("own_echo:dispatcher", "--wifi", "simulated", "--bind", "tcp://127.0.0.1:0")
    done = run("serve", *arguments, cwd=folder)

    assert done.code == 2
    assert "'wifi.scan' is registered already" in done.complaint


def test_an_unforeseen_exception_goes_to_the_log(folder: Path) -> None:
    with started("serve", "lamp:dispatcher", "--bind", "tcp://127.0.0.1:0", cwd=folder) as program:
        done = run("call", listening(program), "fail")
        log = program.stop()

    assert done == Done(1, "", '{"code":-32603,"message":"Internal error"}\n')
    assert (log.code, log.out) == (0, "")
    assert log.err.endswith("RuntimeError: \\u001b[31mno light\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(number: int, tmp_path: Path) -> None:
    bind = ("--bind", f"pipe://lamp?dir={tmp_path}", "--bind", "tcp://127.0.0.1:0")
    with started("simulate", *bind) as program:
        listening(program)
        with socket.create_connection(("127.0.0.1", _port(listening(program)))) as idle:
            program.process.send_signal(number)
            assert idle.recv(1) == b""
        assert program.finish() == Done(0, "", "")

    assert list(tmp_path.iterdir()) == []


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_a_simulated_device(device: Simulated) -> None:
    done = run("call", device.pipe, "sys.info")

    assert (done.code, done.result["name"]) == (0, "lamp")


def test_the_seed_chooses_the_signals(device: Simulated) -> None:
    with serving("simulate", "--seed", "7", "--bind", "tcp://127.0.0.1:0") as (url,):
        scans = [run("call", where, "wifi.scan").result for where in (url, device.tcp)]

    first, second = ({point["bssid"]: point["rssi"] for point in scan} for scan in scans)
    assert first.keys() == second.keys()
    assert first != second


def test_a_port_that_is_taken(device: Simulated, tmp_path: Path) -> None:
    done = run("simulate", "--bind", f"pipe://lamp?dir={tmp_path}", "--bind", device.tcp)

    assert done.code == 3
    assert done.complaint.startswith(f"jsonrpc-iot: {device.tcp}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_is_taken(device: Simulated) -> None:
    done = run("simulate", "--bind", device.pipe)

    assert done.code == 3
    assert done.complaint.startswith(f"jsonrpc-iot: {device.pipe}: ")


def test_a_socket_file_in_no_folder(tmp_path: Path) -> None:
    done = run("serve", "--bind", f"unix://{tmp_path}/none/lamp.sock")

    assert done.code == 3
    assert "No such file or directory" in done.complaint


@pytest.mark.skipif(sys.platform != "linux", reason="has no folder that refuses root too")
def test_a_folder_without_permission() -> None:
    done = run("serve", "--bind", "pipe://lamp?dir=/proc")

    assert done.code == 3
    assert done.complaint.startswith("jsonrpc-iot: pipe://lamp?dir=/proc: ")


def test_a_warning_of_the_library_is_shown() -> None:
    with started("simulate", "--bind", "tcp://0.0.0.0:0") as program:
        url = listening(program)
        done = program.stop()

    assert done.code == 0
    assert done.err.startswith(f"jsonrpc-iot: WARNING: {url}: other machines can reach it")
    assert done.err.count("\n") == 1


def test_a_trace_of_a_server() -> None:
    with started("simulate", "--bind", "tcp://127.0.0.1:0", "--trace") as program:
        url = listening(program)
        called = run("call", url, "echo", "value=1")
        done = program.stop()

    assert called.result == "1"
    shown = [line.split(" ", 2) for line in done.err.splitlines()]
    messages = [(way, msgspec.json.decode(text)) for way, _, text in shown]
    (number,) = (each["id"] for _, each in messages if each.get("method") == "echo")
    assert ("<-", {"id": number, "method": "echo", "params": {"value": "1"}}) in messages
    assert ("->", {"id": number, "result": "1"}) in messages


@pytest.mark.parametrize("words", [("serve",), ("simulate",)], ids=lambda words: words[0])
def test_metrics_are_answered_where_they_are_asked_for(words: tuple[str, ...]) -> None:
    with started(*words, "--bind", "http://127.0.0.1:0/rpc", "--metrics") as program:
        url = listening(program).removesuffix("/rpc")
        done = run("call", f"{url}/rpc", "echo", "value=x")
        assert done.code == 0, done.err
        with urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        program.stop()
    assert 'jsonrpc_call_seconds_count{method="echo"} 1\n' in text


def test_metrics_without_an_address_for_them() -> None:
    done = run("serve", "--bind", "tcp://127.0.0.1:0", "--metrics")
    assert (done.code, done.out) == (2, "")
    assert "metrics need an http:// or https:// URL" in done.err
