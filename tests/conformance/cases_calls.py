"""Cases for calls of methods of every kind, with results and failures of every kind."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.replies import (
    ANYTHING,
    DEADLINE_EXCEEDED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    fail,
    ok,
)

from .model import Case


def _call_cases() -> Iterator[Case]:
    for name, params, mentions in (
        ("wrong-type", '{"level":"x"}', ("$.level", "int")),
        ("wrong-null", '{"level":null}', ("$.level", "int")),
        ("wrong-bool", '{"level":true}', ("$.level", "int")),
        ("wrong-fraction", '{"level":1.5}', ("$.level", "int")),
        ("wrong-array", '{"level":[]}', ("$.level", "int")),
        ("below", '{"level":-1}', ("$.level", "0")),
        ("above", '{"level":101}', ("$.level", "100")),
        ("far-above", '{"level":' + "9" * 40 + "}", ("$.level",)),
        ("missing", "{}", ("level",)),
        ("extra", '{"level":1,"volume":2}', ("volume",)),
        ("other", '{"volume":2}', ()),
        ("other-case", '{"Level":2}', ()),
        ("empty-key", '{"":1,"level":2}', ()),
        ("position-wrong-type", '["x"]', ("int",)),
        ("position-above", "[101]", ("100",)),
        ("position-missing", "[]", ()),
        ("position-extra", "[1,2]", ()),
        ("null", "null", ("level",)),
    ):
        yield Case(
            f"refused-params-{name}",
            _bytes(f'{{"id":1,"method":"set_level","params":{params}}}'),
            (fail(1, INVALID_PARAMS, *mentions),),
        )
    for name, method, params, mentions in (
        (
            "deep",
            "configure",
            '{"config":{"name":"a","channels":[1,"x"]}}',
            ("$.config.channels[1]",),
        ),
        ("deep-missing", "configure", '{"config":{"channels":[]}}', ("$.config", "name")),
        ("default-wrong", "greet", '{"name":5}', ("$.name", "str")),
        ("of-async", "async.add", '{"a":1,"b":[]}', ("$.b", "int")),
    ):
        yield Case(
            f"refused-params-{name}",
            _bytes(f'{{"jsonrpc":"2.0","id":"p","method":"{method}","params":{params}}}'),
            (fail("p", INVALID_PARAMS, *mentions, v2=True),),
            needs_loop=method.startswith("async"),
        )
    yield Case(
        "refused-params-absent",
        b'{"id":1,"method":"set_level"}',
        (fail(1, INVALID_PARAMS, "level"),),
    )
    plain: list[tuple[str, str, str, object]] = [
        ("by-name-other-order", "subtract", '{"subtrahend":1,"minuend":5}', 4),
        ("by-position", "subtract", "[5,1]", 4),
        ("level-lowest", "set_level", '{"level":0}', 0),
        ("level-highest", "set_level", "[100]", 100),
        ("default", "greet", "{}", "hello world!"),
        ("default-by-position", "greet", '["lamp"]', "hello lamp!"),
        ("default-second", "greet", '{"mark":"?"}', "hello world?"),
        ("default-absent", "greet", "null", "hello world!"),
        ("struct", "configure", '{"config":{"name":"a","channels":[1]}}', {"a": [1]}),
        (
            "params-named-like-members",
            "members",
            '{"method":"m","params":{"id":3},"id":9,"error":1,"result":2}',
            [9, "m", {"id": 3}, 2, 1],
        ),
        ("name-with-quotes", r"灯.\"on\"", "[]", True),
        ("name-in-escapes", r"\u706f.\u0022on\u0022", "null", True),
        ("context", "whoami", "[]", {"method": "whoami", "id": 1}),
    ]
    for name, method, params, result in plain:
        yield Case(
            f"call-{name}",
            _bytes(f'{{"id":1,"method":"{method}","params":{params}}}'),
            (ok(1, result),),
        )
    yield Case(
        "call-duplicate-param-after-bad",
        b'{"id":1,"method":"set_level","params":{"level":"x","level":5}}',
        (ok(1, 5),),
        also=((fail(1, INVALID_PARAMS, "$.level"),),),  # the rule is about the envelope
    )
    looped: list[tuple[str, str, object]] = [
        ("async.add", "[1,2]", 3),
        ("thread.add", "[1,2]", 3),
        ("items", "[3]", [0, 1, 2]),
    ]
    for method, params, result in looped:
        yield Case(
            f"call-{method}",
            _bytes(f'{{"id":1,"method":"{method}","params":{params}}}'),
            (ok(1, result),),
            needs_loop=True,
        )


SYNC_FAILURES = ["exception", "type_error", "validation", "decoding", "unicode", "timeout"]
SYNC_FAILURES += ["stop", "recursion", "group", "key", "assertion"]

BAD_RESULTS = ["nan", "nan_typed", "infinity", "inf_nested", "inf_tuple", "list", "struct", "key"]
BAD_RESULTS += ["dict_typed", "object", "object_nested", "surrogate", "surrogate_key", "cycle"]


def _failure_cases() -> Iterator[Case]:
    for name in SYNC_FAILURES:
        yield Case(
            f"fail-{name}",
            _bytes(f'{{"id":"f","method":"fail.{name}"}}'),
            (fail("f", INTERNAL_ERROR, message="Internal error", data=None),),
        )
    for method in ("async.fail", "thread.fail", "async.timeout", "async.items_fail"):
        yield Case(
            method,
            _bytes(f'{{"id":"f","method":"{method}"}}'),
            (fail("f", INTERNAL_ERROR, message="Internal error", data=None),),
            needs_loop=True,
        )
    yield Case(
        "fail-type-error-takes-a-param",
        b'{"id":1,"method":"fail.len","params":[5]}',
        (fail(1, INTERNAL_ERROR, message="Internal error", data=None),),
    )
    for name, code, message, data in (
        ("rpc", 1234, "Out of paper", {"tray": 2}),
        ("rpc_plain", -5, "No data", None),
        ("rpc_zero", 0, "", None),
        ("rpc_big", 2**31, "Große Zahl", [1]),
        ("forbidden", -32006, "Forbidden", None),
        ("busy", -32004, "Busy", {"retry_after": 1.5}),
    ):
        yield Case(
            f"fail-{name}",
            _bytes(f'{{"id":7,"method":"fail.{name}"}}'),
            (fail(7, code, message=message, data=data),),
        )
        yield Case(
            f"fail-{name}-2.0",
            _bytes(f'{{"id":7,"method":"fail.{name}","jsonrpc":"2.0"}}'),
            (fail(7, code, message=message, data=data, v2=True),),
        )
    for name in BAD_RESULTS:
        yield Case(
            f"bad-result-{name}",
            _bytes(f'{{"id":123456789012345678901,"method":"bad.{name}"}}'),
            (fail(123456789012345678901, INTERNAL_ERROR),),
        )
    for method in ("async.nan", "thread.nan", "async.items_nan"):
        yield Case(
            f"bad-result-{method}",
            _bytes(f'{{"id":"n","method":"{method}"}}'),
            (fail("n", INTERNAL_ERROR),),
            needs_loop=True,
        )
    for name in ("data_nan", "data_object", "surrogate_message"):
        yield Case(
            f"bad-error-{name}",
            _bytes(f'{{"id":1,"method":"fail.{name}"}}'),
            (fail(1, INTERNAL_ERROR),),
            also=((fail(1, 1234),),),
        )
    yield Case("result-text", b'{"id":1,"method":"text"}', (ok(1, 'é\0\n"\\\u2028\U0001f600'),))
    yield Case(
        "result-doubles", b'{"id":1,"method":"doubles"}', (ok(1, [0.1, 1e300, 5e-324, -2.5]),)
    )


def _extension_cases() -> Iterator[Case]:
    for value in ("5", "1e300", "1" + "0" * 30, "4" + "0" * 4000):
        yield Case(
            f"timeout-{value[:10]}-{len(value)}-async",
            _bytes(f'{{"id":7,"method":"async.add","params":[1,2],"timeout":{value}}}'),
            (ok(7, 3),),
            also=((fail(7, INVALID_REQUEST),),) if len(value) > 300 else (),
            needs_loop=True,
        )
    for name, sent in {
        "of-the-caller": b'{"id":7,"method":"forever","timeout":0.02}',
        "of-the-method": b'{"id":7,"method":"forever.limited"}',
        "of-the-method-below-the-caller's": b'{"id":7,"method":"forever.limited","timeout":900}',
        "of-the-caller-below-the-method's": b'{"id":7,"method":"hour.limited","timeout":0.02}',
    }.items():
        yield Case(f"deadline-{name}", sent, (fail(7, DEADLINE_EXCEEDED),), needs_loop=True)
    yield Case(
        "deadline-in-a-batch",
        b'[{"id":7,"method":"forever","timeout":0.02},{"id":8,"method":"void"}]',
        ((fail(7, DEADLINE_EXCEEDED), ok(8, None)),),
        needs_loop=True,
    )


def _other_cases() -> Iterator[Case]:
    yield Case("notification-heard", b'{"method":"heard","params":{"value":3}}', ran=(3,))
    for method in ("fail.exception", "fail.rpc", "bad.nan"):
        yield Case(f"notification-of-{method}", _bytes(f'{{"method":"{method}"}}'))
    yield Case(
        "batch-with-a-bad-result",
        b'[{"id":"2","method":"echo","params":["b"]},'
        b'{"id":6,"method":"bad.nan"},{"id":7,"method":"bad.object"}]',
        ((ok("2", "b"), fail(6, INTERNAL_ERROR), fail(7, INTERNAL_ERROR)),),
    )
    yield Case(
        "batch-of-async-calls",
        b'[{"id":1,"method":"async.add","params":[1,2]},{"id":2,"method":"async.fail"}]',
        ((ok(1, 3), fail(2, INTERNAL_ERROR, message="Internal error")),),
        needs_loop=True,
    )
    yield Case(
        "unknown-method-of-2000-letters",
        b'{"method":"%s","id":1}' % (b"a" * 2000),
        (fail(1, METHOD_NOT_FOUND),),
    )


def _bytes(text: str) -> bytes:
    return text.encode()


METHODS_CASE = Case("call-methods", b'{"id":1,"method":"rpc.methods"}', (ok(1, ANYTHING),))

CASES = [
    *_call_cases(),
    *_failure_cases(),
    *_extension_cases(),
    *_other_cases(),
    METHODS_CASE,
]
