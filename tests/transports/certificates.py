"""Certificates for the tests, made with trustme: one authority, a stranger, a server, a client."""

from functools import cache
from pathlib import Path

import trustme

HOSTS = ("127.0.0.1", "localhost", "::1")


class Certificates:
    """PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.ca = str(folder / "ca.pem")
        self.strange_ca = str(folder / "strange_ca.pem")
        self.server = str(folder / "server.pem")
        self.client = str(folder / "client.pem")
        self.strange_client = str(folder / "strange_client.pem")
        self.gateway = str(folder / "gateway.pem")
        self.nameless = str(folder / "nameless.pem")
        self.strange_server = str(folder / "strange_server.pem")
        ours, strange = _authorities()
        ours.cert_pem.write_to_path(self.ca)
        strange.cert_pem.write_to_path(self.strange_ca)
        for path, authority, names in (
            (self.server, ours, HOSTS),
            (self.strange_server, strange, HOSTS),
            (self.client, ours, ("lamp@example.org",)),
            (self.gateway, ours, ("gateway.example",)),
            (self.strange_client, strange, ("lamp@example.org",)),
        ):
            authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(path)
        only_common = ours.issue_cert(common_name="gateway.example")
        only_common.private_key_and_cert_chain_pem.write_to_path(self.nameless)


@cache
def _authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()
