"""A device whose process is stopped: what nobody waits for any more when it goes on is not run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.places import ROOT

from .rig import ANYWHERE, SECONDS, raw

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="no way to stop a process"),
]


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("at_once", {"timeout": 1}),
    ("later", {"timeout": 1}),
    ("items", {"timeout": 1, "stream": True}),
    ("at_once", {"timeout": 60}),
    ("later", {"retry": False}),
    ("items", {"stream": True}),
    ("at_once", {"timeout": 60}),
    ("later", {}),
]
"""Three that wait too short, three that are cancelled, and two that shall run."""


@contextmanager
def device(log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A device's process, and its URL."""
    command = [sys.executable, "-m", f"{__package__}.chaos.device", str(log), ANYWHERE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_process_that_was_stopped(tmp_path: Path) -> None:
    answers: dict[Any, Any] = {}
    with device(tmp_path / "log") as (process, url), raw(url) as end, anyio.fail_after(SECONDS):
        assert (await end.exchange(id=0, method="rpc.ping"))["result"] is True
        process.send_signal(signal.SIGSTOP)
        for id, (method, extension) in enumerate(REQUESTS, 1):
            end.send(id=id, method=method, params={"key": f"k{id}"}, **extension)
        for id in (4, 5, 6):
            end.send(method="rpc.cancel", params={"id": id})
        await anyio.sleep(2)  # so long it is stopped
        process.send_signal(signal.SIGCONT)
        while len(answers) < 8:
            answer = await end.receive()
            answers[answer["id"]] = answer.get("error", {}).get("code", answer.get("result"))
    assert answers == {
        **dict.fromkeys((1, 2, 3), -32002),
        **dict.fromkeys((4, 5, 6), -32003),
        7: "k7",
        8: "k8",
    }
    ran = [line.split()[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert ran == ["k7", "k8"]
