"""Real daemons of Debian in a virtual machine, on this machine's files, none of which it changes.

`packages` has apt fetch a kernel and daemons into `build/`, `machine` boots them in qemu, and
pytest runs in there. `tests.ble_vm` and `tests.wifi_vm` say what they need. It takes Debian on
amd64; with KVM it is faster.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .machine import run
from .packages import fetch


def run_tests(
    name: str,
    release: str,
    packages: Sequence[str],
    modules: Mapping[str, str],
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> int:
    """Set up what is not there, and run pytest in the machine; gives its exit code.

    Args:
        name: of the machine, for its folder in `build`.
        release: the name of Debian's whose kernel and daemons it has.
        packages: that are unpacked at `GUEST_ROOT`, beside the kernel.
        modules: of the kernel, with their options.
        arguments: of pytest.
        environment: more of it.
    """
    folder = Path("build", name, release).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    root = fetch(release, folder, packages)
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=300"]
    settings = {
        "GUEST_ROOT": str(root),
        "CI": "true",  # what is missing fails
        "HOME": "/tmp",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return run(root, folder, modules, [*pytest, *arguments], {**settings, **environment})
