"""PARAMS: what the words of a command line become."""

import io
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import InvalidParams, UsageError
from jsonrpc_iot.cli._params import hint_at_json, read_params


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ([], None),
        (['{"ssid":"a b","n":[1,2.5,null]}'], {"ssid": "a b", "n": [1, 2.5, None]}),
        (["[1]"], [1]),
        (["{}"], {}),
        (['{\n  "a": 1\n}'], {"a": 1}),
        (['{"a":1,"a":2}'], {"a": 2}),
        (["a=1"], {"a": "1"}),
        (["a:=1"], {"a": 1}),
        (["a="], {"a": ""}),
        (["a=b=c"], {"a": "b=c"}),
        (["a=x:=1"], {"a": "x:=1"}),
        (["a:b=c"], {"a:b": "c"}),
        (["a=@file"], {"a": "@file"}),
        (["a=-"], {"a": "-"}),
        (["größe=ä", "b:=[true]"], {"größe": "ä", "b": [True]}),
        (['a:={"b": "\\u001b"}'], {"a": {"b": "\x1b"}}),
        (["a:=123456789012345678901234567890"], {"a": 123456789012345678901234567890}),
        (["a b=c"], {"a b": "c"}),
    ],
)
def test_words(words: list[str], params: Any) -> None:
    assert read_params(words) == params


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["foo"], "'foo' is not understood: PARAMS is one JSON object or array"),
        ([""], "'' is not understood"),
        (["=x"], "'=x' is not understood"),
        ([":=1"], "':=1' is not understood"),
        (["5"], "'5' is not understood"),
        (['"x"'], "is not understood"),
        (["null"], "'null' is not understood"),
        (["{}", "{}"], "'{}' is not understood"),
        (["a=1", "[1]"], "'[1]' is not understood"),
        (["a=1", "-"], "'-' is not understood"),
        (["@a", "@b"], "'@a' is not understood"),
        (["a=1", "a:=2"], "'a' is given twice"),
        (['{"a":'], "PARAMS is no JSON: Input data was truncated"),
        (["{'a': 1}"], "PARAMS is no JSON"),
        (["{} x"], "PARAMS is no JSON"),
        (["[NaN]"], "PARAMS is no JSON"),
        (["[1e400]"], "PARAMS is no JSON: Number out of range"),
        (["a:=x"], "the value of 'a' is no JSON"),
        (["a:="], "the value of 'a' is no JSON"),
        (['a:="\\ud800"'], "the value of 'a' is no JSON"),
        (["a=\udc9b"], "is no UTF-8"),
        (["a:=\udc9b"], "is no UTF-8"),
        (['{"a":"\udc9b"}'], "PARAMS is no JSON"),
        (["[" * 100_000], "PARAMS is nested too deep"),
    ],
)
def test_words_that_are_no_params(words: list[str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_params(words)

    assert problem in str(caught.value)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="="), min_size=1).filter(
            lambda key: not key.startswith(("{", "[", "@")) and not key.endswith(":")
        ),
        st.text(st.characters(codec="utf-8")),
    )
)
def test_any_text_can_be_given_as_words(params: dict[str, str]) -> None:
    as_text = [f"{key}={value}" for key, value in params.items()]
    as_json = [f"{key}:={msgspec.json.encode(value).decode()}" for key, value in params.items()]

    assert read_params(as_text) == (params or None)
    assert read_params(as_json) == (params or None)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "params.json"
    file.write_bytes(b'\xef\xbb\xbf{\n  "a": "\xc3\xa4"\n}\n')

    assert read_params([f"@{file}"]) == {"a": "ä"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is no JSON"),
        (b"3", "holds neither a JSON object nor an array"),
        (b"null", "holds neither a JSON object nor an array"),
        (b'{"a":"\xff"}', "is no JSON"),
    ],
)
def test_a_file_that_is_no_params(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "params.json"
    file.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        read_params([f"@{file}"])

    assert str(caught.value).startswith(f"@{file} {problem}")


@pytest.mark.parametrize("name", ["", "no/such", "."])
def test_a_file_that_cannot_be_read(name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot read '{name}': "):
        read_params([f"@{name}"])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[[1]]\n")))

    assert read_params(["-"]) == [[1]]


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(UsageError, match="standard input is closed"):
        read_params(["-"])


@pytest.mark.parametrize(
    ("words", "path", "problem", "hint"),
    [
        (["litres=1"], "$.litres", "Expected `float`, got `str`", "litres:=1"),
        (["a=x", "on=true"], "$.on", "Expected `bool`, got `str`", "on:=true"),
        (["at=[1,2]"], "$.at", "Expected `array`, got `str`", "at:=[1,2]"),
        (["litres=one"], "$.litres", "Expected `float`, got `str`", None),
        (['litres:="1"'], "$.litres", "Expected `float`, got `str`", None),
        (["litres=1"], "$.litres", "Expected `str` of length >= 2", None),
        (["litres=1"], "$.a.litres", "Expected `float`, got `str`", None),
        (['{"litres":"1"}'], "$.litres", "Expected `float`, got `str`", None),
    ],
)
def test_a_text_that_should_be_json_gets_a_hint(
    words: list[str], path: str, problem: str, hint: str | None
) -> None:
    found = hint_at_json(words, InvalidParams(data={"path": path, "message": problem}))
    assert found == (hint and f"{words[-1]} sends a text; {hint} sends it as JSON")


@pytest.mark.parametrize("data", [None, "$.a", [1], {"path": 5}])
def test_what_another_device_says_of_wrong_params_gets_no_hint(data: Any) -> None:
    assert hint_at_json(["a=1"], InvalidParams(data=data)) is None
