"""Cases for ids, the envelope and the dialects (section 1, "Ids", "Envelope", "Dialects")."""

from collections.abc import Iterator

from jsonrpc_iot.testing.conformance.corners import (
    BAD_PARAMS,
    BAD_VERSIONS,
    MISSING_OR_BAD_METHODS,
    READABLE_IDS,
    REFUSED_IDS,
    THIRTY_DIGITS,
)
from jsonrpc_iot.testing.conformance.replies import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_ID,
    PARSE_ERROR,
    fail,
    ok,
)

from .model import Case


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
            _bytes(f'{{"id":{text},"method":"record","params":[1]}}'),
            (NO_ID,),
        )
    huge = "1" * 400
    yield Case(
        "id-400-digits", _echo(huge), (ok(int(huge), "x"),), also=((NO_ID,),)
    )  # an integer, but beyond what doubles reach
    yield Case("id-lone-surrogate", _echo(r'"\ud800"'), (fail(None, PARSE_ERROR, v2=True),))


def _invalid_cases() -> Iterator[Case]:
    for name, member in MISSING_OR_BAD_METHODS:
        yield Case(f"method-{name}", _bytes(f'{{{member}"id":7}}'), (fail(7, INVALID_REQUEST),))
        yield Case(
            f"method-{name}-with-params",
            _bytes(f'{{{member}"id":"7","params":[1]}}'),
            (fail("7", INVALID_REQUEST),),
        )
        yield Case(
            f"method-{name}-2.0",
            _bytes(f'{{{member}"jsonrpc":"2.0","id":7}}'),
            (fail(7, INVALID_REQUEST, v2=True),),
        )
        yield Case(f"method-{name}-no-id", _bytes(f'{{{member}"x":1}}'), (NO_ID,))
    yield Case("object-empty", b"{}", (NO_ID,))
    yield Case(
        "object-with-version-alone", b'{"jsonrpc":"2.0"}', (fail(None, INVALID_REQUEST, v2=True),)
    )
    yield Case("object-with-params-alone", b'{"params":[1]}', (NO_ID,))
    yield Case("object-with-null-id-alone", b'{"id":null}', (NO_ID,))
    for params in BAD_PARAMS:
        yield Case(
            f"params-{params}",
            _bytes(f'{{"method":"record","id":7,"params":{params}}}'),
            (fail(7, INVALID_REQUEST),),
        )
        yield Case(
            f"params-{params}-unknown-method",
            _bytes(f'{{"jsonrpc":"2.0","params":{params},"method":"no.such","id":7}}'),
            (fail(7, INVALID_REQUEST, v2=True),),
        )
    for version in BAD_VERSIONS:
        yield Case(
            f"version-{version}",
            _bytes(f'{{"jsonrpc":{version},"id":7,"method":"record","params":[1]}}'),
            (fail(7, INVALID_REQUEST, v2=None),),
        )
    for member in (
        '"result":1',
        '"result":null',
        '"error":{"code":1,"message":"m"}',
        '"error":null',
    ):
        yield Case(
            f"method-together-with-{member}",
            _bytes(f'{{"method":"record","id":7,"params":[1],{member}}}'),
            (fail(7, INVALID_REQUEST),),
        )
        yield Case(
            f"method-number-together-with-{member}",
            _bytes(f'{{{member},"method":1,"id":7,"jsonrpc":"2.0"}}'),
            (fail(7, INVALID_REQUEST, v2=True),),
        )


def _notification_cases() -> Iterator[Case]:
    yield Case("notification", b'{"method":"record","params":[1]}', ran=(1,))
    yield Case("notification-2.0", b'{"jsonrpc":"2.0","method":"record","params":[2]}', ran=(2,))
    yield Case("notification-by-name", b'{"method":"record","params":{"value":"v"}}', ran=("v",))
    yield Case("notification-handler", b'{"method":"note","params":{"value":3}}', ran=(3,))
    yield Case("notification-no-params", b'{"method":"void"}')
    yield Case("notification-unknown-method", b'{"method":"no.such","params":[1]}')
    yield Case("notification-unknown-rpc", b'{"method":"rpc.no_such"}')
    yield Case("notification-wrong-param", b'{"method":"set_level","params":{"level":"x"}}')
    yield Case("notification-missing-param", b'{"method":"set_level"}')
    yield Case("notification-extra-param", b'{"method":"void","params":[1]}')
    yield Case("notification-that-fails", b'{"method":"fail.exception"}')
    yield Case("notification-that-raises-an-error", b'{"method":"fail.rpc"}')
    yield Case("notification-bad-result", b'{"method":"bad.nan"}')
    yield Case("notification-empty-method", b'{"method":""}')
    for params in BAD_PARAMS:
        yield Case(
            f"notification-params-{params}", _bytes(f'{{"method":"record","params":{params}}}')
        )
    for version in BAD_VERSIONS:
        yield Case(
            f"notification-version-{version}", _bytes(f'{{"jsonrpc":{version},"method":"void"}}')
        )
    for member in ('"result":1', '"error":null', '"timeout":0', '"timeout":"x"', '"stream":5'):
        yield Case(f"notification-with-{member}", _bytes(f'{{"method":"void",{member}}}'))
    for params in ("", ',"params":5', ',"params":{"id":99}', ',"params":{"id":[]}', ',"params":[]'):
        yield Case(f"cancel-of-nothing{params}", _bytes(f'{{"method":"rpc.cancel"{params}}}'))
        yield Case(f"item-of-nothing{params}", _bytes(f'{{"method":"rpc.item"{params}}}'))
        yield Case(f"more-of-nothing{params}", _bytes(f'{{"method":"rpc.more"{params}}}'))


