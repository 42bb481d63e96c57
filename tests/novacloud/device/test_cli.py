"""`nova device`, `nova load` and the example, as programs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.cli.program import Done, Running, environment, run, started
from tests.novacloud.scripted import ID, KEY, Far, Platform
from tests.places import EXAMPLES

from .test_crash import Store

pytestmark = pytest.mark.anyio
EXAMPLE = EXAMPLES / "nova_device.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # of the test: the programs choose their own


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "device.toml"
    path.touch(mode=0o600)
    path.write_text(f'device_key = "{KEY}"\n')
    return path


async def values(far: Far) -> dict[str, object]:
    found: dict[str, object] = (await far.read_type("data"))["payload"]
    return found


async def reaction(far: Far) -> tuple[dict[str, object], dict[str, object]]:
    """The values and the payload of the response that follow a command, in either order."""
    found = {message["type"]: message for message in (await far.read(), await far.read())}
    assert found["command_response"]["status"] == "success"
    return found["data"]["payload"], found["command_response"]["payload"]


async def admitted(platform: Platform) -> Far:
    far = await platform.accept()
    assert (await far.admit())["device_key"] == KEY
    return far


async def test_a_simulated_device(platform: Platform, key_file: Path, tmp_path: Path) -> None:
    words = ["--port", str(platform.port), "--id", ID, "--key-file", str(key_file)]
    sensors = ["--sensor", "temperature=sine", "--sensor", "light_switch=constant:false"]
    more = ["--actuator", "light_switch", "--outbox", str(tmp_path / "o"), "--interval", "60"]
    with started("nova", "device", *words, *sensors, *more) as program:
        far = await admitted(platform)
        line = await anyio.to_thread.run_sync(program.next_line)
        assert line == f"connected novacloud://127.0.0.1:{platform.port}\n"
        before = await values(far)
        assert before["light_switch"] is False
        assert 19 < float(str(before["temperature"])) < 25

        far.command("c1", light_switch="ON")
        reported, _ = await reaction(far)
        assert reported["light_switch"] is True
        assert await anyio.to_thread.run_sync(program.stop) == Done(0, "", "")
        await far.end()


async def test_a_key_that_is_a_word_of_what_platforms_say(
    platform: Platform, tmp_path: Path
) -> None:
    words = ("--port", str(platform.port), "--id", ID)
    with started("nova", "device", *words, NOVACLOUD_DEVICE_KEY="wrong") as program:
        far = await platform.accept()
        await far.read()
        far.refuse("unknown device or wrong key")
        line = await anyio.to_thread.run_sync(program.wait_for_error, "jsonrpc-iot: ERROR")
        assert "unknown device or wrong key" in line
        await anyio.to_thread.run_sync(program.stop)


async def test_a_key_that_is_refused(platform: Platform, key_file: Path) -> None:
    words = ("--port", str(platform.port), "--id", ID, "--key-file", str(key_file))
    with started("nova", "device", *words) as program:
        far = await platform.accept()
        await far.read()
        far.refuse(f"wrong key {KEY}")
        line = await anyio.to_thread.run_sync(program.wait_for_error, "jsonrpc-iot: ERROR")
        assert "wrong key ***" in line
        done = await anyio.to_thread.run_sync(program.stop)
        assert done.code == 0


def test_words_that_make_no_sense(key_file: Path) -> None:
    words = ("nova", "device", "--id", ID, "--key-file", str(key_file))
    for sensor in ("temperature=square", "=sine", "t=constant:nan"):
        done = run(*words, "--sensor", sensor)
        assert (done.code, done.out) == (2, "")
        assert done.complaint
    done = run("nova", "device", "--id", ID, "--key-file", f"{key_file}.none")
    assert (done.code, KEY in done.err) == (2, False)


def test_a_load(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{number} {KEY}\n" for number in range(5)))
    store = Store(1)
    words = ("--port", str(store.port), "--keys", str(keys), "--rate", "20", "--duration", "0.5")
    done = run("nova", "load", "--devices", "3", *words, "--json")
    report = done.result
    assert (done.code, done.err) == (0, "")
    store.wait_for(report["reports"])  # those at the end nobody has acknowledged
    store.close()
    assert (report["devices"], report["connected"], report["failed"]) == (3, 3, 0)
    assert 20 <= report["reports"] <= 30
    assert report["acknowledged"] + report["lost"] == report["reports"]
    assert len(store.values) == report["reports"]


def test_a_load_without_a_platform(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f'[{{"device_id": "{ID}", "device_key": "{KEY}"}}]')
    done = run("nova", "load", "--port", "1", "--keys", str(keys))
    assert done.code == 3
    assert "127.0.0.1:1" in done.complaint
    keys.write_text(f"{ID}{KEY}\n")
    done = run("nova", "load", "--port", "1", "--keys", str(keys))
    assert (done.code, KEY in done.err) == (2, False)


async def test_the_example(platform: Platform, tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: ASYNC220  # it starts at once
        [sys.executable, str(EXAMPLE), "127.0.0.1", str(platform.port), ID],
        cwd=tmp_path,
        env=environment(NOVACLOUD_DEVICE_KEY=KEY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        program = Running(process)
        try:
            far = await admitted(platform)
            assert await values(far) == {"light": False, "temperature": 21.5}
            far.command("c1", light_switch=True)
            assert await reaction(far) == ({"light": True}, {"results": {"light_switch": True}})
            process.send_signal(2)
            assert await anyio.to_thread.run_sync(program.finish) == Done(0, "", "")
        finally:
            process.kill()
    assert (tmp_path / "lamp.outbox").exists()
