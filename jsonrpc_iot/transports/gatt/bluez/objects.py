"""Objects on D-Bus that other programs may look at and call.

Source: the D-Bus specification, "Standard Interfaces" (Properties and ObjectManager).
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar

from dbus_fast import DBusError, ErrorType, Message, MessageType, Variant

from ...dbus import OBJECT_MANAGER, PROPERTIES

B = TypeVar("B")

Method = Callable[[Message, B], Message | bool]
"""Answers a call that came over a bus, or raises `DBusError`; it must not wait.

`True` says that it has sent its answer itself.
"""


class ObjectTree(Generic[B]):
    """Objects by their paths, each with interfaces of properties and methods."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Mapping[str, Variant]]] = {}
        self._methods: dict[tuple[str, str, str], tuple[str, Method[B]]] = {}

    def add(self, path: str, interface: str, properties: Mapping[str, Variant]) -> None:
        """Give an object one more interface."""
        self._objects.setdefault(path, {})[interface] = properties

    def change(self, path: str, interface: str, changed: Mapping[str, Variant]) -> None:
        """Change properties of an object that has them."""
        self._objects[path][interface] = {**self._objects[path][interface], **changed}

    def add_method(
        self, path: str, interface: str, name: str, signature: str, method: Method[B]
    ) -> None:
        """Give an object one more method.

        Args:
            path: of the object.
            interface: of the method.
            name: of the method.
            signature: of its arguments; calls with others are refused.
            method: answers calls.
        """
        self._methods[path, interface, name] = signature, method

    def answer(self, call: Message, bus: B) -> Message | bool:
        """The answer to a call of one of the objects; `False` for all that is none.

        Args:
            call: any message.
            bus: it came over that.

        Raises:
            DBusError: the call makes no sense.
        """
        if call.message_type is not MessageType.METHOD_CALL:
            return False
        path, interface, name = call.path or "", call.interface or "", call.member or ""
        found = self._methods.get((path, interface, name))
        if found is not None:
            signature, method = found
            _check(call, signature)
            return method(call, bus)
        if (interface, name) == (OBJECT_MANAGER, "GetManagedObjects"):
            return Message.new_method_return(call, "a{oa{sa{sv}}}", [self._below(path)])
        if interface == PROPERTIES and path in self._objects:
            return self._answer_properties(call, self._objects[path])
        return False

    def _below(self, path: str) -> dict[str, dict[str, Mapping[str, Variant]]]:
        return {each: has for each, has in self._objects.items() if each.startswith(f"{path}/")}

    def _answer_properties(
        self, call: Message, interfaces: Mapping[str, Mapping[str, Variant]]
    ) -> Message:
        if call.member == "Set":
            _refuse(ErrorType.PROPERTY_READ_ONLY, "all properties are read-only")
        if call.member not in {"Get", "GetAll"}:
            _refuse(ErrorType.UNKNOWN_METHOD, f"no method {call.member}")
        _check(call, "s" if call.member == "GetAll" else "ss")
        body: list[Any] = call.body
        properties = interfaces.get(body[0])
        if properties is None:
            _refuse(ErrorType.UNKNOWN_INTERFACE, f"no interface {body[0]}")
        if call.member == "GetAll":
            return Message.new_method_return(call, "a{sv}", [properties])
        if body[1] not in properties:
            _refuse(ErrorType.UNKNOWN_PROPERTY, f"no property {body[1]}")
        return Message.new_method_return(call, "v", [properties[body[1]]])


def _check(call: Message, signature: str) -> None:
    if call.signature != signature:
        _refuse(ErrorType.INVALID_ARGS, f"{call.member} takes {signature or 'nothing'}")


def _refuse(error: ErrorType, text: str) -> NoReturn:
    raise DBusError(error, text)
