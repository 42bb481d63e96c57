"""Sentences of docs/protocol.md that the cases are about, and rows of its tables, with colons."""

from typing import Final

ANSWERED: Final = (
    'A request `{"id","method","params"}` is answered with `{"id","result"}` or `{"id","error"}`.'
)
AT_ONCE: Final = f"{ANSWERED} Responses come in any order."
NOT_THERE: Final = (
    "A method that is not there is -32601, and so is one that begins with `rpc.` and is not "
    "defined."
)
DIALECT: Final = 'A message with `"jsonrpc":"2.0"` is answered in kind, and so is one without it.'
VERSION: Final = 'Any value of `"jsonrpc"` but `"2.0"` is -32600.'
ID: Final = "A request is answered with an equal id, integers digit for digit."
BAD_ID: Final = (
    "An id that is `true`, `false`, an array, an object or a number that no double holds is "
    "-32600 with id null, and nothing runs."
)
INVALID: Final = (
    "An object whose `method` is missing or no text is -32600, with its id where that can be read "
    "and null otherwise."
)
BOTH: Final = "`method` together with `result` or `error` is -32600."
BAD_PARAMS: Final = "`params` that are neither object nor array nor null are -32600."
NO_PARAMS: Final = "`params` is optional, and null counts as absent."
WRONG_PARAMS: Final = (
    "Parameters of a wrong type, missing ones and too many are -32602, and `data` names the path "
    "(`$.level`)."
)
TWICE: Final = "Of equal keys the last one counts, also where the first had a bad value."
ESCAPED: Final = r'A key written with escapes (`"meth\u006fd"`) is that key'
SILENT: Final = "A notification is never answered, whatever else is wrong with it."
STRAY: Final = "A response to no open call is dropped, and never answered."
MEMBERS: Final = "Unknown members of a message are ignored."
BETWEEN: Final = "Space, tab, CR and (in packets) LF may stand between the parts of a message."

NO_JSON: Final = (
    "What is no JSON in strict UTF-8 is -32700 with id null, whatever is wrong besides, and the "
    "connection stays up."
)
EMPTY_PACKET: Final = "An empty packet is -32700."
BEHIND: Final = (
    "A packet with something behind its message is -32700, and nothing of it runs; on a stream the "
    "message runs and what follows is judged by itself."
)
SCALAR: Final = "A text, number, true, false or null alone is one -32600 with id null."
JSON: Final = "What is JSON is read: every escape, number and text that RFC 8259 has."
BOM: Final = "One leading BOM is skipped."
DEEP: Final = "Nesting deeper than 64 levels, the whole message counted, is -32700."

BATCH: Final = (
    "The requests of a batch are answered in one array, in any order; its notifications are not "
    "answered."
)
NOTHING: Final = "A batch without anything to answer is answered with nothing."
JUNK: Final = "What is no object in a batch is answered by a -32600 of its own, and the rest runs."
NESTED: Final = "A batch inside a batch is one -32600."
EMPTY: Final = "`[]` is one -32600 with id null, not in an array."
LONG: Final = f"{EMPTY} So is a batch of more than 256 messages."

JOINED: Final = (
    "A copy of a request that runs, or whose response has not left yet, is joined to it: nothing "
    "happens, and the one response is for both."
)
DOUBLED: Final = (
    "A copy within 0.5 s after the response has left is answered with the stored response: the "
    "packet was doubled."
)
MARKED: Final = (
    "A copy that is marked `retry: true` is answered with the stored response, up to 30 s after "
    "the end of the request."
)
TIMER: Final = "The client repeats what is not answered, the server runs each request at most once."
BUSY: Final = "-32004: busy: come again"
TOO_LARGE: Final = 'A request that does not fit is answered with -32001, `data: {"size","limit"}`.'
SENT: Final = (
    '"sent at most" is what this package sends unless it is told otherwise (`?max=`), and what a '
    "device should be able to take, or say otherwise in its manual."
)

PING: Final = "`rpc.ping` answers `true`."
METHODS: Final = "`rpc.methods()`: the names that the caller may call, sorted"
DISCOVER: Final = (
    '`rpc.discover({"method"?})`: the [OpenRPC](https://spec.open-rpc.org) document, whole or of '
    "one method"
)
CANCEL: Final = (
    '`rpc.cancel({"id"})`, a notification: ends the caller\'s running request of that id, which '
    "answers -32003; other ids are ignored"
)
SUBSCRIBE: Final = (
    "`rpc.subscribe([pattern…])`, `rpc.unsubscribe()`: from now on only notifications with these "
    "names come; `door.*` is all that begin so."
)
EXTENSIONS: Final = "`timeout`, `retry` and `stream` are members of a request."
BAD_TIMEOUT: Final = "`timeout` is a number above 0; anything else is -32600."
TIMEOUT: Final = (
    "`timeout`: seconds, > 0: the handler is stopped when they are over, and the answer is -32002"
)
CREDIT: Final = (
    "`seq` counts from 0. At most 8 items leave before the reader says more: "
    '`rpc.more({"id","upto"})` allows all items with a `seq` below `upto`, which only grows.'
)
COUNT: Final = (
    'After the last item the response is `{"count": n}`; an error ends the stream as well, after '
    "the items before it."
)

LINES: Final = (
    "On a stream a newline ends every message, finished or not, and an object or array ends where "
    "its brackets close."
)
BROKEN_LINE: Final = "a broken message costs one line"
SKIPPED: Final = "Space, tab, CR and newline between messages are skipped."

POST: Final = (
    "`POST /rpc`, `Content-Type: application/json`, a message as body: 200 and the reply; 202 "
    "without a body where there is none"
)
BAD_POST: Final = "400 with the error for a single -32700 or -32600"
STATUSES: Final = (
    "405 with `Allow`, 406 for a GET that accepts no events, 413 over the limit, 415 for other "
    "content types than `application/json`, `application/json-rpc`, `application/jsonrequest` and "
    "for packed bodies."
)
EVENTS: Final = (
    "`GET /rpc`, `Accept: text/event-stream`: 200 and notifications as events: `id: …` and "
    '`data: {"method",…}`; a comment every 15 s.'
)
PLACES: Final = (
    "`POST /rpc/METHOD`, params as body: the result alone, or the error object with 400, 401, 403, "
    "404 or 500"
)
READING: Final = (
    "`GET /rpc/METHOD?key=value`: the same, of methods that are idempotent and do not change "
    "anything"
)
DOCUMENT: Final = "`GET /rpc/openrpc.json`: the OpenRPC document"
