"""Strict JSON for MicroPython, whose `json` takes much that is none, such as `[1 2]` or `01`."""

import json


def loads(data):
    """The value of JSON in bytes. Raises ValueError for anything else, and for 65 levels."""
    return json.loads(check(data))


def dumps(value):
    """The shortest text of a value. Raises an exception of some kind for what is none of JSON's."""
    text = json.dumps(value, separators=(",", ":"))
    check(text.encode())  # it may hold `nan`, or `<object>`
    return text


def check(data):
    """Make sure that bytes are JSON: MicroPython's `json` takes much else, such as `[1 2]` or `01`.

    Returns them with surrogate pairs joined, which it does not do. Raises ValueError.
    """
    data = data[3:] if data[:3] == b"\xef\xbb\xbf" else data
    whole, plain, at, last = b"", b"", data.find(b"\\"), 0  # in `plain`, an escape is a `_`
    while at >= 0:
        size = 6 if data[at + 1 : at + 2] == b"u" else 2
        escape, code = data[at : at + size], _code(data, at) if size == 6 else 0
        if 0xD800 <= code < 0xE000:
            size, low = 12, _code(data, at + 6)
            if code > 0xDBFF or not 0xDC00 <= low < 0xE000:
                raise ValueError
            escape = chr(0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)).encode()
        elif size == 2 and escape[1:] not in b'"\\/bfnrt':
            raise ValueError
        whole, plain = whole + data[last:at] + escape, plain + data[last:at] + b"_"
        last = at + size
        at = data.find(b"\\", last)
    texts = (plain + data[last:]).split(b'"')
    for c in str(data, "utf-8") if max(data or b"0") > 127 else "":
        # MicroPython takes surrogates here, and longer forms than there need be.
        if 0xD7FF < ord(c) < 0xE000 or len(chr(ord(c)).encode()) != len(c.encode()):
            raise ValueError
    if not len(texts) % 2 or any(min(text or b"0") < 32 for text in texts[1::2]):
        raise ValueError
    _check_order(b'"'.join(texts[::2]) + b"\n")
    return whole + data[last:]


def _code(data, at):
    digits = data[at + 2 : at + 6]
    if data[at : at + 2] != b"\\u" or len(digits) < 4 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError
    return int(digits, 16)


def _check_order(plain):
    """Make sure of all but texts, of each of which one quote is here."""
    closing, start = [], 0  # what ends the arrays and objects that are open
    want = 0  # a value, 1: or `]`, 2: a key or `}`, 3: a key, 4: a colon, 5: a comma or an end
    for at, c in enumerate(plain):
        if c in b'"[]{},: \t\r\n':
            if at > start:
                if want > 1 or not _is_scalar(plain[start:at]):
                    raise ValueError
                want = 5
            start = at + 1
            if c == 34 and want < 4:
                want = 4 if want > 1 else 5
            elif closing and c == closing[-1] and want in (1, 2, 5):
                want = 5 if closing.pop() else 0
            elif c == 44 and want == 5 and closing:
                want = 3 if closing[-1] == 125 else 0
            elif c == 58 and want == 4:
                want = 0
            elif c in b"[{" and want < 2 and len(closing) < 64:
                closing.append(c + 2)
                want = 1 if c == 91 else 2
            elif c not in b" \t\r\n":
                raise ValueError
    if closing or want != 5:
        raise ValueError


def _is_scalar(word):
    mantissa, e, power = word.lower().partition(b"e")
    whole, point, fraction = mantissa.partition(b".")
    whole = whole[1:] if whole[:1] == b"-" else whole
    power = power[1:] if power[:1] in (b"+", b"-") else power
    is_number = whole.isdigit() and (whole[0] != 48 or len(whole) == 1)
    is_number = is_number and (fraction.isdigit() or not point) and (power.isdigit() or not e)
    is_number = is_number and (len(whole) <= 4300 or point or e)
    return is_number or word in (b"true", b"false", b"null")
