"""Which transports can be sealed, how packets travel there, and the key that a URL names."""

from collections.abc import Sequence
from urllib.parse import unquote

from msgspec import structs

from ...channel.url import Url
from ...protocol.seal.crypto import Crypto
from ...protocol.seal.packets import BASE64, BASE85, BINARY, Form
from ...trust.keys import SharedKey, key_id, read_key
from ...trust.principal import URL_KEY
from .. import requirements
from ..packets.gate import Keys
from ..secrets import read_secret

NAME = "psk"
"""The option."""

_FORMS: dict[str, Form] = {
    **dict.fromkeys(("memory", "udp", "uart", "uart+pty", "gatt", "gatt+bumble"), BINARY),
    **dict.fromkeys(("mqtt", "mqtts"), BINARY),
    **dict.fromkeys(("tuya-dp", "tuya-dp+pty"), BASE85),
    **dict.fromkeys(("tcp", "pipe", "unix"), BASE64),
}
SCHEMES: Sequence[str] = tuple(_FORMS)
"""Those that can be sealed; HTTP, WebSocket and `tls` have TLS."""


def form_of(url: Url) -> Form:
    """How packets travel over a URL's transport, which can be sealed.

    Raises:
        InvalidUrl: its messages are too small for that.
    """
    form = _FORMS[url.scheme]
    largest = url.options.get("max", "")
    if largest.isdecimal() and float(largest) < form.least:
        raise url.error(f"sealed packets have up to {form.least} bytes: max is too small")
    return form


def without_key(url: Url) -> Url:
    """The same URL as the transport below is to see it."""
    head, _, query = url.text.partition("?")
    kept = "&".join(each for each in query.split("&") if unquote(each.partition("=")[0]) != NAME)
    others = {name: value for name, value in url.options.items() if name != NAME}
    return structs.replace(url, options=others, text=f"{head}?{kept}" if kept else head)


def key_of(url: Url) -> SharedKey | None:
    """The key that a URL names, `None` if it names none.

    Raises:
        InvalidUrl: it is no key, it cannot be read, or it stands in the URL itself.
    """
    text = read_secret(url, NAME)
    if text is None:
        return None
    try:
        key = read_key(text)
    except ValueError as error:
        raise url.error(f"{NAME}: {error}") from None
    return SharedKey(URL_KEY, key, key_id(key))


def both(own: SharedKey | None, keys: Keys | None) -> Keys:
    """Finds the key of a URL, and those of a keyring.

    Args:
        own: the URL's.
        keys: finds the others.
    """
    if own is None:
        assert keys is not None
        return keys
    own_key, others = own, keys

    def find(id: bytes) -> SharedKey | None:
        if id == own_key.id:
            return own_key
        return None if others is None else others(id)

    return find


def primitives(url: Url) -> Crypto:
    """What sealed links compute with.

    Raises:
        MissingExtra: the extra `seal` is not installed.
    """
    requirements.require_extra(url, "sealed links need", "seal", "cryptography")
    from ...trust.crypto import Primitives

    return Primitives()
