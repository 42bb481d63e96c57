"""Whose certificate it is: the names in it."""

from collections.abc import Mapping
from typing import Any

_KINDS = ("DNS", "URI", "IP Address", "email")


def names_in(certificate: Mapping[str, Any]) -> list[str]:
    """The names that a certificate was made for.

    Source: RFC 6125, section 6.4.4: the common name counts where there are no other names.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` gives it, empty where it was not checked.
    """
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind in _KINDS]
    if names:
        return names
    parts = (part for parts in certificate.get("subject", ()) for part in parts)
    return [value for kind, value in parts if kind == "commonName"]
