"""`call --stream`: a list, line by line, and the exit code."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from .conftest import Simulated
from .program import COMMAND, environment, run, serving

DEVICE = """
from collections.abc import AsyncIterator

import anyio

from jsonrpc_iot import Dispatcher, RpcError

counter = Dispatcher()


@counter.method
async def count(upto: int, fail: bool = False, pause: float = 0.0) -> AsyncIterator[dict[str, int]]:
    for number in range(upto):
        yield {"number": number}
        await anyio.sleep(pause)
    if fail:
        raise RpcError(7, "enough")
"""


@pytest.fixture(params=["tcp://127.0.0.1:0", "udp://127.0.0.1:0?max=220"])
def counter(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a device that counts."""
    (tmp_path / "counting.py").write_text(DEVICE)
    where = ("--bind", request.param)
    with serving("serve", "counting:counter", *where, cwd=tmp_path) as (url,):
        yield url


def numbers(text: str) -> list[int]:
    return [msgspec.json.decode(line)["number"] for line in text.splitlines()]


def test_each_item_is_a_line(counter: str) -> None:
    done = run("call", "--stream", counter, "count", "upto:=100")

    assert (done.code, done.err) == (0, "")
    assert numbers(done.out) == list(range(100))


def test_an_empty_list_prints_nothing(counter: str) -> None:
    done = run("call", "--stream", counter, "count", "upto:=0")

    assert (done.code, done.out, done.err) == (0, "", "")


def test_an_error_comes_after_the_items_before_it(counter: str) -> None:
    done = run("call", "--stream", counter, "count", '{"upto": 3, "fail": true}')

    assert (done.code, numbers(done.out)) == (1, [0, 1, 2])
    assert msgspec.json.decode(done.err) == {"code": 7, "message": "enough"}


def test_the_time_is_for_each_item(counter: str) -> None:
    slow = ("call", "--stream", counter, "count", "upto:=4")

    assert run(*slow, "pause:=0.4", "--timeout", "1").code == 0
    late = run(*slow, "pause:=5", "--timeout", "0.5")
    assert (late.code, numbers(late.out)) == (124, [0])


def test_an_item_is_printed_as_soon_as_it_comes(counter: str) -> None:
    command = [*COMMAND, "call", "--stream", counter, "count", "upto:=2", "pause:=60"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert numbers(process.stdout.readline()) == [0]
        process.terminate()


def test_what_is_no_list_has_no_items(device: Simulated) -> None:
    done = run("call", "--stream", device.tcp, "sys.info")

    assert (done.code, done.out) == (3, "")
    assert "sys.info: the result is no list" in done.err


def test_forty_networks_in_small_packets(tmp_path: Path) -> None:
    (tmp_path / "city.py").write_text(
        """
from jsonrpc_iot import Dispatcher
from jsonrpc_iot.services.wifi import SimulatedNetwork, SimulatedWifi

city = Dispatcher()
city.include(
    SimulatedWifi(
        networks=[
            SimulatedNetwork(f"network {n:02} of the city", f"02:00:00:00:00:{n:02x}", 1, -40 - n)
            for n in range(40)
        ]
    )
)
"""
    )
    where = ("--bind", "udp://127.0.0.1:0?max=220")
    with serving("serve", "city:city", *where, cwd=tmp_path) as (url,):
        streamed = run("call", "--stream", url, "wifi.scan")
        whole = run("call", url, "wifi.scan")

    assert (streamed.code, streamed.err) == (0, "")
    found = {msgspec.json.decode(line)["ssid"] for line in streamed.out.splitlines()}
    assert found == {f"network {n:02} of the city" for n in range(40)}
    assert whole.code == 1
    assert msgspec.json.decode(whole.err)["code"] == -32001
