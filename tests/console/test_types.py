"""TypeScript's compiler finds nothing wrong with the page's modules."""

import subprocess
from pathlib import Path

import pytest

from tests._system import require_command
from tests.generate.node import TYPESCRIPT
from tests.npm import unpacked
from tests.places import ROOT

SETTINGS = ROOT / "tools" / "console" / "tsconfig.json"

pytestmark = pytest.mark.browser


def test_the_modules_are_typed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cache = request.config.cache
    assert cache is not None
    library = unpacked(TYPESCRIPT, cache.mkdir("typescript"), tmp_path, "lib/*")
    command = [require_command("node"), str(library / "lib" / "tsc.js"), "-p", str(SETTINGS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
