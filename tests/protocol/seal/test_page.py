"""The page for authors of firmware has the figures of this package."""

from jsonrpc_iot.protocol.seal.client import OLD_SECONDS, RENEW_SECONDS
from jsonrpc_iot.protocol.seal.window import SIZE
from tests.places import ROOT

PAGE = (ROOT / "docs" / "sealed-links.md").read_text()


def test_the_figures_of_the_page() -> None:
    for figure in (f"{SIZE:,} numbers", f"{OLD_SECONDS:g} s", f"{RENEW_SECONDS / 3600:g} hours"):
        assert figure in PAGE
