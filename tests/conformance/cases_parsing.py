"""Cases for what is JSON and what is not, and for stream framing (section 1 "Parsing", 3.1)."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.corners import BOM, BROKEN_VALUES, SOUND_VALUES
from jsonrpc_iot.testing.conformance.replies import (
    NOT_AN_OBJECT,
    NOT_AN_OBJECT_AFTER_IOT,
    UNPARSED,
    UNPARSED_AFTER_IOT,
    fail,
    ok,
)

from .model import Case

VALID = b'{"id":1,"method":"record","params":["x"]}'
ONE = (ok(1, "x"),)
REFUSED = (UNPARSED,)


def _value_cases() -> Iterator[Case]:
    for name, text in BROKEN_VALUES.items():
        for place, message in {
            "params": b'{"id":1,"method":"record","params":[%s]}',
            "ignored-member": b'{"x":%s,"id":1,"method":"record","params":[1]}',
            "batch": b'[{"id":1,"method":"record","params":[1]},{"x":%s}]',
            "alone": b"%s",
        }.items():
            yield Case(f"broken-{name}-in-{place}", message % text, REFUSED)
    for place, message in {
        "id": b'{"id":%s,"method":"record","params":[1]}',
        "method": b'{"id":1,"method":%s}',
        "named-params": b'{"params":{"value":%s},"method":"record","id":1}',
        "last-member": b'{"id":1,"method":"record","params":[1],"x":%s}',
        "notification": b'{"method":"record","params":[%s]}',
        "response": b'{"id":1,"result":%s}',
        "version": b'{"id":1,"jsonrpc":%s,"method":"void"}',
        "unknown-method": b'{"id":1,"method":"no.such","params":[%s]}',
        "after-wrong-id": b'{"id":true,"method":"void","x":%s}',
        "after-wrong-method": b'{"id":1,"method":5,"params":[%s]}',
        "after-wrong-params": b'{"id":1,"method":"void","params":5,"x":%s}',
        "after-wrong-version": b'{"jsonrpc":1,"id":1,"method":"void","x":%s}',
        "after-wrong-param": b'{"id":1,"method":"set_level","params":{"level":"x","y":%s}}',
        "after-wrong-position": b'{"id":1,"method":"set_level","params":["x",%s]}',
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


def _text_cases() -> Iterator[Case]:
    yield Case("packet-empty", b"", REFUSED, over="packet")
    for name, text in {"space": b" ", "tab": b"\t", "line": b"\n", "lines": b"\r\n \r\n"}.items():
        yield Case(f"packet-{name}", text, REFUSED, over="packet")
    yield Case("bom", BOM + VALID, ONE, ran=("x",))
    yield Case("bom-before-space", BOM + b" " + VALID, ONE, ran=("x",))
    yield Case("bom-before-batch", BOM + b"[" + VALID + b"]", (ONE,), ran=("x",))
    yield Case("bom-before-notification", BOM + b'{"method":"record","params":[1]}', ran=(1,))
    yield Case("bom-before-scalar", BOM + b"1", (NOT_AN_OBJECT,))
    yield Case("bom-alone", BOM, REFUSED, over="packet")
    yield Case("bom-twice", BOM + BOM + VALID, REFUSED)
    yield Case("bom-cut", BOM[:2] + VALID, REFUSED)
    yield Case("bom-inside", b'{"id":1,' + BOM + b'"method":"void"}', REFUSED)
    yield Case("utf16-le", b"\xff\xfe" + '{"id":1,"method":"void"}'.encode("utf-16-le"), REFUSED)
    yield Case("ff-before", b"\xff" + VALID, REFUSED)
    yield Case("letter-before", b"x" + VALID, REFUSED)
    yield Case("form-feed-before", b"\x0c" + VALID, REFUSED)
    yield Case("invalid-utf8-as-space", b'{"id":1,\xa0"method":"void"}', REFUSED)
    for sent in (VALID, b'[{"id":1,"method":"record","params":{"value":"x"}},7]'):
        for size in range(1, len(sent)):
            yield Case(f"truncated-{chr(sent[0])}-{size}", sent[:size], REFUSED)
    for name, text in {
        "id": b'{"id":true,"method":"void"',
        "id-array": b'{"id":[],"method":"void","params":[1]',
        "id-range": b'{"id":1e400,"method":"void"',
        "method": b'{"id":1,"method":5,',
        "method-at-once": b'{"method":5',
        "version": b'{"jsonrpc":1,"id":1,"method":"void"',
        "params": b'{"id":1,"method":"void","params":5',
        "param": b'{"id":1,"method":"set_level","params":{"level":"x"}',
        "position": b'{"id":1,"method":"set_level","params":["x"',
        "timeout": b'{"id":1,"method":"void","timeout":"x"',
        "both": b'{"id":1,"method":"void","result":1',
        "notification": b'{"method":"record","params":[1]',
        "batch": b'[1,{"id":true,"method":"void"}',
        "batch-of-batch": b"[[],",
    }.items():
        yield Case(f"wrong-{name}-then-truncated", text, REFUSED)
    for name, text in {
        "empty-array": b"[",
        "empty-object": b"{",
        "open-text": b'{"id":1,"method":"vo',
        "open-escape": b'{"id":1,"method":"vo\\',
        "open-quote-run": b'{"id":1,"method":"' + b'\\"' * 500,
        "two-messages-cut": b'[{"id":1,"method":"record","params":[1]}',
    }.items():
        yield Case(f"cut-{name}", text, REFUSED)
    for scalar in (
        "1",
        "-1",
        "0",
        "1.5",
        '"x"',
        '""',
        "null",
        "true",
        "false",
        r'"\u0041"',
        '"{}"',
    ):
        yield Case(f"scalar-{scalar}", scalar.encode(), (NOT_AN_OBJECT,))
        yield Case(f"scalar-{scalar}-spaced", b" " + scalar.encode() + b" \t", (NOT_AN_OBJECT,))
    yield Case("two-scalars", b"1 2", REFUSED)


def _garbage_cases() -> Iterator[Case]:
    """What follows a whole message: a packet is refused, a stream runs what came before."""
    for name, garbage, answer in (
        ("letter", b" x", UNPARSED_AFTER_IOT),
        ("letter-at-once", b"x", UNPARSED_AFTER_IOT),
        ("bracket", b"]", UNPARSED_AFTER_IOT),
        ("brace", b"}", UNPARSED_AFTER_IOT),
        ("comma", b",", UNPARSED_AFTER_IOT),
        ("nul", b"\0", UNPARSED_AFTER_IOT),
        ("ff", b"\xff", UNPARSED_AFTER_IOT),
        ("open-brace", b"{", UNPARSED_AFTER_IOT),
        ("number", b" 1", NOT_AN_OBJECT_AFTER_IOT),
        ("null", b"null", NOT_AN_OBJECT_AFTER_IOT),
        ("empty-batch", b"[]", NOT_AN_OBJECT_AFTER_IOT),
        ("request", b'{"id":2,"method":"void"}', ok(2, None)),
        ("batch", b' [{"id":2,"method":"void"}]', (ok(2, None),)),
    ):
        yield Case(f"then-{name}", VALID + garbage, REFUSED, over="packet")
        yield Case(f"batch-then-{name}", b"[" + VALID + b"]" + garbage, REFUSED, over="packet")
        yield Case(
            f"then-{name}-on-a-stream", VALID + garbage, (*ONE, answer), ran=("x",), over="stream"
        )
        yield Case(
            f"batch-then-{name}-on-a-stream",
            b"[" + VALID + b"]" + garbage,
            (ONE, answer),
            ran=("x",),
            over="stream",
        )
    pretty = b'{\n"id":1,\n"method":"void"\n}'
    yield Case("lines-packet", pretty, (ok(1, None),), over="packet")
    yield Case("newline-after-packet", VALID + b"\r\n", ONE, ran=("x",), over="packet")
    yield Case("newline-before-packet", b"\n" + VALID, ONE, ran=("x",), over="packet")
    yield Case("newline-in-text-packet", b'{"id":1,"method":"vo\nid"}', REFUSED, over="packet")
    yield Case("lines-on-a-stream", b"{\n}", (UNPARSED, UNPARSED), over="stream")
    yield Case(
        "newline-in-text-on-a-stream",
        b'{"id":1,"x":"\n' + VALID,
        (UNPARSED, *ONE),
        ran=("x",),
        over="stream",
    )
    yield Case("blank-lines", b"\n\r\n \t\n" + VALID + b"\r", ONE, ran=("x",), over="stream")
    yield Case("three-in-a-row", VALID * 3, ONE * 3, ran=("x",) * 3, over="stream")
    yield Case(
        "broken-line-then-good",
        b'{"id":[[[{{{"\n' + VALID,
        (UNPARSED, *ONE),
        ran=("x",),
        over="stream",
    )
    yield Case(
        "notifications-in-a-row",
        b'{"method":"record","params":[1]}{"method":"record","params":[2]}',
        ran=(1, 2),
        over="stream",
    )


def _nesting_cases() -> Iterator[Case]:
    """The message itself is level 1; 64 levels are the most."""

    def nest(levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    def value(levels: int) -> object:
        found: list[object] = []
        for _ in range(levels - 1):
            found = [found]
        return found

    params = b'{"id":1,"method":"echo","params":[%s]}'
    named = b'{"id":1,"method":"echo","params":{"value":%s}}'
    ignored = b'{"x":%s,"id":1,"method":"echo","params":["x"]}'
    yield Case("nesting-64", params % nest(62), (ok(1, value(62)),))
    yield Case("nesting-65", params % nest(63), REFUSED)
    yield Case("nesting-64-named", named % nest(62), (ok(1, value(62)),))
    yield Case("nesting-65-named", named % nest(63), REFUSED)
    yield Case("nesting-64-ignored", ignored % nest(63), ONE)
    yield Case("nesting-65-ignored", ignored % nest(64), REFUSED)
    objects = b'{"a":' * 63 + b"1" + b"}" * 63
    yield Case("nesting-64-objects", ignored % objects, ONE)
    yield Case("nesting-65-objects", ignored % (b'{"a":' + objects + b"}"), REFUSED)
    mixed = b'[{"a":' * 31 + b"1" + b"}]" * 31
    yield Case("nesting-64-mixed", ignored % (b"[" + mixed + b"]"), ONE)
    yield Case("nesting-65-mixed", ignored % (b"[[" + mixed + b"]]"), REFUSED)
    in_batch = b'[{"id":1,"method":"echo","params":["x"],"x":%s}]'
    yield Case("nesting-64-batch", in_batch % nest(62), (ONE,))
    yield Case("nesting-65-batch", in_batch % nest(63), REFUSED)
    yield Case("nesting-64-junk", nest(64), ((NOT_AN_OBJECT,),))
    yield Case("nesting-65-junk", nest(65), REFUSED)
    yield Case("nesting-65-id", b'{"method":"void","id":%s}' % nest(64), REFUSED)
    yield Case(
        "nesting-64-id", b'{"method":"void","id":%s}' % nest(63), (fail(None, -32600, v2=None),)
    )
    yield Case("nesting-65-method", b'{"id":1,"method":%s}' % nest(64), REFUSED)
    yield Case("nesting-65-notification", b'{"method":"record","params":[%s]}' % nest(63), REFUSED)
    yield Case("nesting-65-response", b'{"id":1,"result":%s}' % nest(64), REFUSED)
    yield Case("nesting-65-behind-text", ignored % (b'["\\"",' + nest(63) + b"]"), REFUSED)
    yield Case("nesting-64-behind-text", ignored % (b'["\\"[[",' + nest(62) + b"]"), ONE)
    yield Case("nesting-65-duplicate", b'{"id":%s,"id":1,"method":"void"}' % nest(64), REFUSED)
    yield Case("nesting-10000", params % nest(10_000), REFUSED)
    yield Case("nesting-10000-ignored", ignored % nest(10_000), REFUSED)
    yield Case("nesting-5000-objects", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, REFUSED)
    yield Case("nesting-25000-junk", nest(25_000), REFUSED)
    yield Case("nesting-50000-unclosed", b"[" * 50_000, REFUSED)
    yield Case("nesting-10000-unclosed-objects", b'{"":' * 10_000, REFUSED)


CASES = [*_value_cases(), *_text_cases(), *_garbage_cases(), *_nesting_cases()]
