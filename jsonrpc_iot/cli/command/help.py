"""The help of a command, laid out for a terminal."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from .declare import Command, Group, Parameter

_WIDEST = 78
_NARROWEST = 50
_MOST_FOR_NAMES = 30
_HELP = ("-h, --help", "Show this message and exit.")


def help_text(command: Command | Group) -> str:
    """The help of a command: how it is called, what it does, and its parameters."""
    own = command.own if isinstance(command, Group) else command
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns - 2))
    arguments = [(each.info.metavar, _explained(each)) for each in own.arguments]
    options = [each for each in own.parameters if not each.is_argument]
    rows = [(_usage_of_option(each), _explained(each)) for each in options]
    parts = [
        _filled(f"Usage: {usage(command)}", "", " " * 8, width),
        *(_filled(text, "  ", "  ", width) for text in own.help.split("\n\n")),
    ]
    if arguments:
        parts.append(f"Arguments:\n{_table(arguments, width)}")
    parts.append(f"Options:\n{_table([*rows, _HELP], width)}")
    if isinstance(command, Group):
        longest = max(map(len, command.names))
        commands = [(name, _shortened(text, width - longest - 4)) for name, text in command.all()]
        parts.append(f"Commands:\n{_table(commands, width)}")
        if command.epilog:
            parts.append(_filled(command.epilog, "  ", "  ", width))
    return "\n\n".join(parts)


def usage(command: Command | Group) -> str:
    """How a command is called."""
    if isinstance(command, Group):
        return f"{command.own.path} [OPTIONS] COMMAND [ARGS]..."
    return " ".join([command.path, "[OPTIONS]", *map(_usage_of_argument, command.arguments)])


def _usage_of_argument(argument: Parameter) -> str:
    name = argument.info.metavar
    return name if argument.is_needed else f"[{name}]"


def _usage_of_option(option: Parameter) -> str:
    names = ", ".join(sorted(option.names, key=len))
    value = f"<{option.value_name}>" if option.choices else option.value_name
    return f"{names} {value}".rstrip()


def _explained(parameter: Parameter) -> str:
    """What a parameter is for, its default and its bounds."""
    notes = []
    if parameter.is_needed:
        notes.append("required")
    elif parameter.default is not None and not parameter.is_flag:
        notes.append(f"default: {parameter.default}")
    low, high = parameter.info.min, parameter.info.max
    if low is not None or high is not None:
        left, right = "" if low is None else f"{low}<=", "" if high is None else f"<={high}"
        notes.append(f"{left}x{right}" if left and right else f"x>={low}" if left else f"x{right}")
    text = " ".join(parameter.info.help.split())
    return f"{text}  [{'; '.join(notes)}]" if notes else text


def _filled(text: str, first: str, following: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Names and what they mean, side by side where a name is not too long."""
    column = min(_MOST_FOR_NAMES, max(len(name) for name, _ in rows)) + 4
    return "\n".join(_row(name, text, column, width) for name, text in rows)


def _row(name: str, text: str, column: int, width: int) -> str:
    lines: Iterable[str] = _filled(text, " " * column, " " * column, width).split("\n")
    if len(name) + 4 > column:
        return "\n".join([f"  {name}", *lines])
    first, *others = lines
    return "\n".join([f"  {name}".ljust(column) + first[column:], *others])


def _shortened(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder="...")
