"""`python -m tests.ble_vm RELEASE [ARGUMENT OF PYTEST ...]`: run the tests in the machine."""

import sys
from pathlib import Path

from .machine import run
from .packages import fetch


def main(release: str, *arguments: str) -> int:
    """Set up what is not there, and run; gives the exit code of pytest."""
    folder = Path("build/ble-vm", release).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    root = fetch(release, folder)
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=300"]
    pytest += ["-m", "ble", "tests/ble_vm"]
    environment = {
        "BLUEZ_ROOT": str(root),
        "CI": "true",  # what is missing fails
        "HOME": "/tmp",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return run(root, folder, [*pytest, *arguments], environment)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
