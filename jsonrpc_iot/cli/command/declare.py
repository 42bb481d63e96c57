"""Commands as their functions declare them: `count: Annotated[int, Option(min=1)] = 5`."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

from msgspec import Struct

Given: TypeAlias = Mapping[str, Any]
"""The values before a word that is being completed, by the names of their parameters."""


class Offer(NamedTuple):
    """What a shell offers in place of a word that has been begun, and what to say about it."""

    word: str
    help: str = ""


Completer: TypeAlias = Callable[[str, Given], Iterable[Offer]]
"""Gets the beginning of a word; what it gives and does not begin so is left out."""

Check: TypeAlias = Callable[[Any], str | None]
"""Gets a value, and says what is wrong with it."""


class Option:
    """A parameter with a name on the command line.

    Args:
        names: as in `--verbose`, `-v`; that of the parameter by default.
        help: what it does.
        metavar: what stands for its value in the help.
        min: the least value of a number.
        max: the greatest value of a number.
        check: refuses values.
        complete: offers values.
    """

    def __init__(
        self,
        *names: str,
        help: str,
        metavar: str = "",
        min: int | None = None,
        max: int | None = None,
        check: Check | None = None,
        complete: Completer | None = None,
    ) -> None:
        self.names = names
        self.help = help
        self.metavar = metavar
        self.min = min
        self.max = max
        self.check = check
        self.complete = complete


class Argument(Option):
    """A parameter that is known by its place.

    Args:
        metavar: what it is called.
        help: what it is.
        complete: offers values.
    """

    def __init__(self, metavar: str, help: str, complete: Completer | None = None) -> None:
        super().__init__(metavar=metavar, help=help, complete=complete)


class Parameter(Struct, frozen=True):
    """A parameter of a command.

    Args:
        name: that of the function's parameter.
        info: how it is declared.
        kind: what one value is: `str`, `int`, `float`, `bool` or `Path`.
        choices: the values there are, none for any.
        is_list: it may be given again and again.
        words: how many a value has; if several, it is a tuple of them.
        default: its value when it is not given; `Parameter.needed` where it must be.
    """

    name: str
    info: Option
    kind: type
    choices: tuple[str, ...]
    is_list: bool
    words: int
    default: Any

    needed = inspect.Parameter.empty

    @property
    def is_argument(self) -> bool:
        """It is known by its place."""
        return isinstance(self.info, Argument)

    @property
    def is_flag(self) -> bool:
        """It is an option without a value."""
        return self.kind is bool

    @property
    def is_needed(self) -> bool:
        """It must be given."""
        return self.default is Parameter.needed

    @property
    def names(self) -> tuple[str, ...]:
        """How it is written, as an option."""
        return self.info.names or (f"--{self.name.replace('_', '-')}",)

    @property
    def value_name(self) -> str:
        """What stands for its value in the help."""
        return self.info.metavar or "|".join(self.choices)


class Command:
    """A command of the program.

    Args:
        path: the words that call it, such as `jsonrpc-iot nova load`.
        function: what it does; its docstring explains it.
        common: what is done before, with options that all commands have.
    """

    def __init__(
        self,
        path: str,
        function: Callable[..., int | None],
        common: Callable[..., object] | None = None,
    ) -> None:
        self.path = path
        self.function = function
        self.help = inspect.getdoc(function) or ""
        self._common = common

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """In the order of their declarations, those that all commands have last."""
        return (*_parameters(self.function), *self.common)

    @cached_property
    def common(self) -> tuple[Parameter, ...]:
        """Those that all commands have."""
        return () if self._common is None else _parameters(self._common)

    def run(self, values: Mapping[str, Any]) -> int | None:
        """Do it.

        Args:
            values: of the parameters, by their names.
        """
        names = {each.name for each in self.common}
        if self._common is not None:
            self._common(**{name: values[name] for name in names})
        return self.function(**{name: values[name] for name in values.keys() - names})

    @property
    def arguments(self) -> list[Parameter]:
        """Those that are known by their places."""
        return [each for each in self.parameters if each.is_argument]

    @cached_property
    def options(self) -> dict[str, Parameter]:
        """The others, by each of their names."""
        options = (each for each in self.parameters if not each.is_argument)
        return {name: each for each in options for name in each.names}


class Group:
    """A command whose next word is a command of its own.

    Args:
        path: the words that call it.
        help: what it is for.
        commands: the module of each command, whose function has the command's name, with an
            underscore behind it where Python has a use for that word; or a group.
        package: where the modules are.
        function: what it does without a command, and with its own options; by default there are
            none, and a command is needed.
        epilog: ends its help.
        common: what is done before each command, with options that all have.
    """

    def __init__(
        self,
        path: str,
        help: str,
        commands: "Mapping[str, str | Group]",
        package: str,
        function: Callable[..., int | None] | None = None,
        epilog: str = "",
        common: Callable[..., object] | None = None,
    ) -> None:
        self.own = Command(path, function or _no_options)
        self.needs_command = function is None
        self.own.help = help
        self.epilog = epilog
        self._commands = commands
        self._package = package
        self._common = common

    @property
    def names(self) -> tuple[str, ...]:
        """The commands' names."""
        return tuple(self._commands)

    def command(self, name: str) -> "Command | Group":
        """One of its commands, loaded now."""
        place = self._commands[name]
        if isinstance(place, Group):
            return place
        function = getattr(import_module(f"{self._package}.{place}"), name + "_" * iskeyword(name))
        return Command(f"{self.own.path} {name}", function, self._common)

    def all(self) -> Iterator[tuple[str, str]]:
        """Each command's name, and the first sentence of its help."""
        for name in self.names:
            found = self.command(name)
            yield name, summary(found.own if isinstance(found, Group) else found)


def summary(command: Command) -> str:
    """The first sentence of a command's help."""
    sentence, stop, _ = command.help.partition("\n")[0].partition(". ")
    return sentence + stop.rstrip()


def _no_options() -> None:
    """A group without options of its own."""


def _parameters(function: Callable[..., object]) -> tuple[Parameter, ...]:
    return tuple(map(_parameter, inspect.signature(function).parameters.values()))


def _parameter(declared: inspect.Parameter) -> Parameter:
    kind, info = get_args(declared.annotation)
    if NoneType in get_args(kind):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    is_list = get_origin(kind) is list
    if is_list:
        (kind,) = get_args(kind)
    words = 1
    if get_origin(kind) is tuple:
        words = len(get_args(kind))
        kind = get_args(kind)[0]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        kind = str
    assert isinstance(info, Option)
    assert kind in (str, int, float, bool, Path)
    return Parameter(declared.name, info, kind, choices, is_list, words, declared.default)
