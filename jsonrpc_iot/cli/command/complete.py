"""What a shell may offer for a word that has been begun."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from .declare import Command, Given, Group, Offer, Parameter
from .parse import Words, WrongWords, convert


def offers(group: Group, words: Sequence[str], beginning: str) -> list[Offer]:
    """What may stand in place of a word.

    Args:
        group: the whole program.
        words: those before it.
        beginning: what there is of the word.
    """
    with suppress(WrongWords):
        return [
            offer for offer in _offers(group, words, beginning) if offer.word.startswith(beginning)
        ]
    return []


def _offers(group: Group, words: Sequence[str], beginning: str) -> Iterable[Offer]:
    given = Words(group.own, words, stop=True)
    if given.rest:
        name, *following = given.rest
        if name not in group.names:
            return ()
        command = group.command(name)
        if isinstance(command, Group):
            return _offers(command, following, beginning)
        return _of_command(command, Words(command, following), beginning)
    if beginning.startswith("-"):
        return _names(group.own, given)
    return (Offer(name, text) for name, text in group.all())


def _of_command(command: Command, given: Words, beginning: str) -> Iterable[Offer]:
    if given.waiting is not None:
        return _values(command.options[given.waiting], beginning, _known(command, given))
    name, equals, begun = beginning.partition("=")
    if equals and name in command.options:
        values = _values(command.options[name], begun, _known(command, given))
        return (Offer(f"{name}={each.word}", each.help) for each in values)
    if beginning.startswith("-"):
        return _names(command, given)
    for place, argument in enumerate(command.arguments):
        if argument.is_list or place == len(given.places):
            return _values(argument, beginning, _known(command, given))
    return ()


def _names(command: Command, given: Words) -> Iterable[Offer]:
    """The options that may still be given."""
    for parameter in command.parameters:
        if not parameter.is_argument and (parameter.is_list or parameter.name not in given.texts):
            yield Offer(max(parameter.names, key=len), parameter.info.help)
    yield Offer("--help", "Show this message and exit.")


def _values(parameter: Parameter, beginning: str, given: Given) -> Iterable[Offer]:
    if parameter.choices:
        return map(Offer, parameter.choices)
    return parameter.info.complete(beginning, given) if parameter.info.complete else ()


def _known(command: Command, given: Words) -> Given:
    """The values so far; those that are wrong, or not yet given, are not among them."""
    values: dict[str, Any] = {}
    places = list(given.places)
    for argument in command.arguments:
        if argument.is_list:
            values[argument.name] = places
        elif places:
            values[argument.name] = places.pop(0)
    for option in command.options.values():
        with suppress(WrongWords):
            texts = [convert(option, text) for text in given.texts.get(option.name, ())]
            if texts:
                values[option.name] = texts if option.is_list else texts[-1]
    return values
