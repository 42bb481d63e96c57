"""`python -m tests.ble_vm RELEASE [ARGUMENT OF PYTEST ...]`: run the tests in the machine."""

import sys

from tests.vm import run_tests

CRYPTO = ["drbg", "hmac", "sha256_generic", "sha512_generic", "aes_generic", "cmac", "ecb"]
CRYPTO += ["af_alg", "algif_hash", "algif_skcipher"]
MODULES = dict.fromkeys([*CRYPTO, "bluetooth", "hci_vhci"], "")


def main(release: str, *arguments: str) -> int:
    """Gives the exit code of pytest."""
    return run_tests(
        "ble-vm", release, ["bluez"], MODULES, ["-m", "ble", "tests/ble_vm", *arguments], {}
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
