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
CertOption: TypeAlias = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="A certificate in PEM, whose common name is the id: the device proves itself with it, "
        "and needs no key of the platform's; implies --tls.",
    ),
]
CertKeyOption: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="The certificate's private key, where it is not in the same file."),
]


def tls_context(
    *, tls: bool, ca: Path | None, cert: Path | None = None, key: Path | None = None
) -> "ssl.SSLContext | None":
    """How to secure connections, `None` not to.

    Raises:
        UsageError: a file cannot be read, or a key has no certificate.
    """
    if key is not None and cert is None:
        raise UsageError("--key is of use with --cert alone; a device's own key is --key-file")
    if not tls and ca is None and cert is None:
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise UsageError(f"--ca {ca}: {reason(error)}") from None
    try:
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise UsageError(f"--cert {cert}: {reason(error)}") from None
    return context
