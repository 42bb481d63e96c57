"""`--identify` and `--wants-button`: what a device does with people who stand near it."""

import logging
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import anyio

from jsonrpc_iot import UsageError

from .command.declare import Option

if TYPE_CHECKING:
    from jsonrpc_iot.services.improv import Improv

logger = logging.getLogger("jsonrpc_iot.cli")

_IDENTIFY_SECONDS = 30.0


def _check(command: str) -> str | None:
    try:
        return None if shlex.split(command) else "no program"
    except ValueError as error:
        return str(error)


IdentifyOption: TypeAlias = Annotated[
    str | None,
    Option(
        "--identify",
        metavar="COMMAND",
        help="Run this program, without a shell, when a phone asks by Improv over Bluetooth which "
        "device this is: to blink or beep.",
        check=_check,
    ),
]
ButtonOption: TypeAlias = Annotated[
    bool,
    Option(
        "--wants-button",
        help="Over Bluetooth, join a network by Improv only within a minute after the signal "
        "SIGUSR1, which what watches a button sends.",
    ),
]


class Presence(NamedTuple):
    """What those two say.

    Args:
        command: shows people which device it is; `None` where there is no way.
        wants_button: whether the signal has to come first.
    """

    command: str | None = None
    wants_button: bool = False

    def check(self, improv: str | None) -> None:
        """Refuse what makes no sense.

        Args:
            improv: where networks are told.

        Raises:
            UsageError: nobody asks, or the system has no such signal.
        """
        if (self.command or self.wants_button) and not (improv or "").startswith("gatt"):
            raise UsageError("--identify and --wants-button are for --improv gatt://?name=NAME")
        if self.wants_button and not hasattr(signal, "SIGUSR1"):
            raise UsageError("--wants-button needs a system that has the signal SIGUSR1")


class Attendant:
    """Does it.

    Args:
        command: that of a `Presence`.
    """

    def __init__(self, command: str | None) -> None:
        self._command = shlex.split(command) if command else []
        self._asked = anyio.Event()

    def identify(self) -> None:
        """Have the command run soon, once more where it runs already."""
        self._asked.set()

    async def run(self, improv: "Improv") -> None:
        """Do so until cancelled."""
        async with anyio.create_task_group() as tasks:
            if hasattr(signal, "SIGUSR1"):
                tasks.start_soon(_watch_button, improv)
            while True:
                await self._asked.wait()
                self._asked = anyio.Event()
                await self._run_command()

    async def _run_command(self) -> None:
        program = self._command[0]
        try:
            with anyio.fail_after(_IDENTIFY_SECONDS):
                done = await anyio.run_process(
                    self._command, stdout=subprocess.DEVNULL, stderr=None, check=False
                )
        except TimeoutError:
            logger.warning("--identify: %s has not ended in %g s", program, _IDENTIFY_SECONDS)
        except OSError as error:
            logger.warning("--identify: %s does not run: %s", program, error)
        else:
            if done.returncode:
                logger.warning("--identify: %s ended with %d", program, done.returncode)


async def _watch_button(improv: "Improv") -> None:
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            logger.info("the button was pressed")
            improv.authorize()
