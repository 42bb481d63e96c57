"""Foreign peers, and what is wrong with each, by the section of JSON-RPC 2.0 that asks for it.

Whatever is here was held against the specification first: https://www.jsonrpc.org/specification.
"""

import os
from typing import Final

from .findings import (
    BATCH,
    BOM,
    BOOLEAN_ID,
    BOTH,
    DEPTH,
    DIALECT,
    ERRORS,
    EXTENDED,
    HTTP,
    IDS,
    INFINITE_ID,
    MANY,
    NO_ID,
    NOT_ALONE,
    NOTES,
    NULL_ID,
    NULL_PARAMS,
    REFUSED,
    ROUNDED,
)
from .peer import OURS, Finding, Peer, program

PYTHON: Final = os.environ.get("PEERS_PYTHON", "")
"""The interpreter that has the peers of Python."""

NODE: Final = os.environ.get("PEERS_NODE", "")
"""The folder with a Node, and the peers that it runs."""

PJRPC = Peer(
    name="pjrpc",
    version="2.2.0",
    link="https://github.com/dapper91/pjrpc",
    about="its integration with aiohttp, over HTTP",
    serve=program([PYTHON, "pjrpc_lamp.py", "PORT"], "http://127.0.0.1:PORT/rpc"),
    findings=(
        NULL_ID,
        BOOLEAN_ID,
        Finding(
            IDS,
            "Ids with a fraction or an exponent are refused. (The specification discourages "
            "fractions.)",
            (
                "ids: fraction",
                "ids: float-one",
                "ids: exponent",
                "ids: capital-exponent",
                "ids: tiny",
                "ids: largest-double",
                "ids: minus-zero-float",
                "ids: long-fraction",
            ),
        ),
        Finding(
            BATCH,
            "A batch of notifications alone is answered with `[]`, not with nothing.",
            ("batches: notifications alone",),
        ),
        NOT_ALONE,
        Finding(
            ERRORS,
            "What is no UTF-8, or has an integer of over 4,300 digits, is answered with status 400 "
            "and no error object.",
            (
                "parsing and recovery: bytes that are no text",
                "parsing and recovery: utf8-*",
                "parsing and recovery: 4301*",
                "parsing and recovery: minus-4301*",
                "parsing and recovery: 10000*",
            ),
        ),
        EXTENDED,
        DEPTH,
        BOM,
        NULL_PARAMS,
        DIALECT,
        BOTH,
        NO_ID,
        REFUSED,
        HTTP,
    ),
)

JSONRPCSERVER = Peer(
    name="jsonrpcserver",
    version="5.0.9",
    link="https://github.com/explodinglabs/jsonrpcserver",
    about="its `serve`, a server of HTTP for development",
    serve=program([PYTHON, "jsonrpcserver_lamp.py", "PORT"], "http://127.0.0.1:PORT/"),
    findings=(
        NOT_ALONE,
        Finding(
            ERRORS,
            "What is no UTF-8 gets no answer at all: `serve` fails, and the connection ends.",
            ("parsing and recovery: bytes that are no text", "parsing and recovery: utf8-*"),
        ),
        INFINITE_ID,
        Finding(
            OURS,
            "A member that it does not know makes a request invalid, and `params: null` does.",
            ("unknown members: *",),
        ),
        EXTENDED,
        DEPTH,
        BOM,
        DIALECT,
        NO_ID,
        REFUSED,
        HTTP,
    ),
)

PELIX = Peer(
    name="jsonrpclib-pelix",
    version="1.2.0",
    link="https://github.com/tcalmant/jsonrpclib",
    about="its `SimpleJSONRPCServer`, over HTTP",
    serve=program([PYTHON, "jsonrpclib_lamp.py", "PORT"], "http://127.0.0.1:PORT/"),
    findings=(
        Finding(
            IDS,
            'Requests with the ids null and `""` are taken for notifications, and not answered. '
            "(The specification discourages null.)",
            ("ids: null", "ids: empty"),
        ),
        Finding(
            IDS,
            "Ids of true, false, arrays and objects are taken and echoed.",
            (
                "ids: refused: true",
                "ids: refused: false",
                "ids: refused: array*",
                "ids: refused: object*",
            ),
        ),
        INFINITE_ID,
        Finding(
            ERRORS,
            "What is no UTF-8 is answered with -32603, not with -32700.",
            ("parsing and recovery: bytes that are no text", "parsing and recovery: utf8-*"),
        ),
        Finding(
            NOTES,
            'A notification whose method is `""` is answered.',
            ("notifications: of an empty name",),
        ),
        Finding(
            "JSON-RPC 2.0, 4 (jsonrpc)",
            'A request is run whatever its member `jsonrpc` is, also `"3.0"` or `{}`.',
            ("envelope: jsonrpc *",),
        ),
        EXTENDED,
        DEPTH,
        BOM,
        NULL_PARAMS,
        MANY,
        Finding(
            OURS,
            'A message without `"jsonrpc":"2.0"` is taken for JSON-RPC 1.0, and answered so.',
            ("answers: a message without jsonrpc*",),
        ),
        BOTH,
        REFUSED,
        HTTP,
    ),
)

