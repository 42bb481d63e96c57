"""NetworkManager's objects as it tells of them, so that nothing vanishes between two questions.

It may say anything: what has another type than it is asked for as is taken for absent.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from dbus_fast import unpack_variants

from jsonrpc_iot.transports.dbus import Objects

from .names import DEVICE, KEPT


class Mirror:
    """All objects, each with its interfaces of interest and their properties."""

    def __init__(self) -> None:
        self._objects: Objects = {}

    def replace(self, objects: Objects) -> None:
        """Take over all objects there are.

        Args:
            objects: of NetworkManager; none where it is gone.
        """
        self._objects = {}
        for path, interfaces in objects.items():
            self._add(path, interfaces)

    def hear(self, path: str, member: str, body: Sequence[Any]) -> bool:
        """Take over what a signal says; whether it says anything of interest."""
        match member, body:
            case "PropertiesChanged", [str(interface), dict(changed), *_]:
                has = self._objects.get(path, {}).get(interface)
                if has is not None:
                    has.update(unpack_variants(changed))
                    return True
            case "InterfacesAdded", [str(added), dict(interfaces)]:
                return self._add(added, unpack_variants(interfaces))
            case "InterfacesRemoved", [str(removed), list(names)]:
                return self._remove(removed, names)
            case "StateChanged", [int(state), int(), int()]:
                # It comes at once, and the change of the property later, with others.
                return self.hear(path, "PropertiesChanged", [DEVICE, {"State": state}])
        return False

    def _add(self, path: str, interfaces: dict[str, dict[str, Any]]) -> bool:
        kept = {name: has for name, has in interfaces.items() if name in KEPT}
        if kept:
            self._objects.setdefault(path, {}).update(kept)
        return bool(kept)

    def _remove(self, path: str, interfaces: Sequence[str]) -> bool:
        has = self._objects.get(path, {})
        gone = [name for name in interfaces if has.pop(name, None) is not None]
        if gone and not has:
            del self._objects[path]
        return bool(gone)

    def paths(self, interface: str) -> Iterator[str]:
        """The objects that have an interface."""
        return (path for path, has in self._objects.items() if interface in has)

    def has(self, path: str, interface: str) -> bool:
        """Whether there is such an object with that interface."""
        return interface in self._objects.get(path, {})

    def number(self, path: str, interface: str, name: str) -> int:
        """A property that is a number; 0 where there is none."""
        value = self._get(path, interface, name)
        return value if isinstance(value, int) else 0

    def text(self, path: str, interface: str, name: str) -> str:
        """A property that is a text or path; `""` where there is none."""
        value = self._get(path, interface, name)
        return value if isinstance(value, str) else ""

    def raw(self, path: str, interface: str, name: str) -> bytes:
        """A property that is bytes; none where there are none."""
        value = self._get(path, interface, name)
        return value if isinstance(value, bytes) else b""

    def texts(self, path: str, interface: str, name: str) -> list[str]:
        """A property that is a list of texts or paths; what is none of these is left out."""
        value = self._get(path, interface, name)
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

    def _get(self, path: str, interface: str, name: str) -> object:
        return self._objects.get(path, {}).get(interface, {}).get(name)
