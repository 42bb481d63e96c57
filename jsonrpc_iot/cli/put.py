"""`put`, `get` and `ls`: the files of a device."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import msgspec

from jsonrpc_iot import Client, UsageError
from jsonrpc_iot.protocol.messages import Dialect
from jsonrpc_iot.protocol.text import escape
from jsonrpc_iot.services.files import FileExists, FileInfo, Progress
from jsonrpc_iot.services.files import get as get_file
from jsonrpc_iot.services.files import put as put_file

from ._files import (
    STANDARD,
    AnswerTimeoutOption,
    PatienceOption,
    ReplaceOption,
    connect_lastingly,
    hinting_at_service,
    place_for,
    progress_bar,
    source_of,
)
from ._json import encode_json
from ._options import (
    DialectOption,
    JsonOption,
    TimeoutOption,
    TraceOption,
    UrlArgument,
    connect_to,
)
from ._output import (
    is_terminal,
    json_line,
    print_json,
    print_json_line,
    print_text,
    table_of,
    write_error,
)
from ._run import HINT
from .command.declare import Argument, Option


def put(
    url: UrlArgument,
    file: Annotated[Path, Argument("FILE", "The file here; - is standard input.")],
    name: Annotated[
        str | None,
        Argument("NAME", "What it is called there, folders before it; as here by default."),
    ] = None,
    *,
    replace: ReplaceOption = False,
    json: JsonOption = False,
    timeout: AnswerTimeoutOption = 10.0,
    patience: PatienceOption = 60.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Send a file to a device, over any link.

    After a cut, or when either end was restarted, it goes on from where it was, also when this is
    called again. The file is there when it is whole and right, all at once.
    """
    if name is None and str(file) == STANDARD:
        raise UsageError("standard input has no name: say NAME")
    with source_of(file) as source:

        async def run(client: Client, progress: Progress | None) -> FileInfo:
            return await put_file(
                client, source, name, replace=replace, progress=progress, patience=patience
            )

        title = file.name if name is None else name
        info = _transfer(url, title, run, timeout, dialect, trace=trace)
    _print(info, json=json)


def get(
    url: UrlArgument,
    name: Annotated[str, Argument("NAME", "The file there, with its folders; see ls.")],
    file: Annotated[
        Path | None,
        Argument(
            "FILE",
            "Where it goes; into a folder, the present one by default, called as there. "
            "- is standard output, where nothing else goes.",
        ),
    ] = None,
    *,
    replace: ReplaceOption = False,
    json: JsonOption = False,
    timeout: AnswerTimeoutOption = 10.0,
    patience: PatienceOption = 60.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """Fetch a file from a device, over any link.

    What has come is kept beside the file as .NAME.HASH.part, from where the next call goes on.
    """
    with place_for(file) as place:

        async def run(client: Client, progress: Progress | None) -> FileInfo:
            return await get_file(
                client, name, place, replace=replace, progress=progress, patience=patience
            )

        info = _transfer(url, name, run, timeout, dialect, trace=trace)
    if str(file) == STANDARD:
        write_error(json_line(msgspec.json.encode(info)) if json else _told(info))
    else:
        _print(info, json=json)


def ls(
    url: UrlArgument,
    path: Annotated[str, Argument("PATH", "A folder there, for those in it alone.")] = "",
    *,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line for each.")] = False,
    timeout: TimeoutOption = 10.0,
    dialect: DialectOption = "iot",
    trace: TraceOption = False,
) -> None:
    """List the files of a device: size in bytes, when they were changed, and names."""
    as_table = is_terminal() and not json

    async def run() -> list[FileInfo]:
        found = []
        async with connect_to(url, timeout, dialect, trace=trace) as client:
            params = {"path": path} if path else None
            async with client.stream("files.list", params, item=FileInfo) as items:
                async for item in items:
                    if as_table:
                        found.append(item)
                    else:
                        print_json_line(encode_json(item))
        return found

    with hinting_at_service(url, "files"):
        found = anyio.run(run)
    if as_table:
        from rich.console import Console

        Console().print(table_of(("size", "modified", "name"), map(_row, found)))


def _transfer(
    url: str,
    title: str,
    run: Callable[[Client, Progress | None], Awaitable[FileInfo]],
    timeout: float,
    dialect: Dialect,
    *,
    trace: bool,
) -> FileInfo:
    """Have a file sent or fetched, and show how far it is."""

    async def transfer(progress: Progress | None) -> FileInfo:
        async with connect_lastingly(url, timeout, dialect, trace=trace) as client:
            return await run(client, progress)

    try:
        with hinting_at_service(url, "files"), progress_bar(title) as progress:
            return anyio.run(partial(transfer, progress))
    except FileExists as error:
        error.add_note(f"{HINT}--replace replaces it")
        raise


def _print(info: FileInfo, *, json: bool) -> None:
    if json:
        print_json(msgspec.json.encode(info))
    else:
        print_text(_told(info))


def _told(info: FileInfo) -> str:
    return f"{escape(info.name)}: {info.size:,} bytes, sha256 {info.sha256}"


def _row(info: FileInfo) -> tuple[str, str, str]:
    when = "" if isinstance(info.modified, msgspec.UnsetType) else _time(info.modified)
    return f"{info.size:,}", when, info.name


def _time(seconds: int) -> str:
    """A time for people, local; what no calendar has as it is."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return str(seconds)
