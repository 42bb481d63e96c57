"""What of a platform stands in files, read at its start and on SIGHUP: certificates, settings."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jsonrpc_iot import UsageError
from jsonrpc_iot.transports.sockets.tls import reason

if TYPE_CHECKING:
    import ssl

    from jsonrpc_iot.novacloud import NovaPlatform, PlatformSettings

logger = logging.getLogger("jsonrpc_iot.cli")


class PlatformFiles:
    """The files of a platform, those that there are.

    Args:
        cert: the certificate that devices see.
        key: its private key, if that is not in the same file.
        ca: whose certificates devices have, perhaps with lists of those that are revoked.
        settings: limits and times, in TOML.
        auto_define: define sensors, whatever the settings say.

    Raises:
        UsageError: one is of use with another alone.
    """

    def __init__(
        self,
        *,
        cert: Path | None = None,
        key: Path | None = None,
        ca: Path | None = None,
        settings: Path | None = None,
        auto_define: bool = False,
    ) -> None:
        for option, path in (("--key", key), ("--ca", ca)):
            if path is not None and cert is None:
                raise UsageError(f"{option} is of use with --cert alone")
        self._cert = cert
        self._key = key
        self._ca = ca
        self._settings = settings
        self._auto_define = auto_define

    @property
    def has_any(self) -> bool:
        """Whether there is something to read again."""
        return self._cert is not None or self._settings is not None

    @property
    def has_authority(self) -> bool:
        """Whether devices prove who they are by a certificate."""
        return self._ca is not None

    def tls(self) -> "ssl.SSLContext | None":
        """How devices connect, `None` without TLS.

        Raises:
            UsageError: a file cannot be read, or is not what it should be.
        """
        import ssl

        if self._cert is None:
            return None
        for option, path in (("--cert", self._cert), ("--key", self._key), ("--ca", self._ca)):
            _check_readable(option, path)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._cert, self._key, _refuse_password)
        except ssl.SSLError as error:
            raise UsageError(f"--cert: {self._cert}: {reason(error)}") from None
        if self._ca is not None:
            try:
                context.load_verify_locations(self._ca)
            except ssl.SSLError as error:
                raise UsageError(f"--ca: {self._ca}: {reason(error)}") from None
            if context.cert_store_stats()["crl"]:
                context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
            # A device without a certificate shall hear why it is refused, so the platform asks.
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def settings(self) -> "PlatformSettings":
        """Limits and times.

        Raises:
            UsageError: the file cannot be read, or has a mistake.
        """
        from jsonrpc_iot.novacloud import PlatformSettings
        from jsonrpc_iot.novacloud.platform.settings_file import read_settings

        if self._settings is None:
            return PlatformSettings(auto_define=self._auto_define)
        try:
            found = read_settings(self._settings)
        except UsageError as error:
            raise UsageError(f"--settings: {error}") from None
        return replace(found, auto_define=found.auto_define or self._auto_define)

    def read_again(self, platform: "NovaPlatform") -> None:
        """Have a platform go on as the files say now; a broken one changes nothing of its kind."""
        try:
            tls = self.tls()
        except UsageError as error:
            logger.error("%s; the certificate stays as it was", error)
        else:
            platform.renew(tls=tls)
        try:
            settings = self.settings()
        except UsageError as error:
            logger.error("%s; the settings stay as they were", error)
        else:
            platform.renew(settings=settings)


def _check_readable(option: str, path: Path | None) -> None:
    """Find out what OpenSSL does not tell: which file it is that cannot be read, and why."""
    if path is not None:
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(f"{option}: {path}: {error.strerror or error}") from None


def _refuse_password() -> str:
    raise UsageError("--key: it is encrypted, and nobody is there to ask for the password")
