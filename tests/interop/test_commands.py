"""socat and netcat as clients."""

import subprocess

from tests._system import require_command

from .calls import REQUESTS, check
from .conftest import Simulated


def converse(*command: str) -> None:
    done = subprocess.run(command, input=REQUESTS, capture_output=True, timeout=20, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    check(done.stdout)


def test_socat_on_tcp(simulated: Simulated) -> None:
    address = f"TCP:{simulated.host}:{simulated.port}"
    converse(require_command("socat"), "-t", "10", "-", address)


def test_socat_on_a_pipe(simulated: Simulated) -> None:
    converse(require_command("socat"), "-t", "10", "-", f"UNIX-CONNECT:{simulated.path}")


def test_netcat_on_tcp(simulated: Simulated) -> None:
    converse(require_command("nc"), "-N", simulated.host, str(simulated.port))


def test_netcat_on_a_pipe(simulated: Simulated) -> None:
    converse(require_command("nc"), "-N", "-U", str(simulated.path))
