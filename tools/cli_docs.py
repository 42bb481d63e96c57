"""Write docs/cli.md from the program: `python tools/cli_docs.py`.

With `--print` the page goes to standard output instead; a test compares the two.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jsonrpc_iot.cli import NAME, ROOT
from jsonrpc_iot.cli.command.declare import Command, Group, Parameter
from jsonrpc_iot.cli.command.help import usage

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"

HEAD = f"""\
# Command line

<!-- Written by tools/cli_docs.py from the program; change that. -->

`pip install 'jsonrpc-iot[cli]'` brings `{NAME}`, which is `python -m jsonrpc_iot` as well. URLs
are those of [Transports](transports.md).

On a terminal JSON is indented and coloured, elsewhere it is one line. Results go to standard
output, all else to standard error. What a device sends is escaped before it reaches a terminal.

| exit code | |
|---|---|
| 0 | success |
| 1 | the other end answered with an error, which is on standard error as JSON |
| 2 | wrong usage: options, URLs, and params that are no JSON |
| 3 | the connection failed, or a message is too large for it |
| 70 | a fault of this program; `-v` shows where |
| 124 | the time ran out, at either end |
| 130 | interrupted with Ctrl+C; `listen`, `serve`, `simulate` and `replay` end with 0 then |
| 141 | nobody reads standard output any more, as in `… \\| head -1` |

## Params

`PARAMS` of `call`, `notify` and `bench` is one of

- one JSON object or array: `'{{"ssid": "home"}}'`
- words: `ssid=home` is text, `level:=3` and `levels:='[1, 2]'` are JSON; and a
  text where the device wants a number gets you a hint
- `@FILE`, a file with one JSON object or array
- `-`, the same from standard input

## Completion

`{NAME} --install-completion` teaches bash, zsh, fish or PowerShell the commands, options and URL
schemes, and what the device at a URL can do: its methods, and `name=` or `name:=` for their params.

```console
$ {NAME} call tcp://192.168.1.20 wifi.con<Tab>
$ {NAME} call tcp://192.168.1.20 wifi.connect ss<Tab>
```

The device has a second to answer, or `$JSONRPC_IOT_COMPLETION_SECONDS`, and is asked again after a
minute. What it said is kept in `~/.cache/jsonrpc-iot`, for when it does not answer. Devices on
serial lines and BLE are not asked, as to open such a link may start them again.
"""


LOG = """\
## What all commands show

Standard error is for the log. Commands that serve show warnings and errors there, and the others
say in one line what has failed, unless one of these says otherwise. Messages are shown with
`--trace` alone. [When something does not work](troubleshooting.md) tells what its lines
mean.

"""


def page() -> str:
    """The whole page."""
    commands = [*_commands(ROOT)]
    log = LOG + _table(map(_row, commands[0].common))
    return "\n".join([HEAD, log, *map(_section, commands)])


def _commands(group: Group) -> Iterator[Command]:
    for name in group.names:
        found = group.command(name)
        if isinstance(found, Group):
            yield from _commands(found)
        else:
            yield found


def _section(command: Command) -> str:
    rows = [_row(each) for each in command.parameters if each not in command.common]
    text = command.help.replace("*", "\\*")
    head = f"## {command.path.removeprefix(f'{NAME} ')}\n\n```text\n{usage(command)}\n```\n\n{text}"
    return f"{head}\n\n" + _table(rows)


def _table(rows: Iterable[str]) -> str:
    return "| | | default |\n|---|---|---|\n" + "".join(f"{row}\n" for row in rows)


def _row(parameter: Parameter) -> str:
    return f"| `{_written(parameter)}` | {_help(parameter)} | {_default(parameter)} |"


def _written(parameter: Parameter) -> str:
    if parameter.is_argument:
        name = parameter.info.metavar
        return name if parameter.is_needed else f"[{name}]"
    value = parameter.value_name.replace("|", "\\|")
    return f"{', '.join(parameter.names)} {value}".rstrip()


def _help(parameter: Parameter) -> str:
    return " ".join(parameter.info.help.split()).replace("|", "\\|")


def _default(parameter: Parameter) -> str:
    value = parameter.default
    if parameter.is_needed:
        return "" if parameter.is_argument else "needed"
    if value is None or value is False:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.buffer.write(page().encode())
    else:
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
