"""TLS as URLs configure it: the files with certificates and keys, and what they become."""

import os
import ssl
from typing import Protocol

from ...channel.url import Url


class TlsFiles(Protocol):
    """The options of a URL with TLS: names of files, all PEM.

    Attributes:
        cert: this end's certificate chain; a server must have one.
        key: its private key, if that is not in the same file.
        ca: the authorities to trust. A server that is given them demands a client certificate; a
            client without them trusts the system's.
    """

    @property
    def cert(self) -> str | None:
        """This end's certificate chain."""

    @property
    def key(self) -> str | None:
        """Its private key, if that is not in the same file."""

    @property
    def ca(self) -> str | None:
        """The authorities to trust."""


def load_context(url: Url, options: TlsFiles, *, server: bool) -> ssl.SSLContext:
    """How one end secures its connections.

    Args:
        url: whose options they are.
        options: name the files.
        server: which end it is.

    Raises:
        InvalidUrl: a file is none, or a server has no certificate.
    """
    try:
        return _server_context(url, options) if server else _client_context(options)
    except OSError as error:
        raise url.error(f"cannot load cert, key or ca: {reason(error)}") from error


def _server_context(url: Url, options: TlsFiles) -> ssl.SSLContext:
    if options.cert is None:
        raise url.error("a server needs ?cert=FILE, and key=FILE unless the key is in it")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=options.ca)
    context.load_cert_chain(options.cert, options.key)
    if options.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def authenticates(context: ssl.SSLContext | None) -> bool:
    """Whether the other end has to prove who it is."""
    return context is not None and context.verify_mode == ssl.CERT_REQUIRED


def _client_context(options: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert is not None:
        context.load_cert_chain(options.cert, options.key)
    return context


def reason(error: Exception) -> str:
    """What a person needs of an exception: a connection's many attempts have one cause each."""
    causes = error.__cause__
    if isinstance(causes, ExceptionGroup):
        return "; ".join(sorted({reason(cause) for cause in causes.exceptions}))
    if isinstance(causes, OSError):
        return reason(causes)
    if isinstance(error, ssl.SSLError):  # whose errno is no errno
        return getattr(error, "verify_message", "") or error.reason or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
