"""The page about the command line says what the program says."""

import subprocess
import sys

from tests.places import ROOT

from .program import environment


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tools" / "cli_docs.py", "--print"],
        env=environment(),
        capture_output=True,
        check=True,
    )

    assert (ROOT / "docs" / "cli.md").read_bytes() == done.stdout, "run tools/cli_docs.py"
