"""The recipes of the page about security do what the page shows."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.ports import free_port

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
SECONDS = 60.0
STARTED = "sleep 2\n"


@pytest.mark.skipif(sys.platform == "win32", reason="the recipes are for a shell")
@pytest.mark.parametrize("recipe", range(len(RECIPES)))
def test_a_recipe_prints_what_the_page_shows(recipe: int, tmp_path: Path) -> None:
    commands, shown = (
        each.replace("8805", str(free_port(socket.SOCK_DGRAM))) for each in [*RECIPES[recipe]]
    )
    port = re.search(r"127\.0\.0\.1:(\d+)", commands)
    if port is not None:  # the same in both
        shown = re.sub(r"127\.0\.0\.1:\d+", port[0], shown)
        is_up = f"until jsonrpc-iot ping udp://{port[0]} >/dev/null 2>&1; do sleep 0.1; done\n"
        assert STARTED in commands
        commands = commands.replace(STARTED, is_up)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            code = shell.wait(SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)  # the devices in the background
        printed, complaint = shell.communicate(timeout=SECONDS)
    assert code == 0, complaint
    assert sorted(printed.split("\n")) == sorted(shown.split("\n")), complaint


def test_the_page_has_recipes() -> None:
    assert len(RECIPES) == 3


@pytest.mark.parametrize("name", ["docs/security.md", "SECURITY.md"])
def test_what_the_pages_link_to_is_there(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)", page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []
