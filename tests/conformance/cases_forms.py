"""Cases that one text makes many of: ids in every kind of message, broken values in every place."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.corners import (
    BROKEN_VALUES,
    READABLE_IDS,
    REFUSED_IDS,
    SOUND_VALUES,
)
from jsonrpc_iot.testing.conformance.replies import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_ID,
    NOT_AN_OBJECT,
    UNPARSED,
    fail,
    ok,
)

from .model import Case

ONE = (ok(1, "x"),)
REFUSED = (UNPARSED,)


def _id_cases() -> Iterator[Case]:
    for name, text, id in READABLE_IDS:
        yield Case(f"id-{name}", _echo(text), (ok(id, "x"),))
        yield Case(f"id-{name}-2.0", _echo(text, '"jsonrpc":"2.0",'), (ok(id, "x", v2=True),))
        yield Case(f"id-{name}-first", _bytes(f'{{"id":{text},"method":"void"}}'), (ok(id, None),))
        yield Case(
            f"id-{name}-of-an-unknown-method",
            _bytes(f'{{"method":"no.such","id":{text}}}'),
            (fail(id, METHOD_NOT_FOUND),),
        )
        yield Case(
            f"id-{name}-of-an-invalid-request",
            _bytes(f'{{"method":5,"id":{text}}}'),
            (fail(id, INVALID_REQUEST),),
        )
        yield Case(f"id-{name}-behind-a-bom", b"\xef\xbb\xbf" + _echo(text), (ok(id, "x"),))
        yield Case(f"id-{name}-in-a-batch", b"[" + _echo(text) + b"]", ((ok(id, "x"),),))
    for name, text in REFUSED_IDS:
        yield Case(f"bad-id-{name}", _echo(text), (NO_ID,))
        yield Case(
            f"bad-id-{name}-2.0",
            _echo(text, '"jsonrpc":"2.0",'),
            (fail(None, INVALID_REQUEST, v2=True),),
        )
        yield Case(f"bad-id-{name}-in-a-batch", b"[" + _echo(text) + b"]", ((NO_ID,),))
        yield Case(
            f"bad-id-{name}-runs-nothing",
            _bytes(f'{{"id":{text},"method":"note","params":[1]}}'),
            (NO_ID,),
        )


def _value_cases() -> Iterator[Case]:
    for name, text in BROKEN_VALUES.items():
        for place, message in {
            "params": b'{"id":1,"method":"note","params":[%s]}',
            "ignored-member": b'{"x":%s,"id":1,"method":"note","params":[1]}',
            "batch": b'[{"id":1,"method":"note","params":[1]},{"x":%s}]',
            "alone": b"%s",
        }.items():
            yield Case(f"broken-{name}-in-{place}", message % text, REFUSED)
    for place, message in {
        "id": b'{"id":%s,"method":"note","params":[1]}',
        "method": b'{"id":1,"method":%s}',
        "named-params": b'{"params":{"value":%s},"method":"note","id":1}',
        "last-member": b'{"id":1,"method":"note","params":[1],"x":%s}',
        "notification": b'{"method":"note","params":[%s]}',
        "response": b'{"id":1,"result":%s}',
        "version": b'{"id":1,"jsonrpc":%s,"method":"void"}',
        "unknown-method": b'{"id":1,"method":"no.such","params":[%s]}',
        "after-wrong-id": b'{"id":true,"method":"void","x":%s}',
        "after-wrong-method": b'{"id":1,"method":5,"params":[%s]}',
        "after-wrong-params": b'{"id":1,"method":"void","params":5,"x":%s}',
        "after-wrong-version": b'{"jsonrpc":1,"id":1,"method":"void","x":%s}',
        "after-wrong-param": b'{"id":1,"method":"add","params":{"a":"x","y":%s}}',
        "after-wrong-position": b'{"id":1,"method":"add","params":["x",%s]}',
        "batch-after-junk": b'[1,{"id":true},%s]',
        "empty-name": b'{"":%s}',
    }.items():
        for name in ("NaN", "cut-true", "lone-high-surrogate", "utf8-lone-ff", "4301-digits"):
            yield Case(f"broken-{name}-in-{place}", message % BROKEN_VALUES[name], REFUSED)
    for name, (text, value) in SOUND_VALUES.items():
        yield Case(
            f"sound-{name}", b'{"id":1,"method":"echo","params":[%s]}' % text, (ok(1, value),)
        )
        yield Case(
            f"sound-{name}-ignored",
            b'{"x":%s,"id":1,"method":"echo","params":["x"]}' % text,
            ONE,
        )


def _truncated_cases() -> Iterator[Case]:
    one = b'{"id":1,"method":"note","params":["x"]}'
    for sent in (one, b'[{"id":1,"method":"note","params":{"value":"x"}},7]'):
        for size in range(1, len(sent)):
            yield Case(f"truncated-{chr(sent[0])}-{size}", sent[:size], REFUSED)


def _deep_cases() -> Iterator[Case]:
    deepest = b"[" * 10_000 + b"]" * 10_000
    for name, sent in {
        "10000": b'{"id":1,"method":"echo","params":[%s]}' % deepest,
        "10000-ignored": b'{"x":%s,"id":1,"method":"echo","params":["x"]}' % deepest,
        "5000-objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        "25000-junk": b"[" * 25_000 + b"]" * 25_000,
        "50000-unclosed": b"[" * 50_000,
        "10000-unclosed-objects": b'{"":' * 10_000,
    }.items():
        yield Case(f"nesting-{name}", sent, REFUSED)


def _batch_cases() -> Iterator[Case]:
    calls = [b'{"id":%d,"method":"note","params":[%d]}' % (i, i) for i in range(257)]
    yield Case(
        "batch-of-256",
        b"[" + b",".join(calls[:256]) + b"]",
        (tuple(ok(i, i) for i in range(256)),),
        ran=tuple(range(256)),
    )
    note = b'{"method":"note","params":["n"]}'
    for name, entries in {"": calls, "-notifications": [note] * 257}.items():
        yield Case(f"batch-of-257{name}", b"[" + b",".join(entries) + b"]", (NOT_AN_OBJECT,))


def _echo(id: str, members: str = "") -> bytes:
    return _bytes(f'{{{members}"method":"echo","params":["x"],"id":{id}}}')


def _bytes(text: str) -> bytes:
    return text.encode()


CASES = [
    *_id_cases(),
    *_value_cases(),
    *_truncated_cases(),
    *_deep_cases(),
    *_batch_cases(),
]
