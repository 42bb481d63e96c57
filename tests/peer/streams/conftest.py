"""Here handlers fail on purpose."""

import pytest


@pytest.fixture(autouse=True)
def no_error_is_logged() -> None:
    """Let errors be logged."""
