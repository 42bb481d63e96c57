"""The peer in C is as small as its documentation says."""

import pytest

from .sizes import code, memory, static_memory, table

pytestmark = pytest.mark.firmware

CODE = 6 * 1024
"""Bytes for the core, whole."""

RAM = 1024
"""Bytes for all that is no buffer, of a lamp on a serial line."""


def test_a_lamp_on_a_serial_line_takes_little_memory_beside_its_buffers() -> None:
    size = memory()
    lamp = {"jrpc": 1, "jrpc_tuya": 1, "jrpc_remembered": 8, "jrpc_pending": 2, "jrpc_open": 2}

    assert sum(size[name] * count for name, count in lamp.items()) <= RAM


def test_the_core_is_small() -> None:
    print(table())  # noqa: T201  # shown by -rP

    assert code()["core"] <= CODE


def test_the_library_has_no_memory_of_its_own() -> None:
    assert static_memory() == 0
