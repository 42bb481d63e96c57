"""Which exit code a failure has, and the one line on standard error that explains it.

The codes are those of the protocol page, section 5. 130 and 141 are what a shell shows of a program
that SIGINT or a closed pipe has ended.
"""

import logging
import sys
from collections.abc import Callable

from jsonrpc_iot import DeadlineExceeded, JsonRpcIotError, RpcError, UsageError
from jsonrpc_iot.protocol.text import escape_json

from ._json import encode_json
from ._output import explain, forget_stdout, write_error, writing

FAILED_THERE = 1
USAGE = 2
FAILED_LINK = 3
BUG = 70
TIMEOUT = 124
INTERRUPTED = 130
NO_READER = 141

HINT = "hint: "
"""Begins the notes of an error that are for whoever has typed the command."""

# The first class that fits counts.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (DeadlineExceeded, TIMEOUT),
    (RpcError, FAILED_THERE),
    (TimeoutError, TIMEOUT),
    (UsageError, USAGE),
    (JsonRpcIotError, FAILED_LINK),
    (BrokenPipeError, NO_READER),
    (OSError, FAILED_LINK),
    (Exception, BUG),
)

logger = logging.getLogger("jsonrpc_iot.cli")


def run_guarded(command: Callable[[], int | None]) -> int:
    """Run a command and give its exit code: whatever it raises becomes one line and one code."""
    try:
        code = command()
        with writing():
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # no user shall see a traceback
        _settle_stdout()
        return _report(error)
    return code or 0


def _settle_stdout() -> None:
    """See to it that what nobody could take does not fail again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        forget_stdout()


def _report(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    code = _code_of(error)
    if isinstance(error, RpcError):
        write_error(escape_json(_error_object(error)))
        for note in getattr(error, "__notes__", ()):
            if note.startswith(HINT):
                explain(note)
    elif code == NO_READER:
        forget_stdout()
    elif code == BUG:
        logger.debug("unforeseen", exc_info=error)
        explain(f"this should not have happened: {error!r}")
    else:
        explain(_text_of(error))
    return code


def _code_of(error: BaseException) -> int:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), BUG)
    is_file = isinstance(error, OSError) and error.filename is not None
    return USAGE if code == FAILED_LINK and is_file else code


def _text_of(error: BaseException) -> str:
    """What a person is told: of the system's errors the reason and the file, and no number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or repr(error)


def _error_object(error: RpcError) -> str:
    members = {"code": error.code, "message": error.message}
    if error.data is not None:
        members["data"] = error.data
    return encode_json(members).decode()
