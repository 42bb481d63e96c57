"""Write docs/cli.md from the program: `python tools/cli_docs.py`.

With `--print` the page goes to standard output instead; a test compares the two.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from jsonrpc_iot.cli import NAME, app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"

HEAD = f"""\
# Command line

<!-- Written by tools/cli_docs.py from the program; change that. -->

`pip install 'jsonrpc-iot[cli]'` brings `{NAME}`, which is `python -m jsonrpc_iot` as well. URLs
are those of [Transports](transports.md). `{NAME} --install-completion` teaches the shell its
commands, options and URL schemes.

On a terminal JSON is indented and coloured, elsewhere it is one line. Results go to standard
output, all else to standard error. What a device sends is escaped before it reaches a terminal.

| exit code | |
|---|---|
| 0 | success |
| 1 | the other end answered with an error, which is on standard error as JSON |
| 2 | wrong usage: options, URLs, and params that are no JSON |
| 3 | the connection failed, or a message is too large for it |
| 70 | a fault of this program; `-v` of `serve` and `simulate` shows where |
| 124 | the time ran out, at either end |
| 130 | interrupted with Ctrl+C; `listen`, `serve` and `simulate` end with 0 then |
| 141 | nobody reads standard output any more, as in `… \\| head -1` |

## Params

`PARAMS` of `call`, `notify` and `bench` is one of

- one JSON object or array: `'{{"ssid": "home"}}'`
- words: `ssid=home` is text, `level:=3` and `levels:='[1, 2]'` are JSON; and a
  text where the device wants a number gets you a hint
- `@FILE`, a file with one JSON object or array
- `-`, the same from standard input
"""


class Parameter(NamedTuple):
    """An argument or option of a command.

    Args:
        usage: how it is written.
        help: what it does.
        default: as it is shown.
        is_argument: it has no name on the command line.
    """

    usage: str
    help: str
    default: str
    is_argument: bool


def page() -> str:
    """The whole page."""
    sections = [_section(each.callback) for each in app.registered_commands if each.callback]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        prefix = f"{group.typer_instance.info.name} "
        commands = [each.callback for each in group.typer_instance.registered_commands]
        sections += [_section(command, prefix) for command in commands if command]
    return "\n".join([HEAD, *sections])


def _section(command: Callable[..., Any], group: str = "") -> str:
    parameters = list(_parameters(command))
    arguments = [each.usage for each in parameters if each.is_argument]
    rows = [f"| `{each.usage}` | {each.help} | {each.default} |" for each in parameters]
    name = group + command.__name__
    usage = " ".join([NAME, name, "[OPTIONS]", *arguments])
    text = (inspect.getdoc(command) or "").replace("*", "\\*")
    head = f"## {name}\n\n```text\n{usage}\n```\n\n{text}\n\n| | | default |\n|---|---|---|\n"
    return head + "".join(f"{row}\n" for row in rows)


def _parameters(command: Callable[..., Any]) -> Iterator[Parameter]:
    for each in inspect.signature(command).parameters.values():
        kind, info = get_args(each.annotation)
        text = " ".join(info.help.split()).replace("|", "\\|")
        if isinstance(info, ArgumentInfo):
            is_needed = each.default is each.empty
            usage = str(info.metavar) if is_needed else f"[{info.metavar}]"
            yield Parameter(usage, text, "", is_argument=True)
        elif isinstance(info, OptionInfo):
            given = [info.default, *(info.param_decls or ())]  # inside Annotated the first is there
            names = [name for name in given if isinstance(name, str)]
            names = names or [f"--{each.name.replace('_', '-')}"]
            usage = f"{', '.join(names)} {_value(kind, info)}".rstrip()
            yield Parameter(usage, text, _default(each), is_argument=False)


def _value(kind: Any, info: OptionInfo) -> str:
    choices = [each for each in (kind, *get_args(kind)) if get_origin(each) is Literal]
    if choices:
        return "\\|".join(get_args(choices[0]))
    return "" if kind is bool else str(info.metavar)


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if value is parameter.empty:
        return "needed"
    if value is None or value is False:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(page().encode())
    else:
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
