"""The examples in section 7 of the JSON-RPC 2.0 specification, word for word."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.replies import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_ID,
    UNPARSED,
    Message,
    fail,
    ok,
)

from .model import Case


def _published_cases() -> Iterator[Case]:
    hello: tuple[object, ...] = ("hello", 5)

    def one(name: str, sent: str, *expect: Message, ran: tuple[object, ...] = ()) -> Case:
        return Case(
            f"published-{name}",
            sent.encode(),
            expect,
            ran=ran,
            over="packet" if "\n" in sent else "any",
        )

    invalid = fail(None, INVALID_REQUEST, v2=True)
    yield one(
        "positional",
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        ok(1, 19, v2=True),
    )
    yield one(
        "positional-swapped",
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        ok(2, -19, v2=True),
    )
    yield one(
        "named",
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, '
        '"id": 3}',
        ok(3, 19, v2=True),
    )
    yield one(
        "named-swapped",
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, '
        '"id": 4}',
        ok(4, 19, v2=True),
    )
    yield one(
        "notification",
        '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}',
        ran=([1, 2, 3, 4, 5],),
    )
    yield one("notification-unknown", '{"jsonrpc": "2.0", "method": "foobar"}')
    yield one(
        "unknown",
        '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
        fail("1", METHOD_NOT_FOUND, v2=True),
    )
    yield one(
        "invalid-json", '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', UNPARSED
    )
    yield one("invalid-request", '{"jsonrpc": "2.0", "method": 1, "params": "bar"}', invalid)
    broken = (
        '[\n  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},\n'
        '  {"jsonrpc": "2.0", "method"\n]'
    )
    yield one("batch-invalid-json", broken, UNPARSED)
    yield one("batch-invalid-json-in-a-line", broken.replace("\n", ""), UNPARSED)
    yield one("batch-empty", "[]", invalid)
    yield one("batch-invalid", "[1]", (invalid,))
    yield one("batch-invalid-three", "[1,2,3]", (invalid, invalid, invalid))
    mixed = (
        '[\n{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},\n'
        '{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},\n'
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},\n'
        '{"foo": "boo"},\n'
        '{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},\n'
        '{"jsonrpc": "2.0", "method": "get_data", "id": "9"} \n]'
    )
    answers = (
        ok("1", 7, v2=True),
        ok("2", 19, v2=True),
        NO_ID,
        fail("5", METHOD_NOT_FOUND, v2=True),
        ok("9", list(hello), v2=True),
    )
    yield one("batch-mixed", mixed, answers, ran=(7,))
    yield one("batch-mixed-in-a-line", mixed.replace("\n", ""), answers, ran=(7,))
    notes = (
        '[\n{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},\n'
        '{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}\n]'
    )
    yield one("batch-of-notifications", notes, ran=(7, 7))
    yield one("batch-of-notifications-in-a-line", notes.replace("\n", ""), ran=(7, 7))


CASES = [*_published_cases()]
