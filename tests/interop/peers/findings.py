"""What several peers lack, and who asks for it."""

from .peer import OURS, Finding

IDS = "JSON-RPC 2.0, 4 (id)"
SAME = "JSON-RPC 2.0, 5 (id)"
ERRORS = "JSON-RPC 2.0, 5.1"
NOTES = "JSON-RPC 2.0, 4.1"
BATCH = "JSON-RPC 2.0, 6 and 7"
NUMBERS = "RFC 8259, 6 and 10"

NULL_ID = Finding(
    IDS,
    "A request with the id null is taken for a notification, and not answered. (The specification "
    "discourages such ids.)",
    ("ids: null",),
)
BOOLEAN_ID = Finding(
    IDS,
    "The ids true and false are taken and echoed.",
    ("ids: refused: true", "ids: refused: false"),
)
NOT_ALONE = Finding(
    BATCH,
    "One entry that is no object costs the whole batch: `[1,2]` is answered with one error, not "
    "with an array of two, and a valid call beside it is not run.",
    (
        "batches: numbers instead of messages",
        "batches: junk beside a call",
        "batches: a batch in a batch",
        "batches: an object that is no message",
    ),
)
INFINITE_ID = Finding(
    NUMBERS, "The id 1e400 comes back as `Infinity`, which is no JSON.", ("ids: refused: *",)
)
ROUNDED = Finding(
    SAME,
    "Integers above 2^53 come back rounded, as numbers of JavaScript are, and 1e400 as null.",
    (
        "ids: above-double",
        "ids: int64-*",
        "ids: uint64-*",
        "ids: 30*",
        "ids: minus-30-digits",
        "ids: refused: *",
    ),
)
EXTENDED = Finding(
    OURS,
    "NaN, infinities and lone surrogates are read. (RFC 8259, 9 lets a parser do so.)",
    (
        "parsing and recovery: NaN*",
        "parsing and recovery: Infinity*",
        "parsing and recovery: -Infinity*",
        "parsing and recovery: lone-*",
        "parsing and recovery: surrogate*",
        "parsing and recovery: two-high*",
        "parsing and recovery: high-*",
        "parsing and recovery: capital-surrogate*",
    ),
)
DEPTH = Finding(OURS, "Nesting has no limit of 64 levels.", ("parsing and recovery: 65 levels",))
BOM = Finding(
    OURS,
    "A leading BOM is an error. (RFC 8259, 8.1 lets a parser do so.)",
    ("parsing and recovery: a leading BOM",),
)
NULL_PARAMS = Finding(
    OURS,
    "`params: null` is an error. (JSON-RPC 2.0, 4.2 knows objects and arrays alone.)",
    ("unknown members: params null*",),
)
MANY = Finding(OURS, "A batch has no limit of 256 entries.", ("batches: more than 256 entries",))
DIALECT = Finding(
    OURS,
    'A message without `"jsonrpc":"2.0"` is answered with -32600.',
    ("answers: a message without jsonrpc*",),
)
NO_ID = Finding(
    OURS,
    "An invalid request is answered with id null, also where its own id can be read.",
    ("envelope: *",),
)
BOTH = Finding(
    OURS,
    "What is a request and a response at once is run.",
    ("envelope: a call that is a response as well",),
)
REFUSED = Finding(
    OURS,
    "Responses, and notifications that are wrong otherwise, are answered with -32600, as JSON-RPC "
    "2.0 does with what is no request.",
    ("notifications: *",),
)
HTTP = Finding(
    OURS,
    "HTTP's statuses tell less: 200 for errors, 200 or 204 for notifications; other verbs, content "
    "types, packed and too large bodies have no statuses of their own, or others. There are no "
    "events.",
    ("HTTP: *",),
)
