"""From the words of a command line to the values of a command's parameters."""

from pathlib import Path
from typing import Any

import pytest

from jsonrpc_iot.cli import ROOT
from jsonrpc_iot.cli.command.declare import Command
from jsonrpc_iot.cli.command.parse import WrongWords, parse


def values(*words: str) -> dict[str, Any]:
    """The values of a command that these words call, without what was not given."""
    command, found, wants_help = parse(ROOT, words)
    assert isinstance(command, Command)
    assert not wants_help
    defaults = {each.name: each.default for each in command.parameters}
    return {name: value for name, value in found.items() if value != defaults[name]}


CALL = {"url": "u", "method": "m"}


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["call", "u", "m"], CALL),
        (["call", "u", "m", "a=1", "b=2"], {**CALL, "params": ["a=1", "b=2"]}),
        (["call", "--trace", "u", "--stream", "m"], {**CALL, "trace": True, "stream": True}),
        (
            ["call", "u", "m", "a=1", "--timeout", "2", "b"],
            {**CALL, "params": ["a=1", "b"], "timeout": 2.0},
        ),
        (["call", "u", "m", "--timeout=.5"], {**CALL, "timeout": 0.5}),
        (["call", "u", "m", "--timeout", "1", "--timeout", "2"], {**CALL, "timeout": 2.0}),
        (["call", "u", "m", "-"], {**CALL, "params": ["-"]}),
        (["call", "u", "m", ""], {**CALL, "params": [""]}),
        (["call", "u", "--", "m", "--trace", "--"], {**CALL, "params": ["--trace", "--"]}),
        (["call", "--", "u", "m"], CALL),
        (["--", "call", "u", "m"], CALL),
        (["call", "u", "m", "--dialect", "jsonrpc2"], {**CALL, "dialect": "jsonrpc2"}),
        (["listen", "u", "--count", "1_0"], {"url": "u", "count": 10}),
        (["serve", "--bind", "a", "-v", "--bind=b"], {"bind": ["a", "b"], "verbose": True}),
        (["serve", "--bind", "--trace"], {"bind": ["--trace"]}),
        (["nova", "device", "--id", "1", "--ca", "x.pem"], {"id": "1", "ca": Path("x.pem")}),
        (["demo"], {}),
    ],
    ids=" ".join,
)
def test_words_give_values(words: list[str], given: dict[str, Any]) -> None:
    assert values(*words) == given


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["cal"], "No such command 'cal'. Did you mean 'call'?"),
        (["nova"], "Missing command."),
        (["nova", "devices"], "No such command 'devices'. Did you mean 'device'?"),
        (["--versio"], "No such option: --versio. Did you mean '--version'?"),
        (["--version=1"], "Option '--version' does not take a value."),
        (["call", "u"], "Missing argument 'METHOD'."),
        (["call", "u", "m", "--help=x"], "Option '--help' does not take a value."),
        (["call", "u", "m", "--help", "--x"], "No such option: --x."),
        (["call", "u", "m", "-5"], "No such option: -5."),
        (["call", "u", "m", "--timeout"], "Option '--timeout' requires an argument."),
        (["call", "u", "m", "--timeout", "x"], "Invalid value for '--timeout': 'x' is no number"),
        (
            ["call", "u", "m", "--timeout", "-1"],
            "Invalid value for '--timeout': a number of seconds above 0 is needed",
        ),
        (
            ["call", "u", "m", "--dialect="],
            "Invalid value for '--dialect': '' is not one of 'iot', 'jsonrpc2'",
        ),
        (["listen", "u", "--count", "0"], "Invalid value for '--count': 0 is less than 1"),
        (
            ["listen", "u", "--count", "x"],
            "Invalid value for '--count': 'x' is no whole number",
        ),
        (["discover", "--port", "65536"], "Invalid value for '--port': 65536 is more than 65535"),
        (["serve"], "Missing option '--bind'."),
        (["serve", "-vx", "--bind", "u"], "No such option: -x."),
        (["serve", "a", "b", "c", "--bind", "u"], "Got unexpected extra argument(s) (b c)"),
    ],
    ids=str,
)
def test_wrong_words_are_refused(words: list[str], problem: str) -> None:
    with pytest.raises(WrongWords) as caught:
        parse(ROOT, words)

    assert str(caught.value) == problem


def test_every_command_is_there_under_its_name() -> None:
    for name in ROOT.names:
        found = ROOT.command(name)
        if isinstance(found, Command):
            assert found.function.__name__ == name
            assert found.parameters
