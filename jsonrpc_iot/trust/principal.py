"""Who the other end of a channel has proved to be."""

from collections.abc import Container
from typing import Literal, TypeAlias

from msgspec import Struct

Proof: TypeAlias = Literal["key", "token", "certificate", "uid", "hook"]
"""By what somebody has proved who they are."""


class Everything:
    """The permissions of who may do all that there is."""

    def __contains__(self, name: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "{'*'}"


EVERYTHING = Everything()
ALL = "*"
"""The name that stands for every permission in a keyring."""


class Principal(Struct, frozen=True):
    """Who the other end has proved to be, and what it may do.

    Source: the trust page, section 1.

    Args:
        name: as the keyring or the program calls it.
        permissions: the names of what it may do; a `*` among them stands for all.
        proof: by what it proved that.

    Raises:
        TypeError: the permissions are one text.
    """

    name: str
    permissions: Container[str] = frozenset()
    proof: Proof = "hook"

    def __post_init__(self) -> None:
        if isinstance(self.permissions, str):
            raise TypeError("permissions are a set of names; a text would hold all its parts")

    def permits(self, permission: str | None) -> bool:
        """Whether it may do what needs a permission; everybody may do what needs none."""
        return permission is None or permission in self.permissions or ALL in self.permissions