_JAYSON = "https://github.com/tedeh/jayson"
_JAYSON_ALIKE = (
    NULL_ID,
    ROUNDED,
    Finding(
        BATCH,
        "A batch in a batch is run, instead of being an entry that is no request.",
        ("batches: a batch in a batch",),
    ),
)
_JAYSON_OURS = (
    Finding(
        OURS,
        "Lone surrogates, what is no UTF-8, and integers of any length are read.",
        (
            "parsing and recovery: utf8-*",
            "parsing and recovery: lone-*",
            "parsing and recovery: surrogate*",
            "parsing and recovery: two-high*",
            "parsing and recovery: high-*",
            "parsing and recovery: capital-surrogate*",
            "parsing and recovery: 4301*",
            "parsing and recovery: minus-4301*",
            "parsing and recovery: 10000*",
        ),
    ),
    Finding(
        OURS,
        'The text `"x"` is answered with -32700. (RFC 4627, which the specification names, has no '
        "texts alone.)",
        ('parsing and recovery: the scalar "x"',),
    ),
    DEPTH,
    NULL_PARAMS,
    MANY,
    DIALECT,
    BOTH,
    NO_ID,
    REFUSED,
)

JAYSON_HTTP = Peer(
    name="jayson, HTTP",
    version="5.0.0",
    link=_JAYSON,
    about="its server of HTTP",
    serve=program(
        [f"{NODE}/node_modules/.bin/node", "jayson_lamp.js", "http", "PORT"],
        "http://127.0.0.1:PORT/",
        NODE_PATH=f"{NODE}/node_modules",
    ),
    findings=(
        *_JAYSON_ALIKE,
        *_JAYSON_OURS,
        Finding(
            ERRORS,
            "What is no JSON is answered with status 400 and a text, not with an error of -32700.",
            ("parsing and recovery: *", "batches: broken", "HTTP: no JSON"),
        ),
        HTTP,
    ),
)

JAYSON_TCP = Peer(
    name="jayson, TCP",
    version="5.0.0",
    link=_JAYSON,
    about="its server of TCP",
    serve=program(
        [f"{NODE}/node_modules/.bin/node", "jayson_lamp.js", "tcp", "PORT"],
        "tcp://127.0.0.1:PORT",
        NODE_PATH=f"{NODE}/node_modules",
    ),
    findings=(
        *_JAYSON_ALIKE,
        Finding(
            OURS,
            "After a message that ends within a text the connection says nothing any more, as a "
            "newline does not end it. (JSON-RPC 2.0 says nothing of links.)",
            (
                "parsing and recovery: goes on after: truncated in a text",
                "parsing and recovery: truncated in a text",
            ),
        ),
        *_JAYSON_OURS,
        Finding(
            OURS,
            "What is no JSON is answered with -32700, and then the connection ends.",
            ("parsing and recovery: *", "batches: broken"),
        ),
        Finding(
            OURS,
            "A message ends with its newline and with nothing else, and empty lines are none.",
            ("framing: *",),
        ),
    ),
)

AIORPCX = Peer(
    name="aiorpcX",
    version="0.25.0",
    link="https://github.com/kyuupichan/aiorpcX",
    about="its server of TCP, one message a line",
    serve=program([PYTHON, "aiorpcx_lamp.py", "PORT"], "tcp://127.0.0.1:PORT"),
    findings=(
        NULL_ID,
        BOOLEAN_ID,
        INFINITE_ID,
        Finding(
            ERRORS,
            "An object without `method` is not answered: it is taken for a response.",
            ("envelope: method absent", "envelope: an empty object"),
        ),
        Finding(
            "JSON-RPC 2.0, 5.1 and 7",
            "A method that is no text is answered with -32601, and params that are a text or a "
            "number with -32602, not with -32600.",
            ("envelope: method *", "envelope: params *"),
        ),
        Finding(
            ERRORS,
            "What has no id, and a number as params, is answered with -32602: it is a "
            "notification, which nobody answers, or no request, which is -32600.",
            ("notifications: with params 5",),
        ),
        Finding(
            OURS,
            "After a message with an integer of over 4,300 digits the connection says nothing any "
            "more.",
            (
                "parsing and recovery: 4301*",
                "parsing and recovery: minus-4301*",
                "parsing and recovery: 10000*",
            ),
        ),
        EXTENDED,
        DEPTH,
        BOM,
        NULL_PARAMS,
        MANY,
        DIALECT,
        BOTH,
        Finding(
            OURS,
            'A notification whose `jsonrpc` is `"1.0"` is answered with -32600.',
            ("notifications: with a bad version",),
        ),
        Finding(
            OURS,
            "A message ends with its newline and with nothing else, and empty lines are errors.",
            ("framing: *",),
        ),
    ),
)

FOREIGN: Final = (PJRPC, JSONRPCSERVER, PELIX, JAYSON_HTTP, JAYSON_TCP, AIORPCX)


def runs() -> bool:
    """Whether what runs a peer is installed, and is to be run."""
    return bool(PYTHON and NODE)
