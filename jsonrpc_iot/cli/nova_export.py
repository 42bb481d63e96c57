"""`nova export`: what a platform knows, as lines of JSON."""

import sys
from pathlib import Path
from typing import Annotated

from jsonrpc_iot import UsageError
from jsonrpc_iot.protocol.text import escape_json

from ._output import counting, writing
from .command.declare import Option

_TELL_EVERY = 256  # lines


def export(
    *,
    db: Annotated[Path, Option(metavar="FILE", help="The platform's SQLite file.")],
    telemetry: Annotated[bool, Option("--telemetry", help="The stored values as well.")] = False,
) -> None:
    """Print devices, sensors, actuators and retention as lines of JSON, for nova import.

    Of keys only the hashes are printed, with which devices go on to authenticate. The platform may
    run meanwhile: each device and each line of values is as it is at one moment.
    """
    from jsonrpc_iot.novacloud import StoreFailed
    from jsonrpc_iot.novacloud.transfer.exporting import export as lines_of
    from jsonrpc_iot.novacloud.transfer.lines import encode

    try:
        with counting() as tell:
            for number, line in enumerate(lines_of(db, telemetry=telemetry), 1):
                with writing():
                    sys.stdout.write(f"{escape_json(encode(line).decode())}\n")
                if number % _TELL_EVERY == 0:
                    tell(f"{number:,} lines")
    except StoreFailed as error:
        raise UsageError(f"--db: {error.message}") from None
