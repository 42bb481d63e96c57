"""Texts from elsewhere, made fit for comments and string literals.

Whatever steers a terminal, hides, or reorders what an editor shows is not printable for Python, and
is replaced in prose and escaped in literals.
"""

import re
import textwrap

# A line end within a paragraph, not before what looks like a list or code.
_FILLED = re.compile(r"(?<!:)([^\s:])\n(?=[A-Za-z0-9`(])")
_MOST = 4000  # characters of one text; a description is not a book


def prose(text: str) -> str:
    """Paragraphs of printable characters."""
    if len(text) <= _MOST and text.isprintable():
        return text.rstrip()
    cut = text if len(text) <= _MOST else f"{text[:_MOST]} …"
    lines = cut.replace("\r\n", "\n").split("\n")
    return "\n".join("".join(map(_printable, line)).rstrip() for line in lines).strip("\n")


def one_line(text: str) -> str:
    """A text without line breaks, printable."""
    return " ".join(prose(text).split())


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than `width` where it has spaces to break at."""
    lines: list[str] = []
    for line in _FILLED.sub(r"\1 ", text).split("\n"):
        inset = len(line) - len(line.lstrip())
        if len(line) <= width:
            lines.append(line)
            continue
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * inset,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return lines


def quoted(text: str, wide: str) -> str:
    """A string literal in double quotes.

    Args:
        text: what it stands for.
        wide: how the language writes a character above U+FFFF by its number.
    """
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_literal(character, wide) for character in text) + '"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\ufffd"


def _literal(character: str, wide: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else wide.format(number)
