"""Docstrings in Google's style, taken apart for the description of a handler."""

import re
import textwrap
from collections.abc import Iterator

from msgspec import Struct

_SECTIONS = {
    "Args:": "args",
    "Arguments:": "args",
    "Returns:": "returns",
    "Yields:": "returns",
    "Raises:": "left out",
    "Attributes:": "left out",
}
_ENTRY = re.compile(r"(?P<names>[*\w]+(?:, *[*\w]+)*)(?: *\([^)]*\))?: *(?P<text>.*)")


class Docstring(Struct, frozen=True):
    """What a docstring says.

    Args:
        summary: its first paragraph, in one line.
        description: the other paragraphs, without the sections.
        args: what each parameter is, by name.
        returns: what the result is, or each item of it.
    """

    summary: str
    description: str
    args: dict[str, str]
    returns: str


def parse(text: str) -> Docstring:
    """Take a docstring apart. `Raises:` and `Attributes:` are left out.

    Args:
        text: the docstring as `inspect.getdoc` gives it, without the indentation of the code.
    """
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    into = prose
    for line in text.splitlines():
        if line in _SECTIONS:
            into = sections.setdefault(_SECTIONS[line], [])
        elif line and not line[0].isspace() and into is not prose:
            into = prose
            prose += [line] if prose and not prose[-1] else ["", line]
        else:
            into.append(line)
    summary, _, description = "\n".join(prose).strip().partition("\n\n")
    return Docstring(
        summary=_one_line(summary),
        description=description.strip(),
        args=dict(_entries(sections.get("args", []))),
        returns=_one_line("\n".join(sections.get("returns", []))),
    )


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each entry of a section; lines further in continue an entry."""
    section = textwrap.dedent("\n".join(lines)).strip("\n")
    for entry in re.split(r"\n+(?=\S)", section):
        if match := _ENTRY.match(entry):
            text = _one_line(entry[match.start("text") :])
            for name in match["names"].split(","):
                yield name.strip(" *"), text


def _one_line(text: str) -> str:
    return " ".join(text.split())
