"""`nova backup`: a copy of a platform's database, also while the platform runs."""

from pathlib import Path
from typing import Annotated

from jsonrpc_iot import UsageError

from .command.declare import Option


def backup(
    *,
    db: Annotated[Path, Option(metavar="FILE", help="The platform's SQLite file.")],
    out: Annotated[Path, Option(metavar="FILE", help="Where to write the copy; a new file.")],
) -> None:
    """Write a sound copy of a platform's database, whether the platform runs or not.

    The copy is as the database is at one moment, and there once it is whole.
    """
    from jsonrpc_iot.novacloud.errors import StoreFailed
    from jsonrpc_iot.novacloud.store.sqlite.backup import copy_file

    try:
        copy_file(db, out)
    except StoreFailed as error:
        raise UsageError(error.message) from None
