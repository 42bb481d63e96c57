"""Clients as the tests make them."""

import sys
from types import ModuleType
from typing import Any

import msgspec

from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.generate.python import write_python
from jsonrpc_iot.generate.typescript import write_typescript

HEADER = "Made by jsonrpc-iot 1.0 from lamp"

Document = dict[str, Any]


def document(*methods: Document, **members: Any) -> Document:
    """A document with these methods."""
    info = {"title": "Lamp", "version": "1"}
    return {"openrpc": "1.3.2", "info": info, "methods": list(methods), **members}


def method(name: str, result: object = None, **members: Any) -> Document:
    """A method that gives what a schema describes."""
    return {"name": name, "result": {"name": "result", "schema": result}, **members}


def param(name: str, schema: object = None, *, required: bool = True, **members: Any) -> Document:
    """A parameter."""
    return {"name": name, "schema": schema or {}, "required": required, **members}


def event(name: str, schema: object) -> Document:
    """A notification that the device emits."""
    return {"name": name, "direction": "emitted", "schema": schema}


def python(document: object, service: str | None = "Lamp", prefix: str = "", **options: Any) -> str:
    """The client in Python."""
    plain = msgspec.json.decode(msgspec.json.encode(document))
    return write_python(read_document(plain, prefix), HEADER, service, prefix, **options)


def typescript(document: object, service: str | None = "Lamp", prefix: str = "") -> str:
    """The client in TypeScript, without the part that is the same for all."""
    plain = msgspec.json.decode(msgspec.json.encode(document))
    whole = write_typescript(read_document(plain, prefix), HEADER, service, prefix)
    return whole.partition("// From here on")[0]


def loaded(source: str, name: str = "made_client") -> ModuleType:
    """A module of that source; those before it go on with what they have."""
    module = ModuleType(name)
    sys.modules[name] = module  # where msgspec looks for what annotations mean
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module
