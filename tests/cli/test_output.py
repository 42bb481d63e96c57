"""What the commands print: nothing in it steers a terminal, and JSON stays what it is."""

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.cli._output import Tracer, counting, json_line
from jsonrpc_iot.protocol.text import escape, escape_log

BIDI = {
    chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}

# A lone surrogate is no UTF-8, so none can arrive.
utf8 = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | utf8,
    lambda inner: st.lists(inner) | st.dictionaries(utf8, inner),
)


def is_steering(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in BIDI


@given(st.text())
def test_escaped_text_steers_nothing(text: str) -> None:
    escaped = escape(text)

    assert not any(map(is_steering, escaped))
    assert escape_log(text).replace("\n", "\\u000a") == escaped


@given(st.text().filter(lambda text: not any(map(is_steering, text))))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


@given(json_values.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1)))
def test_an_escaped_json_text_means_the_same(text: str) -> None:
    line = json_line(text.encode())

    assert json.loads(line) == json.loads(text)
    assert not any(map(is_steering, line))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'{ "a" : [ 1.10 , 1e400, 123456789012345678901234567890 ] }',
         '{"a":[1.10,1e400,123456789012345678901234567890]}'),
        ('"grün 😀 \x7f\x9b \u202e"'.encode(), r'"grün 😀 \u007f\u009b \u202e"'),
        (rb'"\u001b[31m \n \ud83d\ude00"', r'"\u001b[31m \n \ud83d\ude00"'),
    ],
)  # fmt: skip
def test_a_line_of_json(data: bytes, line: str) -> None:
    assert json_line(data) == line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (b'{"id":1}', '-> tcp://lamp {"id":1}\n'),
        (b"{\t}\r\x1b[2J\x00", r"-> tcp://lamp {\u0009}\u000d\u001b[2J\u0000" + "\n"),
        (b"\x55\xaa\xfe", "-> tcp://lamp 55 aa fe\n"),
        (b"", "-> tcp://lamp \n"),
    ],
)
def test_a_traced_message(capsys: pytest.CaptureFixture[str], message: bytes, line: str) -> None:
    Tracer("tcp://lamp")("->", message)

    assert capsys.readouterr() == ("", line)


def test_the_url_of_a_trace_hides_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    Tracer("tcp://lamp?password=hunter2")("<-", b"1")

    assert capsys.readouterr().err == "<- tcp://lamp?password=*** 1\n"


@pytest.mark.parametrize(
    "message",
    [
        '{"method":"rpc.authenticate","params":{"token":"hunter2"},"id":1}',
        '{"id":1,"params":["hunter2"],"method":"rpc.authenticate"}',
        '{"id": 1, "params" : {"token": "a}\\"]hunter2"}, "method": "rpc.authenticate"}',
        '[{"id":1,"method":"a"},{"id":2,"method":"rpc.authenticate","params":{"token":"hunter2"}}]',
    ],
)
@pytest.mark.parametrize("is_binary", [False, True])
def test_a_trace_hides_tokens(
    message: str, is_binary: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Tracer()("->", (b"\xff" if is_binary else b"") + message.encode())

    shown = capsys.readouterr().err
    assert "rpc.authenticate" in shown
    assert "hunter2" not in shown
    assert b"hunter2".hex(" ") not in shown
    assert is_binary or '"id"' in shown


@pytest.mark.parametrize(
    "message",
    [
        '{"method":"wifi.connect","params":{"ssid":"home","psk":"hunter2"},"id":1}',
        '{"id":1,"params":["home","hunter2"],"method":"wifi.connect"}',
        '{"id": 1, "params" : {"psk" : "a}\\"]hunter2"}, "method": "wifi.connect"}',
        '[{"id":1,"method":"wifi.connect","params":{"psk":"hunter2"}},{"params":["a","hunter2"]}]',
        '{"id":1,"params":{"psk":"hunter2"},"method":"lamp.wifi.connect"}',
    ],
)
@pytest.mark.parametrize("is_binary", [False, True])
def test_a_trace_hides_keys_of_wifi(
    message: str, is_binary: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Tracer()("->", (b"\xff" if is_binary else b"") + message.encode())

    shown = capsys.readouterr().err
    assert "wifi.connect" in shown
    assert "hunter2" not in shown
    assert b"hunter2".hex(" ") not in shown
    assert is_binary or '"id"' in shown


def test_what_is_going_on_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network may be called so."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with counting() as say:
        say("joining [/a] [red]\x1b]0;")
    shown = terminal.getvalue()
    assert "joining [/a] [red]\\u001b]0;" in shown
