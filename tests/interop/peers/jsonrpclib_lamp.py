"""A lamp with jsonrpclib-pelix over HTTP; run by an interpreter that has it.

python jsonrpclib_lamp.py PORT
"""

import sys

from jsonrpclib.SimpleJSONRPCServer import SimpleJSONRPCServer


def get() -> int:
    return 40


if __name__ == "__main__":
    server = SimpleJSONRPCServer(("127.0.0.1", int(sys.argv[1])))
    server.register_function(get, "lamp.get")
    server.serve_forever()
