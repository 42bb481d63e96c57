"""The names in a certificate."""

from typing import Any

import pytest

from jsonrpc_iot.trust.certificates import names_in

COMMON = ((("organizationName", "Lamps"),), (("commonName", "lamp.example"),))


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ({}, []),
        ({"subject": COMMON}, ["lamp.example"]),
        ({"subject": COMMON, "subjectAltName": (("DNS", "a"), ("URI", "urn:b"))}, ["a", "urn:b"]),
        ({"subjectAltName": (("IP Address", "::1"), ("email", "a@b"))}, ["::1", "a@b"]),
        ({"subject": COMMON, "subjectAltName": (("DirName", COMMON),)}, ["lamp.example"]),
    ],
)
def test_names(certificate: dict[str, Any], names: list[str]) -> None:
    assert names_in(certificate) == names
