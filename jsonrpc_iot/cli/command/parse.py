"""From the words of a command line to the values of a command's parameters."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .declare import Command, Group, Parameter

_HELP = ("-h", "--help")
_COMMON = ("--verbose", "-v", "--quiet", "-q", "--log-json")
_AFTER = " It goes behind the command."


class WrongWords(Exception):  # it is somebody's, and no error of the program
    """The words are no command line of this program; the text says why."""


class Parsed(NamedTuple):
    """What the words of a command line mean.

    Args:
        command: what is to be done.
        values: those of its parameters.
        wants_help: its help is to be shown instead.
    """

    command: Command | Group
    values: dict[str, Any]
    wants_help: bool


class Words:
    """The words of one command, sorted.

    Args:
        command: whose they are.
        words: without the command's name.
        stop: leave all words from the first that is no option on.

    Attributes:
        texts: what the options were given, by their parameters; `""` for a flag.
        places: the words that are no options.
        rest: what was left.
        waiting: the option whose value is missing at the end.
        wants_help: `--help` is among them.

    Raises:
        WrongWords: an option is not known, or has a value too much.
    """

    def __init__(self, command: Command, words: Sequence[str], *, stop: bool = False) -> None:
        self.texts: dict[str, list[str]] = {}
        self.places: list[str] = []
        self.waiting: str | None = None
        self.wants_help = False
        self._command = command
        self._stop = stop
        self.rest = deque(words)
        while self.rest:
            word = self.rest.popleft()
            if word == "--":
                if not stop:
                    self.places += self.rest
                    self.rest.clear()
                break
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                self._take(name, [value] if equals else [])
            elif word.startswith("-") and len(word) > 1:
                for letter in word[1:]:
                    self._take(f"-{letter}", [])
            elif stop:
                self.rest.appendleft(word)
                break
            else:
                self.places.append(word)

    def _take(self, name: str, value: list[str]) -> None:
        option = self._command.options.get(name)
        if option is None and name not in _HELP:
            own = self._command.options
            meant = _AFTER if self._stop and name in _COMMON else _meant(name, own)
            raise WrongWords(f"No such option: {name}.{meant}")
        if value and (option is None or option.is_flag):
            raise WrongWords(f"Option {name!r} does not take a value.")
        if option is None:
            self.wants_help = True
        elif option.is_flag:
            self.texts[option.name] = [""]
        elif len(value) + len(self.rest) >= option.words:
            more = [self.rest.popleft() for _ in range(option.words - len(value))]
            self.texts.setdefault(option.name, []).extend(value + more)
        else:
            self.rest.clear()
            self.waiting = name


def parse(group: Group, words: Sequence[str]) -> Parsed:
    """Find the command that words call, and the values that they give it.

    Raises:
        WrongWords: they call none, or not as its parameters say.
    """
    sorted_words = Words(group.own, words, stop=True)
    values = _values(group.own, sorted_words)
    if sorted_words.wants_help or any(values.values()) or not sorted_words.rest:
        if group.needs_command and not sorted_words.wants_help:
            raise WrongWords("Missing command.")
        return Parsed(group, values, sorted_words.wants_help)
    name, *following = sorted_words.rest
    if name not in group.names:
        raise WrongWords(f"No such command {name!r}.{_meant(name, group.names)}")
    command = group.command(name)
    if isinstance(command, Group):
        return parse(command, following)
    sorted_words = Words(command, following)
    if sorted_words.wants_help:
        return Parsed(command, {}, wants_help=True)
    return Parsed(command, _values(command, sorted_words), wants_help=False)


def _values(command: Command, words: Words) -> dict[str, Any]:
    if words.waiting is not None:
        needed = command.options[words.waiting].words
        what = "an argument" if needed == 1 else f"{needed} arguments"
        raise WrongWords(f"Option {words.waiting!r} requires {what}.")
    places = deque(words.places)
    values: dict[str, Any] = {}
    for parameter in command.parameters:
        texts = words.texts.get(parameter.name, [])
        if parameter.is_argument and places:
            texts = list(places) if parameter.is_list else [places.popleft()]
            if parameter.is_list:
                places.clear()
        if texts:
            given = [convert(parameter, text) for text in texts]
            if parameter.words > 1:
                given = list(zip(*[iter(given)] * parameter.words, strict=True))
            values[parameter.name] = given if parameter.is_list else given[-1]
        elif parameter.is_needed:
            raise WrongWords(f"Missing {_shown(parameter)}.")
        else:
            values[parameter.name] = parameter.default
    if places:
        raise WrongWords(f"Got unexpected extra argument(s) ({' '.join(places)})")
    return values


def convert(parameter: Parameter, text: str) -> Any:
    """Make a value of a word.

    Raises:
        WrongWords: the parameter has no such value.
    """
    if parameter.is_flag:
        return True
    name = parameter.names[0]
    try:
        value = parameter.kind(text)
    except ValueError:
        kind = "whole number" if parameter.kind is int else "number"
        raise WrongWords(f"Invalid value for {name!r}: {text!r} is no {kind}") from None
    if problem := _problem(parameter, value):
        raise WrongWords(f"Invalid value for {name!r}: {problem}")
    return value


def _problem(parameter: Parameter, value: Any) -> str:
    info = parameter.info
    if parameter.choices and value not in parameter.choices:
        return f"{value!r} is not one of {', '.join(map(repr, parameter.choices))}"
    if info.min is not None and value < info.min:
        return f"{value} is less than {info.min}"
    if info.max is not None and value > info.max:
        return f"{value} is more than {info.max}"
    return (info.check and info.check(value)) or ""


def _shown(parameter: Parameter) -> str:
    if parameter.is_argument:
        return f"argument {parameter.info.metavar!r}"
    return f"option {parameter.names[0]!r}"


def _meant(word: str, known: Iterable[str]) -> str:
    """A question about a word that is not known, where it is near to others."""
    from difflib import get_close_matches

    near = get_close_matches(word, known)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
