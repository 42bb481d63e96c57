"""The audit log: one line for each event, whatever strangers send."""

import logging

import pytest

from jsonrpc_iot.trust import audit
from jsonrpc_iot.trust.principal import Principal

EVIL = "x\nCRITICAL: forged\x1b[2J" + "y" * 1000


def test_each_event_is_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    somebody = Principal(EVIL, proof="key")
    audit.refused_call("tcp://there", EVIL, "wifi", somebody)
    audit.refused_stranger("tcp://there", EVIL)
    audit.refused_proof("tcp://there", "token", EVIL)
    audit.revoked("tcp://there", somebody)
    audit.pairing_opened(300)
    audit.pairing_tried("tcp://there", 1, EVIL)
    audit.paired("tcp://there", EVIL)
    audit.pairing_closed("its time is over")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 8
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    assert {record.name for record in caplog.records} == {"jsonrpc_iot.audit"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_who_was_refused_is_named(caplog: pytest.LogCaptureFixture) -> None:
    audit.refused_call("tcp://there", "switch", "wifi", Principal("app", proof="token"))
    audit.refused_call("tcp://there", "switch", "wifi", None)
    assert [record.getMessage() for record in caplog.records] == [
        "tcp://there: switch was refused to app (by token): it needs 'wifi'",
        "tcp://there: switch was refused to a stranger: it needs 'wifi'",
    ]


def test_a_flood_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        audit.refused_stranger(f"udp://there:{number}", "switch")
    audit.pairing_opened(300)
    assert len(caplog.records) == 101
