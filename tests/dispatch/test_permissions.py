"""`requires=`: who may call what."""

import pytest

from jsonrpc_iot import Context, Dispatcher

from ._messages import batch, code, error, notice, request, value, values_by_id


class Everything:
    """A container of every permission there is."""

    def __contains__(self, permission: object) -> bool:
        return True


class Prefixed:
    """A container of all permissions of one part of the device."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __contains__(self, permission: object) -> bool:
        return isinstance(permission, str) and permission.startswith(self._prefix)


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def dispatcher(ran: list[str]) -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.method(requires="wifi:write")
    def forget(name: str) -> str:
        ran.append(name)
        return name

    @dispatcher.method(requires="wifi:read")
    async def scan() -> str:
        ran.append("scan")
        return "scan"

    @dispatcher.method(requires="power", thread=True)
    def off() -> str:
        ran.append("off")
        return "off"

    @dispatcher.notification(requires="wifi:write")
    def heard(name: str) -> None:
        ran.append(name)

    @dispatcher.method("open")
    def for_all() -> str:
        return "open"

    return dispatcher


CALLS = [request("forget", ["x"]), request("scan"), request("off")]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("context", [None, Context()], ids=["no-context", "nobody"])
def test_a_stranger_is_unauthorized(
    dispatcher: Dispatcher, ran: list[str], call: bytes, context: Context | None
) -> None:
    assert error(dispatcher.dispatch_sync(call, context)) == {
        "code": -32005,
        "message": "Unauthorized",
    }
    assert ran == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("permissions", [frozenset(), {"wifi"}, ["admin"], Prefixed("lamp")])
def test_who_lacks_the_permission_is_forbidden(
    dispatcher: Dispatcher, ran: list[str], call: bytes, permissions: set[str]
) -> None:
    reply = dispatcher.dispatch_sync(call, Context(permissions=permissions))
    assert code(reply) == -32006
    assert ran == []


def test_a_refusal_names_the_permission(dispatcher: Dispatcher) -> None:
    refused = error(dispatcher.dispatch_sync(request("scan"), Context(permissions=())))
    assert refused["data"] == {"requires": "wifi:read"}


@pytest.mark.parametrize(
    "permissions",
    [
        {"wifi:write", "wifi:read", "power"},
        ["wifi:write", "wifi:read", "power"],
        {"wifi:write": 1, "wifi:read": 2, "power": 3},
        Everything(),
    ],
)
def test_who_has_the_permission_may_call(
    dispatcher: Dispatcher, ran: list[str], permissions: set[str]
) -> None:
    context = Context(permissions=permissions)
    for call in CALLS:
        value(dispatcher.dispatch_sync(call, context))
    assert ran == ["x", "scan", "off"]


def test_permissions_are_judged_one_by_one(dispatcher: Dispatcher, ran: list[str]) -> None:
    context = Context(permissions=Prefixed("wifi:"))
    found = values_by_id(
        dispatcher.dispatch_sync(
            batch(request("forget", ["x"], id=1), request("off", id=2), request("open", id=3)),
            context,
        )
    )
    assert found[1] == "x"
    assert found[2]["code"] == -32006
    assert found[3] == "open"
    assert ran == ["x"]


def test_who_may_not_call_learns_nothing_of_the_params(dispatcher: Dispatcher) -> None:
    assert code(dispatcher.dispatch_sync(request("forget", [5]))) == -32005
    allowed = Context(permissions={"wifi:write"})
    assert code(dispatcher.dispatch_sync(request("forget", [5]), allowed)) == -32602


def test_notifications_need_permission_too(dispatcher: Dispatcher, ran: list[str]) -> None:
    for method in ("heard", "forget"):
        assert dispatcher.dispatch_sync(notice(method, ["x"])) is None
        assert dispatcher.dispatch_sync(notice(method, ["x"]), Context(permissions=())) is None
        assert ran == []
    allowed = Context(permissions={"wifi:write"})
    assert dispatcher.dispatch_sync(notice("heard", ["x"]), allowed) is None
    assert ran == ["x"]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, ["open"]),
        (Context(), ["open"]),
        (Context(permissions=()), ["open"]),
        (Context(permissions={"power"}), ["off", "open"]),
        (Context(permissions=Prefixed("wifi")), ["forget", "open", "scan"]),
        (Context(permissions=Everything()), ["forget", "off", "open", "scan"]),
    ],
)
def test_rpc_methods_lists_what_the_caller_may_call(
    dispatcher: Dispatcher, context: Context | None, expected: list[str]
) -> None:
    found = value(dispatcher.dispatch_sync(request("rpc.methods"), context))
    ours = ["authenticate", "discover", "methods", "ping", "subscribe", "unsubscribe"]
    assert found == sorted([*expected, *(f"rpc.{name}" for name in ours)])


def test_one_caller_may_not_use_anothers_permissions(dispatcher: Dispatcher) -> None:
    assert value(dispatcher.dispatch_sync(request("scan"), Context(permissions={"wifi:read"})))
    assert code(dispatcher.dispatch_sync(request("scan"), Context(permissions=()))) == -32006
    assert code(dispatcher.dispatch_sync(request("scan"))) == -32005
