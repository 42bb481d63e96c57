"""A device, and test files for it that a test writes and runs."""

import pytest

PLUGIN = "jsonrpc_iot.testing.plugin"

LAMP = """
    from typing import Annotated, Any

    import anyio
    import pytest
    from msgspec import Meta

    from jsonrpc_iot import *
    from jsonrpc_iot.testing import *

    @pytest.fixture
    def rpc_dispatcher():
        lamp = Dispatcher()
        switched = 0

        @lamp.method
        def toggle() -> int:
            nonlocal switched
            switched += 1
            return switched

        @lamp.method
        def echo(value: Any) -> Any:
            return value

        @lamp.method(requires="lamp:off")
        def off() -> None:
            lamp.emit("lamp.changed", {"on": False})

        return lamp
"""


def run(device: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """The outcome of a test file."""
    device.makepyfile(f"{LAMP}\n{source}")
    return device.runpytest_inprocess(*arguments)
