"""What methods are, for `jsonrpc_iot`: their names, what they take, and their errors."""

import sys


class RpcError(Exception):
    """What a call is answered with instead of a result; handlers raise it, and `Link.call`."""

    def __init__(self, code, message="", data=None):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Rpc:
    """The methods of a device, for all its links.

    Args:
        remembered: requests that a link which may lose messages remembers, for 30 s.
        in_flight: calls that may wait at a time, on each link.
    """

    def __init__(self, remembered=64, in_flight=8):
        self.remembered, self.in_flight, self.links, self.methods = remembered, in_flight, [], {}
        self.method("rpc.ping", idempotent=True)(lambda: True)
        self.method("rpc.methods", idempotent=True)(lambda: sorted(self.methods))

    def method(self, name, *params, idempotent=False, peer=False, items=False):
        """Make a function a method: `@rpc.method(...)`. One that waits is an `async def`.

        Args:
            name: of the method.
            params: of the function, in order: `(name, type)` or `(name, type, default)`. A type is
                `int`, `float`, `str`, `bool`, `list`, `dict`, `object`, or a `range` of integers.
            idempotent: to run it twice does no harm, so that it need not be remembered.
            peer: its first arguments are the link and the address of who calls.
            items: it returns an iterator, whose items leave one by one for who wants that.
        """

        def add(function):
            self.methods[name] = function, params, idempotent, peer, items
            return function

        return add

    def log(self, error):
        """Tell of an exception that nobody foresaw; the caller is told that there was one."""
        sys.print_exception(error)

    async def notify(self, method, params=None):
        """Send a notification to all who are connected, or were heard in the last minute."""
        for link in self.links:
            for address in list(link.peers):
                await link.notify(method, params, address)


def invalid(path, message):
    """The error for a parameter, such as `$.level`, with what is wrong about it."""
    return RpcError(-32602, "Invalid params", {"path": path, "message": message})


def too_large(size, limit):
    """The error for a message, or in place of one, of so many bytes."""
    return RpcError(-32001, "Too large", {"size": size, "limit": limit})


def bind(declared, given):
    """The arguments for a function out of the params of a message."""
    values, names = [], [each[0] for each in declared]
    given = given if isinstance(given, dict) else dict(zip(names + list(range(len(given))), given))
    for name, kind, *default in declared:
        path, least = "$." + name, kind if isinstance(kind, range) else None
        kind = int if least else kind  # noqa: PLW2901
        if name not in given:
            if not default:
                raise invalid(path, "is required")
            values += default
            continue
        value = given.pop(name)
        value = int(value) if kind is int and type(value) is float and value % 1 == 0 else value
        is_int = kind is float and type(value) is int
        if kind is not object and type(value) is not kind and not is_int:
            raise invalid(path, "expected " + kind.__name__)
        if least and not least.start <= value < least.stop:
            raise invalid(path, f"expected int from {least.start} to {least.stop - 1}")
        values.append(value)
    if given:
        raise invalid("$", f"takes {names}, not {list(given)}")
    return values
