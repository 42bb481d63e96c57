"""Secrets that are missing or empty let nobody in, and are not shown."""

from pathlib import Path

import pytest

from jsonrpc_iot import InvalidUrl
from jsonrpc_iot.channel.url import Url
from jsonrpc_iot.channel.web import WebRules
from jsonrpc_iot.transports.secrets import read_secret


@pytest.mark.parametrize("content", ["", "\n", " \t\r\n"])
@pytest.mark.parametrize("name", ["token", "password"])
def test_an_empty_file_is_no_secret(content: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(InvalidUrl, match="is empty"):
        read_secret(Url.parse(f"http://h/p?{name}=file:{file}"), name)
    file.write_text(f"s3cret{content}")
    assert read_secret(Url.parse(f"http://h/p?{name}=file:{file}"), name) == "s3cret"


def test_a_file_with_an_odd_name_is_no_secret() -> None:
    with pytest.raises(InvalidUrl, match="cannot read"):
        read_secret(Url.parse("http://h/p?token=file:a%00b"), "token")


def test_an_empty_token_lets_nobody_in() -> None:
    rules = WebRules(path="/", max_message=1, token="")
    assert not any(rules.admits(token) for token in (None, "", "x"))


def test_rules_do_not_show_their_token() -> None:
    assert "s3cret" not in repr(WebRules(path="/", max_message=1, token="s3cret"))


@pytest.mark.parametrize("origin", [b"http://[", b"http://a]", b"\xff", b"null"])
def test_an_origin_that_is_none_is_foreign(origin: bytes) -> None:
    rules = WebRules(path="/", max_message=1)
    headers = [(b"origin", origin), (b"host", b"127.0.0.1")]
    scope = {"type": "websocket", "path": "/", "scheme": "ws", "headers": headers}
    assert rules.objection(scope) is not None
