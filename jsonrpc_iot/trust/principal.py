"""Who the other end of a channel has proved to be."""

from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from ..errors import RpcError

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


class Permission(str):
    """The name of a permission that others include: who has one of these has it too.

    Args:
        name: of the permission.
        included_in: the names of those that include it.

    Attributes:
        included_in: as above.
    """

    __slots__ = ("included_in",)

    included_in: tuple[str, ...]

    def __new__(cls, name: str, included_in: Iterable[str] = ()) -> "Permission":
        """Make the name; see the class."""
        permission = super().__new__(cls, name)
        permission.included_in = tuple(included_in)
        return permission


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
        mine = self.permissions
        if permission is None or permission in mine or ALL in mine:
            return True
        wider = permission.included_in if isinstance(permission, Permission) else ()
        return any(each in mine for each in wider)

    def share_of(self, network: str) -> str:
        """What it shares with others of its name, wherever they are, instead of with its network.

        Whom a hook knows may be no more than an address, and addresses are cheap.

        Args:
            network: where it is, empty where it is on its own.
        """
        return network if self.proof == "hook" else f"={self.name}"


Pair: TypeAlias = Callable[[str, str | None, str | None, str], Awaitable[dict[str, str]]]
"""Answers `rpc.pair`: gets who calls, and its params; see `Pairing.answer`."""


URL_KEY = Principal("psk", EVERYTHING, "key")
"""Whoever has the key of a server's URL, `?psk=`, of which no keyring knows."""


class Standing:
    """Who the other end of one connection is at the moment, which may change while that lives.

    A token may come after the first messages, and a keyring changes.

    Args:
        principal: who it is, `None` for a stranger.
        proved: what the keyring says of it, whatever a hook has made of that.
        refusal: answers all its requests, but for those by which it proves who it is; it hears
            nothing either. `None` where a stranger may call what needs no permission.
        deaf: it hears nothing as long as it is a stranger.

    Attributes:
        principal: as above.
        proved: as above.
        refusal: as above.
        pair: answers `rpc.pair`, `None` where nobody is paired.
        account: where a server counts what it asks for, which is the server's business.
    """

    __slots__ = ("_deaf", "account", "pair", "principal", "proved", "refusal")

    def __init__(
        self,
        principal: Principal | None = None,
        proved: Principal | None = None,
        refusal: RpcError | None = None,
        *,
        deaf: bool = False,
    ) -> None:
        self._deaf = deaf
        self.principal = principal
        self.proved = proved
        self.refusal = refusal
        self.pair: Pair | None = None
        self.account: object = None

    def become(self, principal: Principal, proved: Principal | None = None) -> None:
        """Know it as somebody from now on."""
        self.principal = principal
        self.proved = proved
        self.refusal = None
        self.account = None

    def renew(self, renewed: Principal) -> None:
        """Know it as what the keyring says now, unless a hook has made something else of it."""
        if self.principal is self.proved:
            self.principal = renewed
            self.account = None
        self.proved = renewed

    def permits(self, permission: str | None) -> bool:
        """Whether it may do what needs a permission; everybody may do what needs none."""
        if permission is None:
            return True
        return self.principal is not None and self.principal.permits(permission)

    def hears(self, requires: str | None) -> bool:
        """Whether it may hear what is sent to everybody who has a permission."""
        is_deaf = self.refusal is not None or (self._deaf and self.principal is None)
        return not is_deaf and self.permits(requires)

    def share_of(self, network: str) -> str:
        """With whom it shares what no network may have alone; see `Principal.share_of`."""
        return network if self.principal is None else self.principal.share_of(network)
