"""Fixtures of the tests of serial lines."""

import pytest

from .dp_line import Home


@pytest.fixture
def home() -> Home:
    return Home()
