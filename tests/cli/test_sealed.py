"""Keys on the command line: where they may stand, what is shown, and the exit codes."""

from base64 import b64encode
from pathlib import Path

import pytest

from jsonrpc_iot import Keyring

from .program import run
from .test_access import keys, lamp

__all__ = ["keys"]


def text(key: bytes) -> str:
    return b64encode(key).decode()


@pytest.mark.parametrize("url", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"])
def test_a_key_of_the_keyring_opens(keys: Path, url: str) -> None:
    key = text(Keyring(keys).add("app", permissions=["switch"]))
    with lamp(keys, url, "--require-key") as (program, there):
        done = run("call", f"{there}?psk=env:KEY", "switch", KEY=key)
        assert (done.code, done.result) == (0, "switched")
        traced = run("call", f"{there}?psk=env:KEY", "switch", "--trace", KEY=key)
        assert "*> " in traced.err
        assert '"method":"switch"' in traced.err
        assert "<* " in traced.err
        assert '"switched"' in traced.err
        assert key not in traced.err
        wrong = run("call", f"{there}?psk=env:KEY", "switch", KEY=text(bytes(32)))
        assert wrong.code == 3
        assert "something answers there, but not to this key" in wrong.complaint
        program.stop()


def test_a_key_in_the_url_itself_is_refused_and_not_shown() -> None:
    key = text(bytes(range(32)))
    for command in ("call", "notify"):
        done = run(command, f"udp://127.0.0.1:9?psk={key}", "switch")
        assert done.code == 2
        assert "?psk=env:NAME or file:PATH" in done.complaint
        assert key.rstrip("=") not in done.complaint
    served = run("simulate", "--bind", f"udp://127.0.0.1:0?psk={key}")
    assert served.code == 2
    assert key.rstrip("=") not in served.complaint


def test_nobody_there_is_a_failed_link_within_the_time() -> None:
    done = run("call", "udp://127.0.0.1:9?psk=env:KEY", "x", "--timeout", "2", KEY=text(bytes(32)))
    assert done.code == 3
    assert "nothing answers there, neither to hellos" in done.complaint
