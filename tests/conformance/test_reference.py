"""Requests with random damage, answered as the plain reference answers them."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from .device import shared_device
from .model import Case
from .reference import LeftOpen, expected

TEMPLATES = [
    b'{"id":1,"method":"echo","params":["x"]}',
    b'{"jsonrpc":"2.0","method":"add","params":{"a":1,"b":2},"id":"q"}',
    b'{"method":"set_level","id":null,"params":{"level":50}}',
    b'{"method":"void","id":1.5}',
    b'{"id":-0,"method":"void","params":null,"timeout":5}',
    b'[{"id":1,"method":"void"},{"method":"void"},3]',
    b'{"id":7,"result":1}',
    b'{"id":7,"error":{"code":1,"message":"m"}}',
    b'{"id":1,"method":"echo","params":[{"a":[1,2,{"b":null}]}]}',
    b'\xef\xbb\xbf{"id":1,"method":"void"}',
    b"[]",
    b"",
]

PIECES = [
    *(bytes([byte]) for byte in b'{}[]:,"\\-.e/ \t\n\r\x00\x01\xff015'),
    *b"null true false NaN Infinity 1.0 1e2 1e400 1e-400 [[]] {}".split(),
    *rb"\u006f \ud800 \ud83d\ude00 \n \/ \x \u00".split(),
    *b'"id" "method" "params" "jsonrpc" "2.0" "result" "error" "timeout" "value" "level"'.split(),
    *b'"void" "echo" "add" "x" "a" "b"'.split(),
    *b'"id":2, "id":true, "id":1.5, "method":"void", "method":5, "params":[], "x":1,'.split(),
    *b'"jsonrpc":"2.0", "jsonrpc":1, "timeout":0, {"id":1},'.split(),
    *"é 灯".encode().split(),
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"9" * 30,
    b"1" * 4300,
    b"1" * 4301,
    *(bracket * levels for bracket in (b"[", b"]") for levels in (61, 62, 63, 64)),
    *(b"[" * levels + b"]" * levels for levels in (61, 62, 63, 64)),
]

Damage = tuple[int, int, bytes]
"""A position, how many bytes go there, and what comes there, wrapped into the message."""

damages = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 8), st.sampled_from([b"", *PIECES])), max_size=3
)


@settings(max_examples=1500)
@given(template=st.sampled_from(TEMPLATES), damaged=damages)
def test_damaged_requests(template: bytes, damaged: list[Damage]) -> None:
    message = template
    for position, gone, new in damaged:
        at = position % (len(message) + 1)
        message = message[:at] + new + message[at + gone :]
    try:
        case = Case("", message, expected(message))
    except LeftOpen:
        assume(False)
    device = shared_device()
    device.reset()
    reply = device.dispatcher.dispatch_sync(message)
    case.check([] if reply is None else [reply], [])
