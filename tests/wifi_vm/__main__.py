"""`python -m tests.wifi_vm [ARGUMENT OF PYTEST ...]`: run the tests in the machine."""

import sys

from tests.vm import run_tests

RELEASE = "trixie"
PACKAGES = ["network-manager", "wpasupplicant", "hostapd", "dnsmasq-base", "iw", "iproute2", "udev"]
CIPHERS = ["aes_generic", "aesni_intel", "ccm", "gcm", "ctr", "cmac", "sha256_generic"]
RADIOS = {"bridge": "", "mac80211_hwsim": "radios=2"}
MODULES = dict.fromkeys(CIPHERS, "") | RADIOS  # the kernel of the machine can load none by itself
SUITE = "tests/services/test_wifi_radios.py"


def main(*arguments: str) -> int:
    """Gives the exit code of pytest."""
    pytest = ["-m", "", "--durations=15", "tests/wifi_vm", SUITE, *arguments]
    return run_tests("wifi-vm", RELEASE, PACKAGES, MODULES, pytest, {"WIFI_RADIOS": "real"})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
