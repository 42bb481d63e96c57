"""A lamp with pjrpc over HTTP; run by an interpreter that has it.

python pjrpc_lamp.py PORT
"""

import sys

import pjrpc.server
from aiohttp import web
from pjrpc.server.integration import aiohttp

methods = pjrpc.server.MethodRegistry()


@methods.add("lamp.get")
def get() -> int:
    return 40


app = aiohttp.Application("/rpc")
app.add_methods(methods)
web.run_app(app.http_app, host="127.0.0.1", port=int(sys.argv[1]))
