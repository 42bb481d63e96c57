"""Wrong command lines, help, and what the program needs to start."""

import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from jsonrpc_iot import cli
from tests.places import ROOT

from .program import Done, run, run_unread

COMMANDS = (
    "call",
    "notify",
    "listen",
    "describe",
    "ping",
    "bench",
    "discover",
    "monitor",
    "serve",
    "simulate",
    "replay",
    "demo",
)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["frobnicate"], "'frobnicate'"),
        (["--frobnicate"], "--frobnicate"),
        (["--verbose", "ping", "tcp://lamp"], "No such option: --verbose. It goes behind the"),
        (["call"], "'URL'"),
        (["call", "tcp://127.0.0.1:1"], "'METHOD'"),
        (["call", "tcp://127.0.0.1:1", "m", "--colour"], "--colour"),
        (["call", "\x1b[31m", "m"], r"'\x1b[31m' is no URL"),
        (["call", "tcp://127.0.0.1:1", "m", "x"], "'x' is not understood: PARAMS is"),
        (["call", "tcp://127.0.0.1:1", "m", "a:=x"], "PARAMS: the value of 'a' is no JSON"),
        (["call", "tcp://127.0.0.1:1", "m", "--timeout", "0"], "'--timeout'"),
        (["call", "tcp://127.0.0.1:1", "m", "--timeout", "inf"], "'--timeout'"),
        (["call", "tcp://127.0.0.1:1", "m", "--dialect", "x"], "'--dialect'"),
        (
            ["call", "tpc://x", "m"],
            "tpc://x: unknown scheme 'tpc'; there are gatt, gatt+bumble",
        ),
        (["call", "tcp://127.0.0.1:99999", "m"], "'tcp://127.0.0.1:99999': Port out of range"),
        (["call", "tcp://", "m"], "tcp://: a host is missing"),
        (["call", "lamp", "m"], "'lamp' is no URL"),
        (["call", "tcp://lamp?colour=red", "m"], "tcp://lamp?colour=red: unknown option 'colour'"),
        (["call", "tcp://lamp?max=red", "m"], "tcp://lamp?max=red: option max='red'"),
        (["notify", "tpc://x", "m"], "tpc://x: unknown scheme"),
        (["listen", "tpc://x"], "tpc://x: unknown scheme"),
        (["listen", "tcp://lamp", "--count", "0"], "'--count'"),
        (["ping", "tpc://x"], "tpc://x: unknown scheme"),
        (["ping", "tcp://lamp", "--count", "many"], "'--count'"),
        (["serve"], "'--bind'"),
        (["serve", "--bind", "tpc://x"], "tpc://x: unknown scheme"),
        (["serve", "--bind", "tcp://127.0.0.1:0", "--wifi", "x"], "'--wifi'"),
        (["serve", "--bind", "tcp://127.0.0.1:0", "--wifi", "iwd"], "does not say whether there"),
        (["serve", "--bind", "tcp://127.0.0.1:0", "--wifi", "simulated?adapter=x"], "no options"),
        (["serve", "--bind", "tcp://127.0.0.1:0", "--wifi", "networkmanager?x=y"], "no options"),
        (["simulate"], "'--bind'"),
        (["simulate", "--bind", "tcp://127.0.0.1:0", "--seed", "x"], "'--seed'"),
        (["demo", "x"], "(x)"),
        (["describe", "tpc://x"], "tpc://x: unknown scheme"),
        (["bench", "tpc://x", "m"], "tpc://x: unknown scheme"),
        (["bench", "tcp://lamp"], "'METHOD'"),
        (["bench", "tcp://lamp", "m", "x"], "'x' is not understood: PARAMS is"),
        (["bench", "tcp://lamp", "m", "--concurrency", "0"], "'--concurrency'"),
        (["bench", "tcp://lamp", "m", "--duration", "nan"], "'--duration'"),
        (["monitor"], "a URL such as uart:///dev/ttyUSB0 is missing, or --replay FILE"),
        (["monitor", "uart+pty://", "--replay", "x"], "--replay takes neither a URL nor --record"),
        (["monitor", "--record", "y", "--replay", "x"], "--replay takes neither a URL nor"),
        (["monitor", "uart+pty://", "--count", "0"], "'--count'"),
        (["monitor", "tcp://lamp"], "tcp://lamp: monitor watches serial lines: tuya-dp, uart"),
        (["monitor", "uart:///dev/x?baudrate=0"], "option baudrate='0'"),
        (["monitor", "uart:///dev/x?role=mcu"], "unknown option 'role'"),
        (["monitor", "tuya-dp:///dev/x?colour=red"], "unknown option 'colour'"),
        (["monitor", "uart+pty:///dev/x"], "takes no path"),
        (["monitor", "uart://lamp/x"], "a port looks like uart:///dev/ttyUSB0"),
        (["discover", "--timeout", "-1"], "'--timeout'"),
        (["discover", "--port", "65536"], "'--port'"),
        (["discover", "--target", "tcp://lamp"], "tcp://lamp: a target is HOST or HOST:PORT"),
        (["discover", "--target", "lamp/x"], "udp://lamp/x: udp takes no path"),
        (["discover", "--target", "[::1"], "'udp://[::1': Invalid IPv6 URL"),
    ],
)
def test_a_wrong_command_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    done = Done(cli.run(arguments), *capsys.readouterr())

    assert done.code == 2
    assert done.complaint.startswith("jsonrpc-iot: ")
    assert problem in done.complaint


