"""`run` as a program of its own: what it shows on standard error, and how it ends."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jsonrpc_iot import (
    BindFailed,
    ConnectTimeout,
    Dispatcher,
    InternalError,
    InvalidUrl,
    connect_sync,
    run,
)
from jsonrpc_iot.server.program import _in_one_line
from tests.cli.program import SECONDS, environment, serving

DEVICE = """
    import logging, sys
    from jsonrpc_iot import Dispatcher, run

    device = Dispatcher()

    @device.method
    def fail() -> None:
        raise RuntimeError("no \\x1b[31mlight")

    {setup}
    run(device, sys.argv[1], on_listening=lambda url: print(url, flush=True))
"""


@contextmanager
def program(url: str, setup: str = "") -> Iterator[subprocess.Popen[str]]:
    source = textwrap.dedent(DEVICE).format(setup=setup)
    with subprocess.Popen(
        [sys.executable, "-c", source, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def complaint_of_a_failing_handler(setup: str = "") -> str:
    with program("tcp://127.0.0.1:0", setup) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with connect_sync(url) as client, pytest.raises(InternalError):
            client.call("fail")
        process.terminate()
        return process.communicate(timeout=SECONDS)[1]


def test_an_exception_of_a_handler_is_shown() -> None:
    shown = complaint_of_a_failing_handler()
    assert shown.startswith("jsonrpc-iot: ERROR: method 'fail' failed: no \\u001b[31mlight\n")
    assert "Traceback" in shown


def test_a_program_with_a_log_of_its_own_shows_it_there_alone() -> None:
    shown = complaint_of_a_failing_handler("logging.basicConfig(format='mine: %(message)s')")
    assert shown.startswith("mine: method 'fail' failed")
    assert "jsonrpc-iot:" not in shown


def test_a_gateway_is_connected_to_its_devices() -> None:
    setup = """
    from jsonrpc_iot import Gateway
    kitchen, device = device, Gateway()
    device.add("kitchen", kitchen)
    """
    with program("tcp://127.0.0.1:0", setup.replace("\n    ", "; ").strip("; \n")) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with connect_sync(url) as client, pytest.raises(InternalError):
            client.call("kitchen.fail")


def test_a_taken_port_is_one_line() -> None:
    with serving("simulate", "--bind", "tcp://127.0.0.1:0") as (url,), program(url) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"{url}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("url", ["tpc://127.0.0.1:0", "tcp://127.0.0.1:0?max=x"])
def test_a_wrong_url_is_one_line(url: str) -> None:
    with program(url) as process:
        assert process.communicate(timeout=SECONDS)[1].count("\n") == 1
    assert process.returncode == 1


def test_what_ends_a_program_can_be_caught() -> None:
    with pytest.raises(InvalidUrl, match="tpc"):
        run(Dispatcher(), "tpc://127.0.0.1:0")
    ending = _in_one_line(ConnectTimeout("mqtt://a/b: no connection within 10 s"))
    assert isinstance(ending, SystemExit)
    assert ending.code == str(ending) == "mqtt://a/b: no connection within 10 s"
    assert isinstance(_in_one_line(BindFailed("taken")), BindFailed)


@pytest.mark.parametrize("example", ["lamp_client.py", "lamp_script.py", "blinds_client.py"])
def test_an_example_whose_device_is_off_says_so_in_one_line(example: str) -> None:
    done = subprocess.run(
        [sys.executable, f"examples/{example}", "tcp://127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tcp://127.0.0.1:1: ")
    assert done.stderr.count("\n") == 1
