"""A folder for the suites that tests run."""

import pytest

from .suite import LAMP


@pytest.fixture
def device(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with a `conftest.py` that has the device."""
    pytester.makeini("[pytest]\naddopts = --strict-markers -p jsonrpc_iot.testing.plugin")
    pytester.makeconftest(LAMP)
    return pytester
