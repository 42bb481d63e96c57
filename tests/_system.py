"""What the tests need of the machine beside Python packages."""

import os
import shutil
from typing import NoReturn

import pytest


def require_command(name: str) -> str:
    """Return the path of the command `name`.

    Where the machine lacks it, the test that asks is skipped; with `CI=true` it fails.
    """
    path = shutil.which(name)
    if path is None:
        lack(f"the command {name!r} is not installed (tools/system-packages lists its package)")
    return path


def lack(reason: str) -> NoReturn:
    """End the test that asks: it is skipped, and with `CI=true` it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