def _response_cases() -> Iterator[Case]:
    """Responses to calls that nobody made: dropped, whatever they look like."""
    error = '"error":{"code":-32600,"message":"m"}'
    for body in ('"result":1', '"result":null', error, f'"result":1,{error}', '"error":5'):
        for id in ("1", '"1"', "null", "99", str(THIRTY_DIGITS)):
            yield Case(f"stray-response-{id}-{body}", _bytes(f'{{"id":{id},{body}}}'))
        yield Case(f"stray-response-2.0-{body}", _bytes(f'{{"jsonrpc":"2.0",{body},"id":1}}'))
        yield Case(f"stray-response-bad-id-{body}", _bytes(f'{{"id":true,{body}}}'))
        yield Case(
            f"response-without-id-{body}", _bytes(f"{{{body}}}"), also=((NO_ID,),)
        )  # a response to no open call, or an object without a method


def _key_cases() -> Iterator[Case]:
    one = (ok(1, "x"),)
    for name, text in {
        "id-after-bad-type": '{"id":true,"id":1,"method":"echo","params":["x"]}',
        "id-after-bad-number": '{"id":1e400,"id":1,"method":"echo","params":["x"]}',
        "id-after-array": '{"id":[{"a":[1]}],"id":1,"method":"echo","params":["x"]}',
        "id-after-other-id": '{"id":2,"method":"echo","params":["x"],"id":1}',
        "method-after-number": '{"id":1,"method":5,"method":"echo","params":["x"]}',
        "method-after-unknown": '{"id":1,"method":"no.such","method":"echo","params":["x"]}',
        "params-after-number": '{"id":1,"method":"echo","params":5,"params":["x"]}',
        "params-after-wrong": '{"id":1,"method":"echo","params":[1,2,3],"params":["x"]}',
        "params-object-after-array": '{"id":1,"method":"echo","params":[5],"params":{"value":"x"}}',
        "version-after-none": '{"id":1,"x":1,"x":2,"method":"echo","params":["x"]}',
        "timeout-after-bad": '{"timeout":"x","timeout":9,"id":1,"method":"echo","params":["x"]}',
        "escaped-after-plain": r'{"id":1,"method":"no.such","meth\u006fd":"echo","params":["x"]}',
        "plain-after-escaped": r'{"id":1,"meth\u006fd":"no.such","method":"echo","params":["x"]}',
        "all-twice": '{"id":2,"method":"b","params":{},"id":1,"method":"echo","params":["x"]}',
    }.items():
        yield Case(f"duplicate-{name}", _bytes(text), one)
    yield Case(
        "duplicate-version-after-bad",
        b'{"jsonrpc":"1.0","jsonrpc":"2.0","id":1,"method":"void"}',
        (ok(1, None, v2=True),),
    )
    yield Case(
        "duplicate-version-bad-last",
        b'{"jsonrpc":"2.0","jsonrpc":2,"id":1,"method":"void"}',
        (fail(1, INVALID_REQUEST, v2=None),),
    )
    yield Case("duplicate-id-bad-last", b'{"id":1,"id":true,"method":"void"}', (NO_ID,))
    yield Case(
        "duplicate-method-bad-last",
        b'{"id":1,"method":"void","method":1}',
        (fail(1, INVALID_REQUEST),),
    )
    yield Case(
        "duplicate-params-bad-last",
        b'{"id":1,"method":"void","params":[],"params":5}',
        (fail(1, INVALID_REQUEST),),
    )
    yield Case(
        "duplicate-params-null-last",
        b'{"id":1,"method":"void","params":[1,2],"params":null}',
        (ok(1, None),),
    )
    yield Case("duplicate-method-notification", b'{"method":1,"method":"void"}')
    for name, text in {
        "method": r'{"meth\u006fd":"echo","id":1,"params":["x"]}',
        "id": r'{"method":"echo","\u0069d":1,"params":["x"]}',
        "params": r'{"method":"echo","id":1,"\u0070ara\u006ds":["x"]}',
        "param": r'{"method":"echo","id":1,"params":{"v\u0061lue":"x"}}',
        "all-of-method": r'{"\u006d\u0065\u0074\u0068\u006F\u0064":"echo","id":1,"params":["x"]}',
        "method-value": r'{"method":"ech\u006f","id":1,"params":["\u0078"]}',
        "every-key": r'{"m\u0065thod":"echo","i\u0064":1,"par\u0061ms":["x"]}',
        "timeout": r'{"method":"echo","id":1,"params":["x"],"timeou\u0074":9}',
    }.items():
        yield Case(f"escaped-{name}", _bytes(text), one)
    yield Case(
        "escaped-version",
        rb'{"json\u0072pc":"2.0","method":"echo","id":1,"params":["x"]}',
        (ok(1, "x", v2=True),),
    )
    yield Case(
        "escaped-version-value",
        rb'{"jsonrpc":"\u0032.0","method":"echo","id":1,"params":["x"]}',
        (ok(1, "x", v2=True),),
    )
    yield Case(
        "escaped-bad-version",
        rb'{"json\u0072pc":"1","method":"void","id":1}',
        (fail(1, INVALID_REQUEST, v2=None),),
    )
    yield Case(
        "escaped-result", rb'{"r\u0065sult":1,"method":"void","id":1}', (fail(1, INVALID_REQUEST),)
    )
    yield Case("escaped-stray-result", rb'{"r\u0065sult":1,"id":1}')
    yield Case("key-in-other-case", b'{"Method":"void","id":1}', (fail(1, INVALID_REQUEST),))
    yield Case("key-with-space", b'{"method ":"void","id":1}', (fail(1, INVALID_REQUEST),))
    yield Case("id-in-capitals-is-no-id", b'{"method":"record","params":[4],"ID":1}', ran=(4,))


