"""A lamp with jsonrpcserver and its own server of HTTP; run by an interpreter that has it.

python jsonrpcserver_lamp.py PORT
"""

import sys

from jsonrpcserver import Result, Success, method, serve


@method(name="lamp.get")
def get() -> Result:
    return Success(40)


serve("127.0.0.1", int(sys.argv[1]))
