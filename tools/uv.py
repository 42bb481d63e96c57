"""Runs uv as pip is set up: `python tools/uv.py VENV ARGUMENT ...`.

uv is the one that requirements.lock pins, in that virtual environment, and fetches packages from
where pip does: uv reads none of pip's settings. Variables like UV_DEFAULT_INDEX go before them.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"

# uv's variable for a setting of pip, and what is between the parts of its value.
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "cert": ("SSL_CERT_FILE", " "),
}
SECTIONS = ("global", "install", ":env:")  # each goes before those to its left


def main(venv: Path, arguments: list[str]) -> int:
    """Install uv where it is not there or another one, and run it."""
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip"]
    listed = _run(*pip, "config", "list")
    if listed.returncode:  # a Python without pip, which can make one
        _run(python, "-m", "ensurepip").check_returncode()
        pip = [str(python), "-m", "pip"]
        listed = _run(*pip, "config", "list")
    requirement = pinned("uv", LOCK.read_text())
    note = venv / ".uv-pin"  # what is installed
    if not note.exists() or note.read_text() != requirement:
        options = ["--disable-pip-version-check", "--python", python, "-qq"]
        install = ["install", "--require-hashes", "--no-deps", "-r", "/dev/stdin"]
        subprocess.run([*pip, *options, *install], input=requirement, text=True, check=True)
        note.write_text(requirement)
    environment = {**settings(listed.stdout), **os.environ}
    done = subprocess.run([venv / "bin" / "uv", *arguments], env=environment, check=False)
    return done.returncode


def _run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pinned(name: str, lock: str) -> str:
    """The lines of a lock that are about one package: its version and its hashes."""
    found = re.search(rf"^{name}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        raise SystemExit(f"requirements.lock has no {name}")
    return found[0]


def settings(listed: str) -> dict[str, str]:
    """Variables for uv.

    Args:
        listed: what `pip config list` says.
    """
    found: dict[str, str] = {}
    for section in SECTIONS:
        for line in listed.splitlines():
            place, _, value = line.partition("=")
            name = place.removeprefix(f"{section}.")
            if name in VARIABLES and name != place:
                variable, comma = VARIABLES[name]
                found[variable] = comma.join(str(ast.literal_eval(value)).split())
    if "UV_INDEX" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip takes the best of all indexes too
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
