"""NetworkManager and wpa_supplicant on the machine's own radio, on a bus of their own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .air import GUEST, prepare, running, until_said

SETTINGS = """
[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
auth-polkit={polkit}
no-auto-default=*
[keyfile]
unmanaged-devices=none
[device]
wifi.scan-rand-mac-address=no
[connection]
wifi.cloned-mac-address=permanent
"""
PROFILES = GUEST / "etc/NetworkManager/system-connections"


class NetworkManager:
    """The daemons, in a `with` block of `running`.

    Args:
        folder: for logs.
        address: of the bus.

    Attributes:
        process: NetworkManager's.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, address: str) -> None:
        self.log = folder / "networkmanager.log"
        self._folder = folder
        self._address = address

    @contextmanager
    def running(self, *, polkit: str = "false") -> Iterator["NetworkManager"]:
        """Both daemons, which remember nothing."""
        prepare()
        shutil.rmtree(PROFILES, ignore_errors=True)
        shutil.rmtree(GUEST / "var/lib/NetworkManager", ignore_errors=True)
        for folder in ("run/NetworkManager", "var/lib/NetworkManager", "run/wpa_supplicant"):
            (GUEST / folder).mkdir(parents=True, exist_ok=True)
        PROFILES.mkdir(parents=True)
        settings = GUEST / "etc/NetworkManager/NetworkManager.conf"
        settings.write_text(SETTINGS.format(polkit=polkit), encoding="ascii")
        supplicant = ["wpa_supplicant", "-u", "-s", "-t", "-O", "/run/wpa_supplicant"]
        with self._daemon(self._folder / "supplicant.log", *supplicant), self.manager():
            yield self

    @contextmanager
    def manager(self) -> Iterator[None]:
        """NetworkManager alone, which remembers all."""
        ready = "device (wlan0): state change: unavailable -> disconnected"
        times = self.log.read_text(errors="replace").count(ready) if self.log.exists() else 0
        command = ("NetworkManager", "--debug", "--log-level=INFO")
        with self._daemon(self.log, *command) as self.process:
            until_said(self.process, self.log, ready, times + 1)
            yield

    def _daemon(self, log: Path, *command: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return running(log, "env", f"DBUS_SYSTEM_BUS_ADDRESS={self._address}", *command)

    def keys(self) -> list[str]:
        """All keys on the disk."""
        texts = [path.read_text(encoding="utf-8") for path in PROFILES.iterdir()]
        return sorted(
            line.removeprefix("psk=")
            for text in texts
            for line in text.splitlines()
            if line.startswith("psk=")
        )
