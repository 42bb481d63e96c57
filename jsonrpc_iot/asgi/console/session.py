"""A key for the console that is good once, and the session that it is changed for.

The key stands in the fragment of an address, which browsers send to nobody, so it is in no log. The
page takes it out, shows it once (`POST <path>/.console/session`), and gets the token of a session
of its own. Whoever opens the address after that is told that the key is spent: if that was not
they, somebody else was faster.
"""

import hmac
from secrets import token_urlsafe

from ...channel.contract import Channel
from ...channel.info import ChannelAttribute
from ...errors import Unauthorized
from ...trust.principal import EVERYTHING, Principal

_KEY_BYTES = 32

SPENT = Unauthorized(
    "This key is spent; start the console again for a new one", data={"reason": "spent"}
)
"""What they hear who show the key after somebody else."""

_WRONG = Unauthorized("This is no key of this console; start it again for a new one")
_SOMEBODY = Principal("console", EVERYTHING, "token")


class OneTimeKey:
    """Lets one page in, and those that the keyring knows.

    Attributes:
        text: the key, as it stands in an address.
    """

    def __init__(self) -> None:
        self.text = token_urlsafe(_KEY_BYTES)
        self._session: str | None = None

    def exchange(self, key: str | None) -> str:
        """Change the key for the token of a session.

        Args:
            key: what somebody shows.

        Raises:
            Unauthorized: it is another one, or spent.
        """
        if not _is_same(key, self.text):
            raise _WRONG.with_traceback(None)
        if self._session is not None:
            raise SPENT.with_traceback(None)
        self._session = token_urlsafe(_KEY_BYTES)
        return self._session

    def authenticate(self, channel: Channel) -> Principal | None:
        """Say who is at the other end; see `Authenticate`."""
        token = channel.extra(ChannelAttribute.bearer_token, None)
        if self._session is not None and _is_same(token, self._session):
            return _SOMEBODY
        if channel.principal is not None or token is None:
            return channel.principal
        # By itself the key opens nothing: who used it so would not be found out.
        is_spent = self._session is not None and _is_same(token, self.text)
        raise (SPENT if is_spent else _WRONG).with_traceback(None)


def _is_same(shown: str | None, secret: str) -> bool:
    """Whether that is the secret, which takes the same time whatever of it is right."""
    return hmac.compare_digest((shown or "").encode(errors="surrogatepass"), secret.encode())
