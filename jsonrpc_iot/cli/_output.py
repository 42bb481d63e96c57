"""What the commands print. Text from a device is escaped, lest a terminal take it for commands.

On a terminal JSON is indented and coloured, elsewhere it is compact; both ways it is one valid JSON
text, UTF-8 except for the escapes.
"""

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.protocol.text import escape, escape_json

from ._log import TRACE, is_json

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger("jsonrpc_iot.cli")

_PROOF = "rpc.authenticate"
_FLAT = r'(?:[^{}\[\]"]|"(?:[^"\\]|\\.)*")*'
_PARAMS = re.compile(rf'("params"\s*:\s*)(?:\{{{_FLAT}\}}|\[{_FLAT}\])')
"""Params without a structure, of one message or of several in a batch."""
_PARAMS_BY_POSITION = re.compile(rf'("params"\s*:\s*)\[{_FLAT}\]')
_JOIN = "wifi.connect"
_PSK = re.compile(r'("psk"\s*:\s*)"(?:[^"\\]|\\.)*"')


def prepare_streams() -> None:
    """Make standard output and error take any text, whatever the locale; closed ones swallow it."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def forget_stdout() -> None:
    """Give up standard output, whose reader is gone, so that no later flush fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def print_text(text: str) -> None:
    """Print lines that hold nothing unescaped from a device.

    Raises:
        OSError: nobody takes them: the disk is full, or the reader has gone.
    """
    with writing():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Say what it is that cannot be written, where that is standard output."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"standard output cannot be written: {error.strerror}") from error


def print_json(data: bytes) -> None:
    """Print a JSON text: for people on a terminal, on one line elsewhere."""
    if is_terminal():
        from rich.console import Console
        from rich.highlighter import JSONHighlighter
        from rich.text import Text

        text = Text(escape_json(msgspec.json.format(data, indent=2).decode()))
        JSONHighlighter().highlight(text)
        Console().print(text, soft_wrap=True)
    else:
        print_json_line(data)


def print_json_line(data: bytes) -> None:
    """Print a JSON text on one line."""
    print_text(json_line(data))


def json_line(data: bytes) -> str:
    """A JSON text on one line, escaped."""
    return escape_json(msgspec.json.format(data, indent=-1).decode())


def table_of(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """A table for people, its cells escaped."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    return table


@contextlib.contextmanager
def progress(text: str, show: bool = True) -> Iterator[None]:
    """Say on a terminal what goes on while the block runs, which must not print.

    Args:
        text: what to say.
        show: whether to say it.
    """
    if show and is_terminal():
        from rich.console import Console

        with Console().status(text):
            yield
    else:
        yield


@contextlib.contextmanager
def counting() -> Iterator[Callable[[str], object]]:
    """Give what says how far something is, on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(Text(escape(text)))  # no markup of its own: `[/a]`


def explain(problem: str) -> None:
    """Say in one line on standard error what is wrong, in JSON where the log is JSON."""
    if is_json():
        logger.error("%s", problem)
    else:
        write_error(escape(f"jsonrpc-iot: {problem}"))


def write_error(text: str) -> None:
    """Print text on standard error; where nobody reads that, nothing happens."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class Tracer:
    """Shows each message and frame on standard error: direction, URL, and text or hex digits.

    The directions are those of `Trace`. What is no text is shown in hex, and no Tuya frame is text.
    No bearer token or Wi-Fi key is shown: what is traced is what people send to others when they
    ask for help.

    Args:
        url: what to show between direction and message, with its password masked.
    """

    def __init__(self, url: str = "") -> None:
        self._place = f"{Url.parse(url)} " if url else ""

    def __call__(self, direction: str, message: bytes) -> None:
        try:
            shown = _without_secrets(message.decode())
        except UnicodeDecodeError:
            secret = next((each for each in (_PROOF, _JOIN) if each.encode() in message), "")
            shown = f"{secret}: {len(message)} bytes" if secret else message.hex(" ")
        line = f"{direction} {self._place}{shown}"
        if is_json():
            logging.getLogger(TRACE).debug("%s", line)
        else:
            write_error(escape(line))


def _without_secrets(text: str) -> str:
    if _PROOF in text:
        text = _PARAMS.sub(r'\1"***"', text)
    if _JOIN in text:
        text = _PARAMS_BY_POSITION.sub(r'\1"***"', text)
    return _PSK.sub(r'\1"***"', text)


def _nowhere() -> io.TextIOWrapper:
    return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
