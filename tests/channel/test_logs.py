"""What strangers' texts can do to the log: nothing."""

import ast
import io
import logging
import re
from pathlib import Path

import pytest

import jsonrpc_iot
from jsonrpc_iot import Dispatcher, Url
from jsonrpc_iot.channel.logs import LOGGERS, Guard
from jsonrpc_iot.protocol.about import about

EVIL = "x\nCRITICAL:root:forged\x1b[2J\u202e"
PACKAGE = Path(jsonrpc_iot.__file__).parent


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    """A guarded logger, and what it wrote."""
    logger = logging.Logger("guarded")  # noqa: LOG001  # nobody else gets it
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(message)s"))
    logger.addHandler(handler)
    logger.addFilter(Guard())
    return logger, written


def test_every_logger_of_the_package_is_guarded() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found |= set(re.findall(r'getLogger\("jsonrpc_iot\.?(.*?)"\)', path.read_text()))
    assert found - {""} == set(LOGGERS)
    for name in LOGGERS:
        filters = logging.getLogger(f"jsonrpc_iot.{name}").filters
        assert any(isinstance(each, Guard) for each in filters), name


def test_a_record_is_one_line(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.warning("%s said %s", "device", EVIL)
    assert written.getvalue() == (
        "WARNING:device said x\\u000aCRITICAL:root:forged\\u001b[2J\\u202e\n"
    )


def test_the_texts_of_exceptions_are_escaped(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    try:
        try:
            raise ValueError(EVIL)
        except ValueError as error:
            raise RuntimeError(f"because of {EVIL}") from error
    except RuntimeError:
        logger.exception("failed")
    text = written.getvalue()
    assert "\nCRITICAL" not in text
    assert "\x1b" not in text
    assert "ValueError: x\\u000aCRITICAL:root:forged\\u001b[2J" in text
    assert '  File "' in text


def test_what_a_stranger_can_repeat_is_logged_a_hundred_times_a_minute(
    log: tuple[logging.Logger, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, written = log
    now = 1000.0
    monkeypatch.setattr("jsonrpc_iot.channel.logs.time.monotonic", lambda: now)
    for number in range(150):
        logger.error("%d failed", number)
    logger.error("another kind")
    for _ in range(150):
        logger.info("no warning")  # is for those who ask for it
    lines = written.getvalue().splitlines()
    assert lines[:100] == [f"ERROR:{number} failed" for number in range(100)]
    assert lines[100] == "ERROR:another kind"
    now += 61.0
    logger.error("%d failed", 150)
    assert written.getvalue().splitlines()[-1] == "ERROR:150 failed (50 more were left out)"


def test_a_handler_that_quotes_its_caller_forges_nothing(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher()

    @dispatcher.method
    def fail(text: str) -> None:
        raise ValueError(text)

    dispatcher.dispatch_sync(
        b'{"id":1,"method":"fail","params":["x\\nCRITICAL:root:forged\\u001b[2J"]}'
    )
    assert "ValueError: x\\u000aCRITICAL" in caplog.text
    assert "\nCRITICAL" not in caplog.text
    assert "\x1b" not in caplog.text


def test_lines_about_a_peer_have_it_as_a_field() -> None:
    """Whose words a peer's address is among names it in `extra` too, so that programs find it."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "logger." not in source or "info.peer" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                names_it = any(ast.unparse(each).endswith("info.peer") for each in node.args)
                if names_it and not any(each.arg == "extra" for each in node.keywords):
                    found.append(f"{path}:{node.lineno}")
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("value", [None, "", "tcp://192.0.2.7:5", Url.parse("mqtt://u@h/x")])
def test_what_is_not_known_is_left_out(value: object) -> None:
    assert about(value) == ({"peer": str(value)} if value else {})
    assert about(method="m" * 1000, principal="app") == {"method": "m" * 200, "principal": "app"}
    assert about(method=EVIL)["method"].isprintable()
