r"""Cuts a stream of bytes into JSON messages (rpc-protocol.md, section 3.1: stream framing).

The rules:

- Space, tab, CR and LF between messages are skipped.
- LF always ends a message: a JSON string cannot hold it. So a broken message costs one line.
- Without LF, an object or array ends when it is balanced: as many `}` as `{`, and as many `]` as
  `[`, not counting those in strings. `{"a":1}{"b":2}` is two messages.
- One that closes more than it opened is broken, and runs until its LF.
- Anything that begins with another byte (a scalar, a BOM, garbage) runs until its LF.
- No message is longer than the limit, counted from its first byte to its end, LF excluded.

Whatever the bytes, and wherever they are cut into pieces, they give the same messages or a
`FramingError`, nothing else. A message need not be JSON: that, and UTF-8, is for the codec to
check. Time-outs of unfinished messages, and what to answer, are for the channel and the peer.
"""

import re

import msgspec

from jsonrpc_iot.errors import FramingError, TooLarge

_WHITESPACE = b" \t\r"
_WHITESPACE_AND_LF = b" \t\r\n"

# The state of the scanner is the pattern of the bytes that matter next.
_BETWEEN = re.compile(rb"[^ \t\r\n]")
_NESTED = re.compile(rb'[\n"{}\[\]]')
_STRING = re.compile(rb'[\n"\\]')
_ESCAPE = re.compile(rb"[\x00-\xff]")
_LINE = re.compile(rb"\n")

_decode = msgspec.json.Decoder(msgspec.Raw).decode


class JsonSplitter:
    """Collects pieces of a byte stream and hands out the messages in it.

    The work is linear in the bytes, however they are cut, and at most `limit` bytes are kept.

    Args:
        limit: bytes of the longest message that is accepted, at least 1.
    """

    __slots__ = ("_awaited", "_braces", "_brackets", "_failure", "_limit", "_unfinished")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failure: FramingError | None = None
        self._begin()

    def _begin(self) -> None:
        self._unfinished = bytearray()
        self._awaited = _BETWEEN
        self._braces = 0
        self._brackets = 0

    @property
    def pending(self) -> bool:
        """Whether a message has begun and is unfinished."""
        return bool(self._unfinished)

    @property
    def failure(self) -> FramingError | None:
        """What ended the splitting: a message over the limit, after those already handed out.

        Look at it after each `feed`. Its `error` is what to answer: the `TooLarge` whose data holds
        the limit and, as size, how much of the message had been seen, both in bytes.
        """
        return self._failure

    def whole(self, data: bytes, most: int) -> list[bytes] | None:
        """The messages of a piece that holds a few whole ones and nothing else, as most do.

        Nothing is remembered of them: what is not used may be given to `feed`.

        Args:
            data: the piece.
            most: how many lines are few.

        Returns:
            The messages, one at least; else `None`.
        """
        if self._unfinished or self._failure is not None or len(data) > self._limit:
            return None
        messages = [data.strip(_WHITESPACE_AND_LF)]
        if b"\n" in messages[0]:
            if data.count(b"\n") > most:
                return None
            messages = [line for each in data.split(b"\n") if (line := each.strip(_WHITESPACE))]
        try:
            for message in messages:
                if message[:1] not in (b"{", b"["):
                    return None
                _decode(message)  # which proves that it is one value
        except (msgspec.DecodeError, RecursionError):
            return None
        return messages

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece of the stream.

        Returns:
            The messages that this piece completes, in order, without whitespace around them. Those
            before a message over the limit are among them; `failure` is set then.

        Raises:
            FramingError: an earlier piece held a message over the limit.
        """
        if self._failure is not None:
            raise self._failure
        messages: list[bytes] = []
        try:
            for at in range(0, len(data), self._limit):
                self._take(data[at : at + self._limit], messages)
        except FramingError as failure:
            self._begin()
            self._failure = failure.with_traceback(None)  # which would keep the piece alive
        return messages

    def close(self) -> bytes | None:
        """Take the end of the stream: returns the message that it cut off, or None."""
        rest = bytes(self._unfinished).rstrip(_WHITESPACE)
        self._begin()
        return rest or None

    def _take(self, data: bytes, messages: list[bytes]) -> None:
        """What `_scan` does, faster; `data` is not over the limit, so no line in it is."""
        *lines, rest = data.split(b"\n")
        if lines and self._unfinished:
            self._scan(lines.pop(0) + b"\n", messages)
        decode, append = _decode, messages.append
        for line in lines:
            if line := line.strip(_WHITESPACE):
                try:
                    decode(line)  # which proves that the line is one value
                except (msgspec.DecodeError, RecursionError):
                    self._scan(line + b"\n", messages)
                else:
                    append(line)
        if rest:
            self._scan(rest, messages)

    def _scan(self, data: bytes, messages: list[bytes]) -> None:
        start = at = 0
        while found := self._awaited.search(data, at):
            byte, at = found[0], found.end()
            if self._awaited is _BETWEEN:
                start = found.start()
                self._awaited = _LINE
                if byte in b"{[":
                    self._awaited = _NESTED
                    at = start
            elif byte == b"\n":
                messages.append(self._end(data[start : at - 1]))
            elif self._awaited is _ESCAPE:
                self._awaited = _STRING
            elif byte == b"\\":
                self._awaited = _ESCAPE
            elif byte == b'"':
                self._awaited = _STRING if self._awaited is _NESTED else _NESTED
            else:
                self._braces += (byte == b"{") - (byte == b"}")
                self._brackets += (byte == b"[") - (byte == b"]")
                if self._braces == self._brackets == 0:
                    messages.append(self._end(data[start:at]))
                elif self._braces < 0 or self._brackets < 0:
                    self._awaited = _LINE
        if self._awaited is not _BETWEEN:
            self._keep(data[start:])

    def _keep(self, part: bytes) -> None:
        size = len(self._unfinished) + len(part)
        if size > self._limit:
            raise FramingError(TooLarge(data={"size": size, "limit": self._limit}))
        self._unfinished += part

    def _end(self, part: bytes) -> bytes:
        self._keep(part)
        message = bytes(self._unfinished).rstrip(_WHITESPACE)
        self._begin()
        return message
