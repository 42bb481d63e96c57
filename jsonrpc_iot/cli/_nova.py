"""What the commands under `nova` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from jsonrpc_iot import UsageError
from jsonrpc_iot.transports.sockets.tls import reason

from .command.declare import Option

if TYPE_CHECKING:
    import ssl

HostOption: TypeAlias = Annotated[
    str, Option(metavar="HOST", help="The platform's name or address.")
]
PortOption: TypeAlias = Annotated[
    int, Option(min=1, max=65535, metavar="PORT", help="The platform's port.")
]
TlsOption: TypeAlias = Annotated[bool, Option("--tls", help="Secure the connection.")]
CaOption: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="The authorities to trust, as PEM; implies --tls."),
]


def tls_context(*, tls: bool, ca: Path | None) -> "ssl.SSLContext | None":
    """How to secure connections, `None` not to.

    Raises:
        UsageError: the file of authorities cannot be read.
    """
    if not tls and ca is None:
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise UsageError(f"--ca {ca}: {reason(error)}") from None