def test_the_program_exits_with_the_code() -> None:
    done = run("call", "tcp://127.0.0.1:1", "m", "--colour")

    assert done.code == 2
    assert "--colour" in done.complaint


def test_params_that_are_no_utf_8() -> None:
    done = run("call", "tcp://127.0.0.1:1", "m", b"a=\x9b")

    assert done.code == 2
    assert done.complaint == r"jsonrpc-iot: PARAMS: 'a=\udc9b' is no UTF-8"


def test_no_command_at_all() -> None:
    done = run()

    assert (done.code, done.out) == (2, "")
    assert done.err == run("--help").out


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_names_every_command(option: str) -> None:
    done = run(option)

    assert (done.code, done.err) == (0, "")
    assert all(f"\n  {command} " in done.out for command in COMMANDS)
    assert "Exit codes: 0 success; 1" in " ".join(done.out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_explains_all_its_options(command: str) -> None:
    done = run(command, "--help", COLUMNS="200", TERMINAL_WIDTH="200")

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: jsonrpc-iot {command} ")
    entries = [line for line in done.out.splitlines() if line.startswith("  -")]
    assert entries
    assert all(len(entry.strip().split("  ", 1)) == 2 for entry in entries), entries


@pytest.mark.skipif(
    sys.platform == "win32", reason="a pipe without a reader is another error there"
)
@pytest.mark.parametrize("words", [("--help",), ("call", "--help"), ("--version",)])
def test_nobody_reads_the_help(words: tuple[str, ...]) -> None:
    assert run_unread(*words) == Done(141, "", "")


def test_the_version() -> None:
    assert run("--version") == Done(0, f"jsonrpc-iot {version('jsonrpc-iot')}\n", "")


def test_the_installed_program_is_the_module() -> None:
    program = Path(sys.executable).with_name("jsonrpc-iot")
    command = [str(program), "call", "tpc://x", "m"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert Done(done.returncode, done.stdout, done.stderr) == run("call", "tpc://x", "m")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    for name in ("anyio", "msgspec", "idna", "typing_extensions"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        (tmp_path / source.name).symlink_to(source)
    (tmp_path / "jsonrpc_iot").symlink_to(ROOT / "jsonrpc_iot")

    done = subprocess.run(
        [sys.executable, "-S", "-m", "jsonrpc_iot", "call", "tcp://lamp", "m"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    expected = "jsonrpc-iot: rich missing: pip install 'jsonrpc-iot[cli]'\n"
    assert Done(done.returncode, done.stdout, done.stderr) == Done(2, "", expected)


def test_the_start_loads_nothing_heavy() -> None:
    program = (
        "import sys, anyio, msgspec; before = set(sys.modules); import jsonrpc_iot.cli; "
        "ours = set(sys.modules) - before; "
        "print(*{name.partition('.')[0] for name in ours} & {'rich', 'pydantic', 'ssl'}, "
        "*(name for name in ours if name.startswith(('jsonrpc_iot.services', "
        "'jsonrpc_iot.transports.'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "\n"
