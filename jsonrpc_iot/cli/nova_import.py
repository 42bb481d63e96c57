"""`nova import`: taking the lines of `nova export` into a database."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec

from jsonrpc_iot import BindFailed, UsageError

from ._output import counting, explain, print_json
from .command.declare import Option

_MOST_TOLD = 20


def import_(
    *,
    db: Annotated[Path, Option(metavar="FILE", help="The SQLite file; made when it is not there.")],
) -> None:
    """Take lines of JSON from standard input into a database, as nova export prints them.

    What is there already stays as it is, so the same lines may come again. Prints how many of each
    kind were added, were there, and are there with something else. A mistake is told with the
    number of its line; the lines before it have been imported then. No platform may run meanwhile.
    """
    from jsonrpc_iot.novacloud import StoreFailed
    from jsonrpc_iot.novacloud.errors import StoreInUse
    from jsonrpc_iot.novacloud.transfer.importing import importing

    source = getattr(sys.stdin, "buffer", None)
    if source is None:
        raise UsageError("standard input is closed")
    told = 0

    def tell_different(what: str) -> None:
        nonlocal told
        told += 1
        if told <= _MOST_TOLD:
            explain(what)

    try:
        with importing(db, tell_different) as importer, counting() as tell:
            importer.run(source, lambda outcome: tell(f"{outcome.lines:,} lines"))
    except StoreInUse as error:
        raise BindFailed(f"--db: {error.message}") from None
    except StoreFailed as error:
        raise UsageError(f"--db: {error.message}") from None
    finally:
        if told > _MOST_TOLD:
            explain(f"and {told - _MOST_TOLD:,} more")
    print_json(msgspec.json.encode(importer.outcome))