def _member_cases() -> Iterator[Case]:
    for value in ("1", "null", '"x"', '{"a":[1,{"b":null}]}', "[[[]]]", '"}]{["', "1e400", "-0"):
        yield Case(
            f"unknown-member-{value}",
            _bytes(f'{{"x":{value},"method":"echo","id":1,"params":["x"],"Result":{value}}}'),
            (ok(1, "x"),),
        )
    yield Case("unknown-member-empty-name", b'{"":1,"method":"void","id":1}', (ok(1, None),))
    yield Case("params-null", b'{"method":"void","id":1,"params":null}', (ok(1, None),))
    yield Case("params-null-notification", b'{"method":"void","params":null}')
    yield Case("params-empty-array", b'{"method":"void","id":1,"params":[]}', (ok(1, None),))
    yield Case("params-empty-object", b'{"method":"void","id":1,"params":{}}', (ok(1, None),))
    yield Case("params-absent", b'{"method":"void","id":1}', (ok(1, None),))
    for name in ("rpc.", "rpc.no_such", "rpc.ping.x", "rpc.Ping", "rpc._private", "rpc.__class__"):
        yield Case(
            f"undefined-{name}",
            _bytes(f'{{"method":"{name}","id":1}}'),
            (fail(1, METHOD_NOT_FOUND),),
        )
    for name in ("", "no.such", "__init__", "echo ", "Echo", "echo.x", r"\u0000", "灯", "a" * 2000):
        yield Case(
            f"unknown-method-{name[:20]}",
            _bytes(f'{{"method":"{name}","id":1,"jsonrpc":"2.0","params":[1]}}'),
            (fail(1, METHOD_NOT_FOUND, v2=True),),
        )
    spaced = b' { "method" :\t"echo" , "id" : 1 ,\r"params" : [ "x" ] } '
    yield Case("spaces-everywhere", spaced, (ok(1, "x"),))


def _echo(id: str, members: str = "") -> bytes:
    return _bytes(f'{{{members}"method":"echo","params":["x"],"id":{id}}}')


def _bytes(text: str) -> bytes:
    return text.encode()


CASES = [
    *_id_cases(),
    *_invalid_cases(),
    *_notification_cases(),
    *_response_cases(),
    *_key_cases(),
    *_member_cases(),
]
