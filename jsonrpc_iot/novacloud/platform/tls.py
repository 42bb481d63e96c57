"""Devices' TLS: the handshake, and the name in a device's certificate."""

import ssl
from typing import Any

from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class Untrusted(Exception):
    """The TLS handshake failed; the text says why."""


async def secure(stream: ByteStream, context: ssl.SSLContext) -> TLSStream:
    """Make a connection one with TLS.

    Args:
        stream: as the device opened it.
        context: says how.

    Raises:
        Untrusted: the handshake failed.
        EndOfStream, BrokenResourceError: the device has gone.
    """
    try:
        return await TLSStream.wrap(
            stream, server_side=True, ssl_context=context, standard_compatible=False
        )
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(f"its certificate is refused: {error.verify_message}") from error
    except ssl.SSLError as error:
        if error.reason == _NO_CERTIFICATE:
            raise Untrusted("it has no certificate") from error
        raise Untrusted(f"the TLS handshake failed: {error.reason or error}") from error


def subject_name(stream: ByteStream) -> str:
    """The common name in the other end's certificate, empty without one, or with more than one."""
    subject: Any = (stream.extra(TLSAttribute.peer_certificate) or {}).get("subject", ())
    names = [value for part in subject for kind, value in part if kind == "commonName"]
    return names[0] if len(names) == 1 else ""
