"""Peers that were written by others, as programs of this machine, and what is wrong with them."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from jsonrpc_iot.testing.conformance import CaseReport, Profile, Report, check_conformance
from tests.ports import free_port

FOLDER = Path(__file__).parent
PROFILES: Final[tuple[Profile, ...]] = ("minimal", "standard", "full")
OURS: Final = "this protocol"

Serve = Callable[[], AbstractAsyncContextManager[str]]


class Finding(NamedTuple):
    """One thing that is wrong with a peer, or only other than here.

    Attributes:
        asks: who asks for it, `OURS` or the section of another document.
        text: what is wrong.
        cases: that fail for it, as `section: name`; `*` at the end stands for any rest.
    """

    asks: str
    text: str
    cases: tuple[str, ...]

    def covers(self, case: str) -> bool:
        return any(
            case.startswith(each[:-1]) if each.endswith("*") else case == each
            for each in self.cases
        )


class Peer(NamedTuple):
    """A peer.

    Attributes:
        name: its own, and the link.
        version: of its release.
        link: where it is published.
        about: what was checked.
        serve: runs it; gives a URL, or nothing where it cannot be run.
        findings: what is wrong with it.
        timeout: seconds that an answer may take.
    """

    name: str
    version: str
    link: str
    about: str
    serve: Serve
    findings: tuple[Finding, ...] = ()
    timeout: float = 2.0
    methods: Sequence[tuple[str, str]] = (("lamp.get", ""),)

    async def report(self, url: str, profile: Profile) -> Report:
        return await check_conformance(
            url, profile=profile, methods=self.methods, timeout=self.timeout
        )

    def finding(self, case: str) -> Finding | None:
        """Why a case fails, if that is known."""
        return next((each for each in self.findings if each.covers(case)), None)


def failures(report: Report) -> dict[str, CaseReport]:
    """The cases that failed, as `section: name`."""
    return {
        f"{section.name}: {case.name}": case
        for section in report.sections
        for case in section.cases
        if case.verdict == "fail"
    }


def program(command: Sequence[str], url: str, **environment: str) -> Serve:
    """Run a program of this folder.

    Args:
        command: the interpreter and what it runs; `PORT` stands for a port.
        url: where it is then.
        environment: more variables.
    """

    @asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        port = free_port()
        words = [word.replace("PORT", str(port)) for word in command]
        process = await anyio.open_process(
            words,
            cwd=FOLDER,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it says of each broken message
            env=os.environ | environment,
        )
        async with process:
            try:
                await _listens(port)
                yield url.replace("PORT", str(port))
            finally:
                process.kill()

    return serve


async def _listens(port: int) -> None:
    """Wait until somebody accepts connections at a port."""
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
        except OSError:
            await anyio.sleep(0.05)
        else:
            await stream.aclose()
            return
