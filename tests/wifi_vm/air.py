"""Access points of the simulated radio's networks, in a network namespace of their own.

They stand on one bridge, so a device has the same address on all of them.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jsonrpc_iot.services.wifi import DEFAULT_NETWORKS, SimulatedNetwork

ROOT = Path(os.environ.get("GUEST_ROOT", "/"))
"""Where the packages are unpacked."""
GUEST = Path("/run/guest")
"""The same, where they can write, and with the machine's devices and `/run`."""
SURROUNDINGS = ["PATH=/usr/sbin:/usr/bin", "SYSTEMD_IGNORE_CHROOT=1"]
PATIENCE = 120.0
"""Seconds for what takes a few, on an emulated processor of a busy machine."""

GATEWAY = "192.168.77.1"
ALL = "ap"
"""The namespace of the access points."""


def guest(*command: str) -> list[str]:
    """A command line of one of the packages' programs."""
    return ["chroot", str(GUEST), "/usr/bin/env", *SURROUNDINGS, *command]


def do(*command: str) -> str:
    """Run one to its end, and give what it says."""
    done = subprocess.run(guest(*command), check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def prepare() -> None:
    """Make the packages' root writable, and give it what programs look for."""
    if GUEST.exists():
        return
    for folder in (GUEST, Path("/run/up"), Path("/run/work")):
        folder.mkdir()
    layers = f"lowerdir={ROOT},upperdir=/run/up,workdir=/run/work"
    mount("-t", "overlay", "-o", layers, "overlay", str(GUEST))
    for name in ("proc", "sys", "dev", "run", "tmp", "shared"):
        (GUEST / name).mkdir(exist_ok=True)
    for name in ("proc", "dev", "run", "tmp", "shared"):
        mount("-o", "bind", f"/{name}", str(GUEST / name))
    mount("-t", "sysfs", "sys", str(GUEST / "sys"))
    passwd = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
    (GUEST / "etc/passwd").write_text(passwd, encoding="ascii")
    (GUEST / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n", encoding="ascii")
    do("/usr/lib/systemd/systemd-udevd", "--daemon")  # NetworkManager waits for its word
    do("udevadm", "trigger", "--subsystem-match=net")
    do("udevadm", "settle", "--timeout=60")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon, killed in the end."""
    with (
        log.open("ab") as written,
        subprocess.Popen(
            guest(*command), stdout=written, stderr=written, stdin=subprocess.DEVNULL
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def until_said(process: subprocess.Popen[bytes], log: Path, text: str, times: int = 1) -> None:
    """Wait until a daemon has said something."""
    end = time.monotonic() + PATIENCE
    while log.read_text(errors="replace").count(text) < times:
        is_late = time.monotonic() > end or process.poll() is not None
        assert not is_late, log.read_text(errors="replace")
        time.sleep(0.05)


class Air:
    """All networks, in a `with` block.

    Args:
        folder: for settings and logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> "Air":
        prepare()
        do("ip", "netns", "add", ALL)
        device = Path("/sys/class/net/wlan0/phy80211").resolve().name
        phys = [path.name for path in Path("/sys/class/ieee80211").iterdir()]
        (phy,) = (each for each in phys if each != device)
        do("iw", "phy", phy, "set", "netns", "name", ALL)
        self._do("ip", "link", "set", "lo", "up")
        self._do("ip", "link", "add", "br0", "type", "bridge")
        self._do("ip", "addr", "add", f"{GATEWAY}/24", "dev", "br0")
        self._do("ip", "link", "set", "br0", "up")
        files = []
        for number, network in enumerate(DEFAULT_NETWORKS):
            address = ("addr", network.bssid)
            self._do("iw", "phy", phy, "interface", "add", f"ap{number}", "type", "__ap", *address)
            settings = self._folder / f"ap{number}.conf"
            settings.write_bytes(settings_of(f"ap{number}", network))
            files.append(str(settings))
        self.hostapd = self._stack.enter_context(self._hostapd(files))
        self._stack.enter_context(self.dhcp())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for number in range(len(DEFAULT_NETWORKS)):
            self._do("iw", "dev", f"ap{number}", "del")
        do("ip", "netns", "del", ALL)  # the radio returns

    @contextmanager
    def _hostapd(self, files: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        log = self._folder / "hostapd.log"
        with running(log, "ip", "netns", "exec", ALL, "hostapd", *files) as process:
            until_said(process, log, "AP-ENABLED", len(files))
            yield process

    @contextmanager
    def dhcp(self) -> Iterator[None]:
        """Give addresses."""
        log = self._folder / "dnsmasq.log"
        command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--interface=br0"]
        command += ["--bind-interfaces", "--port=0", "--dhcp-range=192.168.77.10,192.168.77.20,1h"]
        command += [f"--dhcp-leasefile={self._folder}/leases", "--pid-file=", "--user=root"]
        command += ["--dhcp-authoritative", "--no-ping", "--log-facility=-"]
        with running(log, "ip", "netns", "exec", ALL, *command) as process:
            until_said(process, log, "started")
            yield

    @contextmanager
    def without_dhcp(self) -> Iterator[None]:
        """Let nobody ask for an address."""
        self._do("ip", "link", "set", "br0", "down")
        try:
            yield
        finally:
            self._do("ip", "link", "set", "br0", "up")

    def beside(self, *command: str) -> list[str]:
        """The command line of a program of this machine, among the access points."""
        return ["nsenter", f"--net={GUEST}/run/netns/{ALL}", *command]

    def _do(self, *command: str) -> None:
        do("ip", "netns", "exec", ALL, *command)


def settings_of(interface: str, network: SimulatedNetwork) -> bytes:
    """Those of hostapd."""
    lines = [
        f"interface={interface}",
        "driver=nl80211",
        "bridge=br0",
        f"ssid2={network.raw_ssid.hex()}",
        "hw_mode=g",
        "channel=6",
        f"ignore_broadcast_ssid={int(network.hidden)}",
    ]
    if network.security != "open":
        lines += ["wpa=2", "rsn_pairwise=CCMP", f"wpa_passphrase={network.key}"]
    if network.security == "wpa2":
        lines += ["wpa_key_mgmt=WPA-PSK"]
    if network.security == "wpa3":
        lines += ["wpa_key_mgmt=SAE", "ieee80211w=2"]
    return "\n".join([*lines, ""]).encode()


def address_of(interface: str) -> str:
    """The address that an interface has."""
    shown = do("ip", "-4", "-o", "addr", "show", "dev", interface)
    return shown.split(" inet ")[1].split("/")[0]
