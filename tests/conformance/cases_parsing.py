"""Cases for what is JSON and what is not, and for stream framing (section 1 "Parsing", 3.1)."""

from collections.abc import Iterator

from .model import (
    NOT_AN_OBJECT,
    NOT_AN_OBJECT_AFTER_IOT,
    UNPARSED,
    UNPARSED_AFTER_IOT,
    Case,
    fail,
    ok,
)

BOM = b"\xef\xbb\xbf"
VALID = b'{"id":1,"method":"record","params":["x"]}'
ONE = (ok(1, "x"),)
REFUSED = (UNPARSED,)

BROKEN_VALUES = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "lower-nan": b"nan",
    "inf": b"inf",
    "leading-zero": b"01",
    "minus-leading-zero": b"-01",
    "plus": b"+1",
    "ends-in-point": b"1.",
    "begins-with-point": b".5",
    "ends-in-e": b"1e",
    "ends-in-e-plus": b"1e+",
    "minus-alone": b"-",
    "two-minus": b"--1",
    "hexadecimal": b"0x10",
    "underscore": b"1_000",
    "capital-True": b"True",
    "cut-true": b"tru",
    "cut-null": b"nul",
    "longer-null": b"nulll",
    "undefined": b"undefined",
    "trailing-comma-array": b"[1,]",
    "trailing-comma-object": b'{"a":1,}',
    "leading-comma": b"[,1]",
    "comma-alone": b"[,]",
    "two-commas": b"[1,,2]",
    "missing-comma": b"[1 2]",
    "missing-colon": b'{"a" 1}',
    "two-colons": b'{"a"::1}',
    "missing-value": b'{"a":}',
    "number-as-key": b"{1:2}",
    "bare-key": b"{a:1}",
    "single-quotes": b"['x']",
    "comment": b"[1/*one*/]",
    "bad-escape": rb'"\x41"',
    "bad-escape-q": rb'"\q"',
    "cut-unicode-escape": rb'"\u12"',
    "bad-unicode-escape": rb'"\u12g4"',
    "control-character": b'"a\x01b"',
    "tab-in-text": b'"a\tb"',
    "nul-in-text": b'"a\x00b"',
    "carriage-return-in-text": b'"a\rb"',
    "form-feed-between": b"[1,\x0c2]",
    "no-break-space-between": b"[1,\xc2\xa02]",
    "lone-high-surrogate": rb'"\ud800"',
    "lone-low-surrogate": rb'"\udc00"',
    "lone-surrogate-last": rb'"\udfff"',
    "surrogates-swapped": rb'"\ude00\ud83d"',
    "two-high-surrogates": rb'"\ud83d\ud83d"',
    "high-surrogate-and-letter": rb'"\ud83dx"',
    "high-surrogate-and-escape": rb'"\ud83d\n"',
    "high-surrogate-and-other-escape": rb'"\ud83d\u0041"',
    "surrogate-after-backslashes": rb'"\\\\\ud800"',
    "capital-surrogate": rb'"\uD8AB"',
    "surrogate-in-key": rb'{"\ud800":1}',
    "utf8-lone-ff": b'"\xff"',
    "utf8-lone-continuation": b'"\x80"',
    "utf8-cut-2": b'"\xc3"',
    "utf8-cut-3": b'"\xe2\x82"',
    "utf8-cut-4": b'"\xf0\x9f\x98"',
    "utf8-overlong-nul": b'"\xc0\x80"',
    "utf8-overlong-slash": b'"\xe0\x80\xaf"',
    "utf8-surrogate": b'"\xed\xa0\x80"',
    "utf8-surrogate-pair": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "utf8-above-10ffff": b'"\xf4\x90\x80\x80"',
    "utf8-f5": b'"\xf5\x80\x80\x80"',
    "utf8-latin1": b'"caf\xe9"',
    "utf8-in-key": b'{"\xff":1}',
    "utf8-deep": b'[[{"a":["\xfe"]}]]',
    "utf8-after-long-ascii": b'"' + b"a" * 300 + b'\xff"',
    "4301-digits": b"1" * 4301,
    "minus-4301-digits": b"-" + b"9" * 4301,
    "10000-digits": b"[[" + b"5" * 10000 + b"]]",
}
"""JSON texts that are none, each with its brackets closed so that a stream cuts it as one."""

SOUND_VALUES: dict[str, tuple[bytes, object]] = {
    "text": ('"é 漢字 \U0001f600 \uffff"'.encode(), "é 漢字 \U0001f600 \uffff"),
    "surrogate-pair": (rb'"\ud83d\ude00"', "\U0001f600"),
    "escaped-backslash-before-u": (rb'"\\ud800"', r"\ud800"),
    "nul-escape": (rb'"\u0000"', "\0"),
    "delete-character": (b'"\x7f"', "\x7f"),
    "line-separators": ('"\u2028\u2029"'.encode(), "\u2028\u2029"),
    "brackets-in-text": (b'"}]{[\\"}"', '}]{["}'),
    "70-brackets-in-text": (b'"' + b"[" * 70 + b'"', "[" * 70),
    "70-brackets-after-quotes": (rb'["\"","' + b"{" * 70 + b'"]', ['"', "{" * 70]),
    "NaN-as-text": (b'"NaN"', "NaN"),
    "bom-in-text": (b'"' + BOM + b'"', "\ufeff"),
    "4300-digits": (b"1" * 4300, int("1" * 4300)),
    "minus-4300-digits": (b"-" + b"9" * 4300, -int("9" * 4300)),
    "5000-digits-as-text": (b'"' + b"1" * 5000 + b'"', "1" * 5000),
    "5000-digits-of-fraction": (b"0." + b"1" * 5000, 1 / 9),
    "uint64-max-plus-1": (b"18446744073709551616", 18446744073709551616),
    "exponent": (b"[1e2,1E-2]", [100.0, 0.01]),
    "100-siblings": (b"[" + b"[]," * 99 + b"[]]", [[]] * 100),
    "empty-key": (b'{"":0}', {"": 0}),
    "literals": (b"[true,false,null]", [True, False, None]),
    "spaces": (b"[ 1 ,\t2 ,\r3 ]", [1, 2, 3]),
}


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
