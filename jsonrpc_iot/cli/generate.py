"""`generate`: the source of a client, made from what a device says of itself."""

import codecs
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from jsonrpc_iot import UsageError
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.generate.python import write_python
from jsonrpc_iot.generate.typescript import write_typescript
from jsonrpc_iot.services.system import package_version

from ._options import DialectOption, TimeoutOption, TraceOption, complete_url, connect_to
from ._output import print_text
from .command.declare import Argument, Option
from .describe import ask_document

_MARK = "Made by jsonrpc-iot "
_WRITERS: dict[tuple[str, bool], Callable[..., str]] = {
    ("python", False): write_python,
    ("python", True): partial(write_python, blocking=True),
    ("typescript", False): write_typescript,
}

PrefixOption: TypeAlias = Annotated[
    str | None,
    Option(metavar="NAME", help="Take only what is called NAME.…, and leave NAME. out there."),
]
DeviceOption: TypeAlias = Annotated[
    str | None, Option(metavar="NAME", help="Make the client of that device behind a gateway.")
]


def generate(
    source: Annotated[
        str,
        Argument(
            "URL|FILE",
            "Where the device is, or a file with its OpenRPC document; - for standard input.",
            complete_url,
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write it into this file, which is new or was made by this command; - for "
            "standard output, as without it.",
        ),
    ] = None,
    service: Annotated[
        str | None,
        Option(metavar="CLASS", help="What to call the class; by default what the device is."),
    ] = None,
    prefix: PrefixOption = None,
    device: DeviceOption = None,
    language: Annotated[
        Literal["python", "typescript"], Option(help="The language of the client.")
    ] = "python",
    blocking: Annotated[
        bool, Option("--blocking", help="Add a class for programs without async.")
    ] = False,
    force: Annotated[bool, Option("--force", help="Replace any file.")] = False,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Make a typed client from what a device says of itself.

    The class goes to client.proxy: it has the methods, streams and events with their types and
    documentation. Over a link for small messages the device can say less of itself; see describe.
    """
    if (language, blocking) not in _WRITERS:
        raise UsageError("--blocking is for Python")
    if out == Path("-"):
        out = None
    if out is not None:
        _check(out, force=force)
    if "://" in source:
        connected = connect_to(source, timeout, dialect, trace=trace)
        document: object = ask_document(source, connected, timeout, device)
    elif device is not None:
        raise UsageError("--device asks a gateway: give its URL")
    else:
        document = _read(source)
    origin = _origin(source, device)
    try:
        description = read_document(document, prefix or "")
        text = _WRITERS[language, blocking](description, _header(origin), service, prefix or "")
    except UsageError as error:
        raise UsageError(f"{origin}: {error}") from None
    if out is None:
        print_text(text.removesuffix("\n"))
    else:
        _write(out, text)


def _origin(source: str, device: str | None) -> str:
    if "://" not in source:
        return "standard input" if source == "-" else Path(source).name
    return f"{Url.parse(source)} {device or ''}".rstrip()


def _header(origin: str) -> str:
    return f"{_MARK}{package_version()} from {origin}. Make it again instead of changing it."


def _read(name: str) -> object:
    try:
        data = _read_stdin() if name == "-" else Path(name).read_bytes()
        return msgspec.json.decode(data.removeprefix(codecs.BOM_UTF8))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise UsageError(f"cannot read {name!r}: {reason}") from None
    except RecursionError:
        raise UsageError(f"cannot read {name!r}: it is nested too deep") from None


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer.read()


def _check(path: Path, *, force: bool) -> None:
    """Refuse to replace what is no file, and without force what this command has not made."""
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"--out {path}: there is something that is no file")
    if force:
        return
    try:
        with path.open("rb") as file:
            first = file.readline(100)
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from None
    if not first.lstrip(b"#/ ").startswith(_MARK.encode()):
        raise UsageError(f"--out {path}: the file is there, and not from here; --force replaces it")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            new.write_text(text, encoding="utf-8", newline="\n")
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"--out {path}: {error.strerror}") from None
