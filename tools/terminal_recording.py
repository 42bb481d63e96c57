"""Records docs/session.cast and docs/session.svg: a short session in a terminal.

    python -m tools.terminal_recording [FOLDER]

`make recording` runs it. A shell on a pseudo terminal gets the commands below, typed, and all that
it shows is kept with its time: as an asciicast (docs.asciinema.org, version 2), which
`asciinema play` shows, and as a picture that moves.
"""

import json
import os
import re
import select
import sys
import time
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import NamedTuple

from tests.places import ROOT

WIDTH, HEIGHT = 88, 28
PROMPT = "$ "
READY = "\x1b]133;A\x07"  # by which a shell says that it waits for a command (FinalTerm)
DEVICE = "tcp://127.0.0.1:8805"
SESSION = (
    "jsonrpc-iot demo",
    f"jsonrpc-iot simulate --bind {DEVICE} &",
    f"jsonrpc-iot describe {DEVICE} --table",
    f"jsonrpc-iot call {DEVICE} sys.info",
    f"jsonrpc-iot call {DEVICE} echo '[\"hello\"]'",
    f"jsonrpc-iot console {DEVICE}",
)
LAST = r"device online"  # what the last one says before it is stopped

KEY_SECONDS, READ_SECONDS, END_SECONDS = 0.04, 1.2, 5.0
LONGEST_PAUSE = 0.8  # that is shown of longer ones
TIMEOUT = 60.0

CONTROLS = re.compile(r"\r|\x1b\[[0-9;?]*[A-Za-z]|\x1b\].*?\x07")
LINE, CHARACTER, MARGIN = 18, 8.4, 14  # pixels
PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="14" fill="#d7dce2"
 font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace">
<title>A session in a terminal with jsonrpc-iot</title>
<rect width="{width}" height="{height}" rx="8" fill="#15181d">
<animate id="c" attributeName="rx" values="8;8" dur="{seconds:.2f}s" begin="0s;c.end"/></rect>
<svg x="{margin}" y="{margin}" width="{width}" height="{screen}"><g>
{rows}
<animateTransform attributeName="transform" type="translate" calcMode="discrete" begin="c.begin"
 dur="{seconds:.2f}s" keyTimes="{times}" values="{shifts}"/>
</g></svg></svg>
"""
ROW = (
    '<text y="{y}" visibility="hidden">{text}<set attributeName="visibility" to="visible" '
    'begin="c.begin+{at:.2f}s" end="c.end"/></text>'
)


class Event(NamedTuple):
    """What a terminal showed.

    Args:
        at: seconds since the start.
        text: with its control characters.
    """

    at: float
    text: str


class Shell:
    """A shell on a pseudo terminal, and what it has shown so far."""

    def __init__(self) -> None:
        import pty  # which Windows has not
        import termios

        self.events: list[Event] = []
        self._at = self._read_at = 0.0
        self._seen = ""
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            environment = {
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PS1": f"\\[{READY}\\]{PROMPT}",
                "COLUMNS": str(WIDTH),
                "TERM": "dumb",  # so that nothing turns while one waits
            }
            os.execvpe("bash", ["bash", "--norc", "--noediting"], environment)
        termios.tcsetwinsize(self._terminal, (HEIGHT, WIDTH))

    def wait_for(self, pattern: str) -> None:
        """Take in what it shows until that is there, since the last time that something was."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := re.search(pattern, self._seen)):
            ready, _, _ = select.select([self._terminal], [], [], deadline - time.monotonic())
            if not ready:
                raise TimeoutError(f"{pattern!r} did not come: {self._seen[-500:]}")
            self._take(os.read(self._terminal, 1 << 16).decode())
        self._seen = self._seen[found.end() :]

    def type(self, command: str) -> None:
        """Type a command, as somebody would."""
        for key in command + "\r":
            os.write(self._terminal, key.encode())
            self.wait_for(re.escape(key) if key != "\r" else r"\n")
            self._at += KEY_SECONDS

    def rest(self) -> None:
        """Let people read."""
        self._at += READ_SECONDS

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._terminal, b"\x03")

    def close(self) -> None:
        """End it, and what it has started."""
        os.write(self._terminal, b"kill %1; exit\r")
        with suppress(OSError):  # that is how a terminal ends
            while os.read(self._terminal, 1 << 16):
                pass
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _take(self, text: str) -> None:
        now = time.monotonic()
        self._at += min(now - self._read_at, LONGEST_PAUSE) if self._read_at else 0.0
        self._read_at = now
        self._seen += text
        if shown := text.replace(READY, ""):
            self.events.append(Event(round(self._at, 3), shown))


def record() -> list[Event]:
    """Play the session; returns what the terminal has shown."""
    shell = Shell()
    try:
        for command in SESSION:
            shell.wait_for(re.escape(READY) + r".*?\$ ")
            shell.rest()
            shell.type(command)
        shell.wait_for(LAST)
        shell.rest()
        shell.interrupt()
        shell.wait_for(re.escape(READY))
    finally:
        kept = list(shell.events)
        shell.close()
    return kept


def as_cast(events: list[Event]) -> str:
    """The session as an asciicast."""
    head = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "jsonrpc-iot"}
    lines = [head, *([each.at, "o", each.text] for each in events)]
    return "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in lines)


class Line(NamedTuple):
    """A line of the terminal.

    Args:
        at: seconds until it is there; of what is typed, until it is typed.
        text: without control characters.
    """

    at: float
    text: str


def lines_of(events: list[Event]) -> list[Line]:
    """What the terminal has shown, line by line."""
    lines = [Line(0.0, "")]
    for at, text in events:
        for part in re.split(r"(\n)", CONTROLS.sub("", text)):
            begun = lines[-1]
            if part == "\n":
                lines.append(Line(at, ""))
            elif part:
                is_typed = not begun.text or begun.text.startswith(PROMPT)
                lines[-1] = Line(at if is_typed else begun.at, begun.text + part)
    return lines


def as_picture(lines: list[Line]) -> str:
    """The session as a picture that moves, for browsers: an SVG with SMIL, without scripts."""
    over = [(line.at, number - HEIGHT + 1) for number, line in enumerate(lines) if number >= HEIGHT]
    seconds = lines[-1].at + END_SECONDS
    return PICTURE.format(
        width=round(WIDTH * CHARACTER) + 2 * MARGIN,
        height=HEIGHT * LINE + 2 * MARGIN,
        seconds=seconds,
        margin=MARGIN,
        screen=HEIGHT * LINE,
        rows="\n".join(
            ROW.format(
                y=(number + 1) * LINE - 4,
                at=line.at,
                text=_kept(line.text),
            )
            for number, line in enumerate(lines)
            if line.text.strip()
        ),
        times=";".join(f"{at / seconds:.4f}" for at in (0.0, *(at for at, _ in over))),
        shifts=";".join(f"0 {-LINE * shift}" for shift in (0, *(shift for _, shift in over))),
    )


def _kept(text: str) -> str:
    """A text as an SVG keeps it, with all its spaces."""
    return escape(text).replace(" ", "\N{NO-BREAK SPACE}")


def main(folder: Path) -> None:
    """Record the session, and write both files."""
    events = record()
    (folder / "session.cast").write_text(as_cast(events), encoding="utf-8")
    (folder / "session.svg").write_text(as_picture(lines_of(events)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
