"""Cases for batches and the published examples of JSON-RPC 2.0 (section 1, "Batch")."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.replies import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_ID,
    NOT_AN_OBJECT,
    NOT_AN_OBJECT_AFTER_IOT,
    UNPARSED,
    Message,
    fail,
    ok,
)

from .model import Case


def _batch_cases() -> Iterator[Case]:
    one = b'{"id":1,"method":"record","params":["a"]}'
    two = b'{"id":"2","method":"echo","params":["b"]}'
    note = b'{"method":"record","params":["n"]}'
    junk, mixed = NOT_AN_OBJECT, NOT_AN_OBJECT_AFTER_IOT
    a, b = ok(1, "a"), ok("2", "b")
    missing = b'{"id":3,"method":"no.such"}'
    unknown = fail(3, METHOD_NOT_FOUND)
    invalid = b'{"id":4,"method":5}'
    refused = fail(4, INVALID_REQUEST)
    table: list[tuple[str, bytes, tuple[Message, ...], tuple[object, ...]]] = [
        ("empty", b"[]", (junk,), ()),
        ("empty-spaced", b" [ \t] ", (junk,), ()),
        ("of-scalars", b"[1,2,3]", ((junk,) * 3,), ()),
        ("of-every-scalar", b'[1,"x",null,true,false,1.5,[],""]', ((junk,) * 8,), ()),
        ("of-one-scalar", b"[1]", ((junk,),), ()),
        ("of-an-empty-batch", b"[[]]", ((junk,),), ()),
        ("of-a-batch", b"[[" + one + b"]]", ((junk,),), ()),
        ("of-a-batch-of-notifications", b"[[" + note + b"]]", ((junk,),), ()),
        ("of-a-batch-of-scalars", b"[[1,2,3]]", ((junk,),), ()),
        ("of-two-batches", b"[[" + one + b"],[" + two + b"]]", ((junk,) * 2,), ()),
        ("of-an-empty-object", b"[{}]", ((NO_ID,),), ()),
        ("of-one", b"[" + one + b"]", ((a,),), ("a",)),
        ("of-two", b"[" + one + b"," + two + b"]", ((a, b),), ("a",)),
        ("of-two-spaced", b"[ " + one + b" ,\t" + two + b" ]", ((a, b),), ("a",)),
        ("of-a-notification", b"[" + note + b"]", (), ("n",)),
        ("of-notifications", b"[" + b",".join([note] * 3) + b"]", (), ("n", "n", "n")),
        ("of-bad-notifications", b'[{"method":"x"},{"method":"void","params":5}]', (), ()),
        ("notification-and-call", b"[" + note + b"," + two + b"]", ((b,),), ("n",)),
        ("call-and-junk", b"[1," + one + b",null]", ((mixed, a, mixed),), ("a",)),
        ("notification-and-junk", b"[" + note + b",[]]", ((mixed,),), ("n",)),
        ("same-id", b"[" + one + b"," + one + b"]", ((a, a),), ("a", "a")),
        ("of-errors", b"[" + missing + b"," + invalid + b"]", ((unknown, refused),), ()),
        (
            "of-everything",
            b"[" + b",".join([one, b"7", missing, note, invalid, two, b"[]"]) + b"]",
            ((a, mixed, unknown, refused, b, mixed),),
            ("a", "n"),
        ),
        ("of-a-stray-response", b'[{"id":9,"result":1}]', (), ()),
        ("stray-response-and-call", b'[{"id":9,"result":1},' + two + b"]", ((b,),), ()),
        (
            "of-both-dialects",
            b"[" + two + b',{"jsonrpc":"2.0","id":5,"method":"void"}]',
            ((b, ok(5, None, v2=True)),),
            (),
        ),
        (
            "with-a-bad-version",
            b"[" + two + b',{"jsonrpc":"1.0","id":5,"method":"void"}]',
            ((b, fail(5, INVALID_REQUEST, v2=None)),),
            (),
        ),
        (
            "with-a-bad-result",
            b"[" + two + b',{"id":6,"method":"bad.nan"},{"id":7,"method":"bad.object"}]',
            ((b, fail(6, INTERNAL_ERROR), fail(7, INTERNAL_ERROR)),),
            (),
        ),
        ("unclosed", b"[" + one + b",", (UNPARSED,), ()),
        ("trailing-comma", b"[" + one + b",]", (UNPARSED,), ()),
        ("broken-last", b"[" + one + b",{]", (UNPARSED,), ()),
        ("only-a-comma", b"[,]", (UNPARSED,), ()),
    ]
    for name, sent, expect, ran in table:
        yield Case(f"batch-{name}", sent, expect, ran=ran)
    calls = [b'{"id":%d,"method":"record","params":[%d]}' % (i, i) for i in range(257)]
    yield Case(
        "batch-of-256",
        b"[" + b",".join(calls[:256]) + b"]",
        (tuple(ok(i, i) for i in range(256)),),
        ran=tuple(range(256)),
    )
    yield Case("batch-of-257", b"[" + b",".join(calls) + b"]", (junk,))
    yield Case("batch-of-257-scalars", b"[" + b",".join([b"1"] * 257) + b"]", (junk,))
    yield Case("batch-of-257-notifications", b"[" + b",".join([note] * 257) + b"]", (junk,))
    yield Case("batch-of-257-and-broken", b"[" + b"1," * 257 + b"]", (UNPARSED,))
    yield Case("batch-of-256-scalars", b"[" + b",".join([b"1"] * 256) + b"]", ((junk,) * 256,))
    yield Case("batch-of-a-batch-of-300", b"[[" + b",".join([b"1"] * 300) + b"]]", ((junk,),))
    yield Case(
        "batch-of-async-calls",
        b'[{"id":1,"method":"async.add","params":[1,2]},{"id":2,"method":"async.fail"}]',
        ((ok(1, 3), fail(2, INTERNAL_ERROR, message="Internal error")),),
        needs_loop=True,
    )


def _published_cases() -> Iterator[Case]:
    """The examples in section 7 of the JSON-RPC 2.0 specification, word for word."""
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


CASES = [*_batch_cases(), *_published_cases()]
