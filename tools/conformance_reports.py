"""Write into docs/conformance-reports.md what the peers answer: `make conformance-reports`.

What is said of each, and who asks for it, is in `tests/interop/peers`; a test compares.
"""

from pathlib import Path

import anyio

from tests.interop.peers.foreign import FOREIGN
from tests.interop.peers.own import OWN
from tests.interop.peers.page import chapter, row
from tests.interop.peers.peer import PROFILES

PAGE = Path(__file__).parents[1] / "docs" / "conformance-reports.md"
BEGIN = "<!-- From here on tools/conformance_reports.py writes what the peers answer. -->\n"
END = "<!-- Up to here. -->\n"
TABLE = "\n| peer | | minimal | standard | full |\n|---|---|---|---|---|\n"


async def main() -> None:
    """Rewrite the page."""
    rows, chapters = "", ""
    for peer in (*FOREIGN, *OWN):
        async with peer.serve() as url:
            reports = {profile: await peer.report(url, profile) for profile in PROFILES}
        rows += row(peer, reports)
        if peer.findings:
            chapters += f"\n{chapter(peer, reports)}"
    head, rest = PAGE.read_text("utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}{TABLE}{rows}{chapters}\n{END}{tail}", "utf-8")


anyio.run(main)
