"""TLS as URLs configure it: the files with certificates and keys, and what they become."""

import os
import ssl
from typing import TypeVar

from msgspec import Struct

from ...channel.url import Url

WANTS_CERTIFICATE = "; if it wants a certificate of its clients, give one with ?cert=FILE"
"""What may help where a server with TLS hangs up at once."""

_NAME = "; connect by a name that is in it"
_CLOCK = "; or the clock of this machine is wrong"
_AUTHORITY = "; if that is in order, name the authority with ?ca=FILE"
# By OpenSSL's number, X509_V_ERR_…
_ADVICE = {9: _CLOCK, 10: _CLOCK, 62: _NAME, 64: _NAME} | dict.fromkeys((2, 18, 19, 20), _AUTHORITY)
# What OpenSSL says of files, and what is meant.
_UNFIT = {
    "[SSL] PEM lib": "no certificate in PEM, or no private key with it",
    "[X509] PEM lib": "no certificate in PEM",
    "NO_CERTIFICATE_OR_CRL_FOUND": "no certificate in PEM",
    "KEY_VALUES_MISMATCH": "the private key is another certificate's",
}
_SCHEMES = ("https", "mqtts", "tls", "wss")


class TlsOptions(Struct, frozen=True):
    """Options of a URL with TLS; the same URL without TLS has none of them. All files are PEM.

    Args:
        cert: this end's certificate chain; a server must have one.
        key: its private key, if that is not in the same file.
        ca: the authorities to trust. A server that is given them demands a client certificate; a
            client without them trusts the system's.
    """

    cert: str | None = None
    key: str | None = None
    ca: str | None = None


T = TypeVar("T", bound=TlsOptions)


def is_tls(url: Url) -> bool:
    """Whether a URL's scheme is one with TLS."""
    return url.scheme in _SCHEMES


def read_options(url: Url, kind: type[T]) -> T:
    """The options of a URL, which knows those of TLS only where its scheme is one with TLS.

    Raises:
        InvalidUrl: an option makes no sense.
    """
    return url.read_options(kind, () if is_tls(url) else TlsOptions.__struct_fields__)


def load_context(url: Url, options: TlsOptions, *, server: bool) -> ssl.SSLContext | None:
    """How one end secures its connections, `None` where the URL's scheme is one without TLS.

    Args:
        url: whose options they are.
        options: name the files.
        server: which end it is.

    Raises:
        InvalidUrl: a file is none, or a server has no certificate.
    """
    if not is_tls(url):
        return None
    if server and options.cert is None:
        raise url.error("a server needs ?cert=FILE, and key=FILE unless the key is in it")
    purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
    try:
        context = ssl.create_default_context(purpose, cafile=options.ca)
        if options.cert is not None:
            context.load_cert_chain(options.cert, options.key)
    except OSError as error:
        raise url.error(f"cannot load cert, key or ca: {reason(error)}") from error
    if server and options.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reason(error: BaseException, *, has_url: bool = True) -> str:
    """What a person needs of an exception: a connection's many attempts have one cause each.

    Args:
        error: what happened.
        has_url: there is a URL, whose options may help.
    """
    if (refusal := _refusal_in(error, has_url)) is not None:
        return refusal
    causes = error.__cause__
    if isinstance(causes, BaseExceptionGroup):
        found = {reason(cause, has_url=has_url) for cause in causes.exceptions}
        return "; ".join(sorted(found))
    if isinstance(causes, OSError):
        return reason(causes, has_url=has_url)
    if isinstance(error, ssl.SSLError):  # whose errno is no errno
        return _UNFIT.get(error.reason or str(error).partition(" (")[0], error.reason) or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refusal_in(error: BaseException, has_url: bool) -> str | None:
    """Why TLS did not like the other end, or the other end us, however deep that is hidden."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            advice = _ADVICE.get(found.verify_code, "")
            if advice == _AUTHORITY and not has_url:
                advice = ""
            return f"{found.verify_message.rstrip('.')}{advice}" or str(found)
        if isinstance(found, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (found.reason or ""):
            wanted = "the server wants a certificate"
            return f"{wanted}: give one with ?cert=FILE" if has_url else wanted
        found = found.__cause__ or found.__context__
    return None
