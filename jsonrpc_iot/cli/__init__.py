"""The command line: `ROOT` is the program, with one file per group of commands.

Commands raise what they fail with; `_run` alone knows which exit code that is. What comes from a
device is printed through `_output`, which escapes it. A command's file is loaded when it is called.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

from ._log import log_as_told
from ._output import explain, prepare_streams, print_text, write_error
from ._run import USAGE, run_guarded
from .command.declare import Group, Option
from .command.parse import WrongWords, parse

NAME = "jsonrpc-iot"

# By which the script of a shell asks what it may offer; see `command.shells`.
_ASKING_SHELL = "_JSONRPC_IOT_COMPLETE"


def _program(
    version: Annotated[bool, Option(help="Print the version and exit.")] = False,
    install_completion: Annotated[
        bool, Option(help="Install completion for the current shell.")
    ] = False,
    show_completion: Annotated[
        bool,
        Option(
            help="Show completion for the current shell, to copy it or customize the installation."
        ),
    ] = False,
) -> int:
    if version:
        from jsonrpc_iot.services.system import package_version

        print_text(f"{NAME} {package_version()}")
        return 0
    if install_completion or show_completion:
        from .command import shells

        shell = shells.running_shell(os.environ)
        if not shell:
            explain("this shell is not known; there is completion for bash, zsh, fish, PowerShell")
            return 1
        if show_completion:
            print_text(shells.script(NAME, shell))
        else:
            print_text(f"{shell} completion installed in {shells.install(NAME, shell)}")
            print_text("Completion will take effect once you restart the terminal")
        return 0
    from .command.help import help_text

    write_error(help_text(ROOT))
    return USAGE


NOVA = Group(
    f"{NAME} nova",
    "NovaCloud TCP: a platform, and devices for it.",
    {
        "platform": "nova_platform",
        "backup": "nova_backup",
        "export": "nova_export",
        "import": "nova_import",
        "migrate": "nova_migrate",
        "device": "nova_device",
        "load": "nova_load",
    },
    __package__,
    common=log_as_told,
)

KEYS = Group(
    f"{NAME} keys",
    "Keyrings: the files that say which keys there are, and what each may do.",
    {"new": "keys", "token": "keys", "list": "keys_list", "revoke": "keys"},
    __package__,
    common=log_as_told,
)

ROOT = Group(
    NAME,
    "Call, serve and watch JSON-RPC devices over any transport.",
    {
        "call": "call",
        "notify": "call",
        "listen": "call",
        "describe": "describe",
        "generate": "generate",
        "ping": "ping",
        "bench": "bench",
        "discover": "discover",
        "conformance": "conformance",
        "monitor": "monitor",
        "put": "put",
        "get": "put",
        "ls": "put",
        "update": "update",
        "serve": "serve",
        "simulate": "serve",
        "replay": "replay",
        "bridge": "bridge",
        "console": "console",
        "mcp": "mcp",
        "demo": "demo",
        "pair": "pair",
        "provision": "provision",
        "keys": KEYS,
        "nova": NOVA,
    },
    __package__,
    _program,
    "URLs look like tcp://192.168.1.20:8805, pipe://lamp or unix:///run/lamp.sock. "
    "Exit codes: 0 success; 1 the other end answered with an error, which is on standard error "
    "as JSON; 2 wrong usage; 3 the connection failed, or a message is too large for it; "
    "124 the time ran out.",
    log_as_told,
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process by default.

    Returns:
        The exit code.
    """
    prepare_streams()
    words = sys.argv[1:] if arguments is None else arguments
    if shell := os.environ.get(_ASKING_SHELL):
        _complete(shell, words)
    try:
        command, values, wants_help = parse(ROOT, words)
    except WrongWords as error:
        explain(f"{error} (--help shows the usage)")
        return USAGE
    if wants_help:
        from .command.help import help_text

        return run_guarded(lambda: print_text(help_text(command)))
    found = command.own if isinstance(command, Group) else command
    return run_guarded(lambda: found.run(values))


def _complete(shell: str, words: Sequence[str]) -> NoReturn:
    """Answer a shell that asks what may stand in place of a word; nothing if that goes wrong."""
    from .command import shells
    from .command.complete import offers

    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the end
    with suppress(Exception):  # somebody types, and shall not read of faults among the words
        before, beginning = shells.question(shell, words, os.environ)
        found = offers(ROOT, before, beginning)
        sys.stdout.write(shells.answer(shell, beginning, found))
        sys.stdout.flush()
    os._exit(0)  # without waiting for a thread that still looks up a name
