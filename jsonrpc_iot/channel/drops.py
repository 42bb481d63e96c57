"""What is dropped on its way, and why: the names of the reasons, for whoever shows them.

Each is counted where it happens, as an attribute of that object; `Channel.drops` and
`Listener.drops` show these under their names.
"""

from collections.abc import Iterable, Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    # what a server says or hears, over any link
    "queue_full": "Messages for a peer that read too slowly, or had yet to prove that it is there.",
    "missed_events": "Events that a subscriber over HTTP did not get, since it read too slowly.",
    "reply_too_large": "Replies of which not even the error fitted the link.",
    "unreadable": "Messages that could not be read, and were not answered: that might never end.",
    "stray_response": "Responses to no open call, and items of no open stream.",
    "echo": "Requests of this end that came back.",
    "repeated": "Requests that came again, and got the response of the first one.",
    "table_full": "Requests that were refused, since too many are remembered.",
    "too_fast": "Messages that came faster than they were taken.",
    # who may come in
    "turned_away": "Connections or first packets of peers that were too many.",
    "displaced": "Connections that had to go for one of a network that had fewer.",
    "unjudged": "Proofs that were not looked at: too many wrong ones wait for their answer.",
    # packets
    "not_sent": "Packets and messages that the system, a broker or a full queue did not take.",
    "foreign": "Requests at a broker that were retained, or wanted their answer elsewhere.",
    "deaf": "Messages to a Bluetooth central that does not hear notifications.",
    "bad_segment": "Segments that made no sense, or for which there was no room.",
    "bad_report": "Reports on segments that made no sense.",
    "unfinished": "Messages of which some segments never came.",
    "given_up": "Messages of which no segment got through.",
    "unproved": "Packets that had to wait for a proof that somebody is there, and were dropped.",
    # sealed links
    "wrong_key": "Attempts to open a sealed link that nobody with a key has made.",
    "unsealable": "Sealed packets that did not open.",
    "no_session": "Sealed packets of sessions that are not known, and messages to such.",
    "lost_session": "Sealed sessions that had to go for others.",
    # serial lines
    "noise_bytes": "Bytes (not messages) that belong to no frame.",
    "bad_checksum": "Frames with a wrong checksum.",
    "bad_length": "Frames that claimed to be too long.",
    "cut_short": "Frames that were never finished.",
    "malformed": "Units of DataPoints that were none.",
    "no_room": "Answers for which the line had no room for too long.",
    "stale": "Messages that came again since all DataPoints were asked for.",
    "unconfirmed": "Reports that the module did not take.",
}
"""What each reason means."""


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts, by reason, without those of which there are none."""
    sums: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            if count:
                sums[reason] = sums.get(reason, 0) + count
    return sums
