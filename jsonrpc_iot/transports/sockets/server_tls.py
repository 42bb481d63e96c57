"""A server's certificate and key, and the authorities of its clients, as their files say."""

import logging
import os
import ssl
import time

from ...channel.url import Url
from ...errors import InvalidUrl
from .tls import TlsOptions, is_tls, load_context

logger = logging.getLogger("jsonrpc_iot.transports")

_LOOK_SECONDS = 1.0

_Signature = tuple[tuple[int, ...] | None, ...]


class ServerTls:
    """How a server secures new connections; its files may be replaced while it runs.

    They are looked at when a connection comes, at most once a second. What cannot be loaded, such
    as a certificate whose key is still to come, changes nothing.

    Args:
        url: whose options they are, with a scheme that has TLS.
        options: name the files.

    Raises:
        InvalidUrl: a file is none, or there is no certificate.
    """

    def __init__(self, url: Url, options: TlsOptions) -> None:
        self._url = url
        self._options = options
        self._signature = self._look()
        self._failed: _Signature | None = None
        self._context = self._load()
        self._look_at = time.monotonic() + _LOOK_SECONDS

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection begins with."""
        if time.monotonic() >= self._look_at and self._look() != self._signature:
            self.reload()
        return self._context

    @property
    def demands_certificate(self) -> bool:
        """Whether clients must have a certificate."""
        return self._context.verify_mode == ssl.CERT_REQUIRED

    def reload(self) -> None:
        """Load the files again; those that do not fit together are logged once."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        signature = self._look()
        try:
            self._context = self._load()
        except InvalidUrl as error:
            if signature == self._failed:  # as at the last look: nobody is writing
                return
            self._failed = signature
            logger.error("%s; the certificates stay as they were", error)
            return
        self._signature = signature
        logger.info("%s: certificates loaded again", self._url)

    def _load(self) -> ssl.SSLContext:
        context = load_context(self._url, self._options, server=True)
        assert context is not None
        return context

    def _look(self) -> _Signature:
        options = self._options
        return tuple(_signature(each) for each in (options.cert, options.key, options.ca) if each)


def server_tls(url: Url, options: TlsOptions) -> ServerTls | None:
    """How a server secures its connections, `None` where the URL's scheme is one without TLS.

    Raises:
        InvalidUrl: a file is none, or there is no certificate.
    """
    return ServerTls(url, options) if is_tls(url) else None


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size
