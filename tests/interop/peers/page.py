"""What the page about reports says of each peer; what is the same for all is in the page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from jsonrpc_iot.testing.conformance import Profile, Report, Section

from .peer import OURS, PROFILES, Finding, Peer, failures

Reports = Mapping[Profile, Report]


def row(peer: Peer, reports: Reports) -> str:
    """The peer's line in the table of all."""
    cells = (_outcome(reports[profile]) for profile in PROFILES)
    place = f"#{_anchor(peer)}" if peer.findings else peer.link
    return f"| [{_title(peer)}]({place}) | {peer.about} | {' | '.join(cells)} |\n"


def chapter(peer: Peer, reports: Reports) -> str:
    """What there is to say of a peer that has faults."""
    lines = [f"## {_title(peer)}", "", f"[{peer.name}]({peer.link}): {peer.about}.", ""]
    lines += ["| section | minimal | standard | full |", "|---|---|---|---|"]
    for sections in zip(*(reports[profile].sections for profile in PROFILES), strict=True):
        counts = [_counts(section) for section in sections]
        if any(counts):
            lines.append(f"| {sections[0].name} | {' | '.join(counts)} |")
    lines += ["", "| asked by | from | cases | |", "|---|---|---|---|"]
    for finding, profile, count in sorted(_found(peer, reports), key=_order):
        lines.append(f"| {finding.asks} | `{profile}` | {count} | {finding.text} |")
    return "\n".join([*lines, ""])


def _title(peer: Peer) -> str:
    name, comma, link = peer.name.partition(", ")
    return f"{name} {peer.version}".strip() + comma + link


def _anchor(peer: Peer) -> str:
    kept = "".join(letter for letter in _title(peer).lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _outcome(report: Report) -> str:
    cases = [case.verdict for section in report.sections for case in section.cases]
    failed = cases.count("fail")
    return f"{failed} of {failed + cases.count('pass')} fail" if failed else "conforms"


def _counts(section: Section) -> str:
    counts = Counter(case.verdict for case in section.cases)
    if not counts["pass"] + counts["fail"]:
        return ""
    total = counts["pass"] + counts["fail"]
    return f"**{counts['fail']} of {total} fail**" if counts["fail"] else f"pass ({total})"


def _order(found: tuple[Finding, Profile, int]) -> tuple[bool, int]:
    """First what others ask for, and what the lesser profiles find."""
    finding, profile, _ = found
    return finding.asks == OURS, PROFILES.index(profile)


def _found(peer: Peer, reports: Reports) -> Iterator[tuple[Finding, Profile, int]]:
    """Each finding, the least profile that finds it, and how many cases find it there or above."""
    for finding in peer.findings:
        counts = {
            profile: sum(peer.finding(case) == finding for case in failures(reports[profile]))
            for profile in PROFILES
        }
        least: Sequence[Profile] = [profile for profile in PROFILES if counts[profile]]
        if least:
            yield finding, least[0], max(counts.values())
