"""`console`: the real program, and what a browser gets of it."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from tests.places import ROOT

from .conftest import Simulated
from .program import SECONDS, Done, Running, listening, run, started

# What stands for a browser: it tells what it was started with.
BROWSER = """#!/bin/sh
printf '%s' "$1" > "$TOLD"
"""


def address(program: Running) -> tuple[str, str]:
    """What its first line says: where the page is, and the key."""
    found = re.fullmatch(r"console (http://127\.0\.0\.1:\d+/)#([\w-]{43})\n", program.next_line())
    assert found
    return found[1], found[2]


def post(url: str, token: str, body: object = None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with open_url(Request(url, data, headers)) as answer:
        return json.loads(answer.read())


def open_url(request: Request) -> Any:
    return build_opener(ProxyHandler({})).open(request, timeout=SECONDS)


def test_a_device_is_reached_through_it(device: Simulated) -> None:
    with started("console", device.udp) as program:
        url, key = address(program)
        assert program.wait_for_error("device online, udp://")
        token = post(f"{url}.console/session", key)["token"]
        answer = post(url, token, {"id": 1, "method": "sys.info"})
        assert answer["result"]["name"] == "lamp"
        done = program.stop()
    assert done == Done(0, "", "")


def test_a_device_that_is_away_is_told_of(tmp_path: Path) -> None:
    with started("console", f"pipe://none?dir={tmp_path}") as program:
        address(program)
        assert program.wait_for_error("device away: pipe://none")
        assert program.stop().code == 0


def test_a_device_that_wants_a_key_is_told_of(tmp_path: Path) -> None:
    device, keys = tmp_path / "lamp.py", tmp_path / "keys.toml"
    device.write_text("from jsonrpc_iot import Dispatcher\n\nlamp = Dispatcher()\n")
    keys.touch(mode=0o600)
    words = ("serve", "lamp:lamp", "--bind", "tcp://127.0.0.1:0", "--require-key")
    with started(*words, "--keys", str(keys), PYTHONPATH=str(tmp_path)) as server:
        with started("console", listening(server)) as program:
            address(program)
            assert program.wait_for_error("this device wants a key: ?psk=env:NAME")
            assert program.stop().code == 0
        assert server.stop().code == 0


def test_the_browser_is_led_there_by_a_file_that_no_other_user_can_read(
    device: Simulated, tmp_path: Path
) -> None:
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(BROWSER)
    browser.chmod(0o700)
    os.mkfifo(told)
    words = ("console", device.tcp, "--open")
    with started(*words, BROWSER=f"{browser} %s", TOLD=str(told)) as program:
        url, key = address(program)
        place = told.read_text()
        assert key not in place  # it is among the words of a process, for all to see
        file = Path(place.removeprefix("file://"))
        assert f"url={url}#{key}" in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert program.stop().code == 0
    assert not file.parent.exists()


def test_where_there_is_no_browser_it_says_so(device: Simulated, tmp_path: Path) -> None:
    with started("console", device.tcp, "--open", PATH=str(tmp_path), DISPLAY="") as program:
        address(program)
        assert program.wait_for_error("jsonrpc-iot: there is no browser here")
        assert program.stop().code == 0


def test_novacloud_has_a_page_and_is_reached_through_one(
    tmp_path: Path,
) -> None:
    pipe = f"pipe://novacloud?dir={tmp_path}"
    words = ("--db", str(tmp_path / "a.db"), "--port", "0", "--manage", pipe)
    with started(
        "nova", "platform", *words, "--manage", "http://127.0.0.1:0/", "--console"
    ) as platform:
        _, _, url = (listening(platform) for _ in range(3))
        with open_url(Request(url, headers={"Accept": "text/html"})) as page:
            assert page.headers["Content-Type"].startswith("text/html")
        with started("console", pipe) as program:
            url, key = address(program)
            program.wait_for_error("device online")
            token = post(f"{url}.console/session", key)["token"]
            methods = post(url, token, {"id": 1, "method": "rpc.methods"})["result"]
            assert "device.page" in methods
            assert program.stop().code == 0
        assert platform.stop().code == 0
    done = run("nova", "platform", *words, "--console")
    assert (done.code, "http:// or https://" in done.complaint) == (2, True)


def test_what_makes_no_sense_is_a_wrong_usage(tmp_path: Path) -> None:
    assert run("console", "lamp").code == 2
    assert run("console", "tcp://127.0.0.1:1", "--keys", str(tmp_path / "none")).code == 2
    done = run("simulate", "--bind", "tcp://127.0.0.1:0", "--console")
    assert (done.code, "http:// or https://" in done.complaint) == (2, True)


def test_what_is_missing_is_said_of_the_command_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError\n")
    done = run("console", "tcp://127.0.0.1:1", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (done.code, done.complaint) == (
        2,
        "jsonrpc-iot: console: it needs: pip install 'jsonrpc-iot[http]'",
    )
