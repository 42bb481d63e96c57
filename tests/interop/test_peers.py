"""Foreign peers, held against the protocol: what `docs/conformance-reports.md` says of each.

PEERS_PYTHON names an interpreter that has those of Python, PEERS_NODE a folder with a Node and what
it runs, as `make test-foreign` installs them. A peer that is other than it was fails here; then
look at its findings, and write the page anew: `make conformance-reports`.
"""

import anyio
import pytest

from tests.places import ROOT

from .peers.foreign import FOREIGN, runs
from .peers.own import OWN
from .peers.page import chapter, row
from .peers.peer import PROFILES, Finding, Peer, failures

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

SECONDS = 280.0


@pytest.fixture
def anyio_backend() -> str:
    """It is the other end that is looked at."""
    return "asyncio"


@pytest.mark.parametrize("peer", [*FOREIGN, *OWN], ids=lambda peer: peer.name)
async def test_what_is_said_of_a_peer(peer: Peer) -> None:
    if not runs():
        pytest.skip("PEERS_PYTHON and PEERS_NODE name no programs")
    with anyio.fail_after(SECONDS):
        async with peer.serve() as url:
            reports = {profile: await peer.report(url, profile) for profile in PROFILES}
    found = set[Finding]()
    for report in reports.values():
        for case, failed in failures(report).items():
            finding = peer.finding(case)
            assert finding is not None, failed
            found.add(finding)

    assert found == set(peer.findings), "what is said of it is no longer so"
    page = (ROOT / "docs" / "conformance-reports.md").read_text("utf-8")
    assert row(peer, reports) in page
    assert not found or chapter(peer, reports) in page
