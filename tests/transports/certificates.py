"""Certificates for the tests, made with trustme: one authority, a stranger, a server, a client."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
        Path(self.nameless).write_bytes(_only_common(ours, "gateway.example"))


@cache
def _authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


def _only_common(authority: trustme.CA, name: str) -> bytes:
    """A key and a certificate without alternative names, as trustme makes none.

    Its own have an empty list of them then, which Python 3.13 refuses (RFC 5280, 4.2.1.6).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    issuer_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
