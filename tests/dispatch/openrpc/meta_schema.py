"""The official meta-schema of OpenRPC, which is published as an npm package."""

import json
import tarfile
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.npm import Package, archive_of

OPENRPC = Package(
    "@open-rpc/meta-schema",
    "1.14.9",
    "2/CbDzOVpcaSnMs28TsRv8MKJwJi0TTYFlQ6q6qobAH26oIuhYgcZooKf4l71emgntU6MMcFQCA0h4mJ4dBCdA==",
)
JSON_SCHEMA = Package(
    "@json-schema-tools/meta-schema",
    "1.8.0",
    "pbRAbHidPTf96LhmHXA6bl4D4tz4HrwjZ7A5ConcLFPdCj+93GhsCCFsq+AWti4VOs+9QTezX5l0zLNA+TZv1g==",
)


def load_validator(cache: Path) -> Draft7Validator:
    """Make a validator of documents.

    Args:
        cache: a folder that keeps what is fetched.
    """
    openrpc = _schema(OPENRPC, "package/index.js", cache)
    json_schema = _schema(JSON_SCHEMA, "package/schema.json", cache)
    resource = DRAFT7.create_resource(json_schema)
    # They refer to it with and without the slash.
    registry: Registry[Any] = Registry().with_resources(
        [(address, resource) for address in (json_schema["$id"], json_schema["$id"].rstrip("/"))]
    )
    return Draft7Validator(openrpc, registry=registry)


def _schema(package: Package, name: str, cache: Path) -> dict[str, Any]:
    with tarfile.open(archive_of(package, cache)) as archive:
        member = archive.extractfile(name)
        assert member is not None
        text = member.read().decode()
    # The last thing in a module is the schema, assigned to a name.
    begin = 0 if name.endswith(".json") else text.rindex(" = {") + len(" = ")
    schema: dict[str, Any]
    schema, _ = json.JSONDecoder().raw_decode(text, begin)
    return schema
