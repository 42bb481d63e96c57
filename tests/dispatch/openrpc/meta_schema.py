"""The official meta-schema of OpenRPC, which is published as an npm package."""

import base64
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests._system import lack, require_command

SECONDS = 45.0


class Package(NamedTuple):
    """A version of an npm package.

    Args:
        name: what it is called.
        version: which one.
        sha512: the digest of its archive, as npm writes it.
        member: the file in it that holds the schema.
    """

    name: str
    version: str
    sha512: str
    member: str


OPENRPC = Package(
    "@open-rpc/meta-schema",
    "1.14.9",
    "2/CbDzOVpcaSnMs28TsRv8MKJwJi0TTYFlQ6q6qobAH26oIuhYgcZooKf4l71emgntU6MMcFQCA0h4mJ4dBCdA==",
    "package/index.js",
)
JSON_SCHEMA = Package(
    "@json-schema-tools/meta-schema",
    "1.8.0",
    "pbRAbHidPTf96LhmHXA6bl4D4tz4HrwjZ7A5ConcLFPdCj+93GhsCCFsq+AWti4VOs+9QTezX5l0zLNA+TZv1g==",
    "package/schema.json",
)


def load_validator(cache: Path) -> Draft7Validator:
    """Make a validator of documents.

    Args:
        cache: a folder that keeps what is fetched.
    """
    openrpc, json_schema = (_schema(package, cache) for package in (OPENRPC, JSON_SCHEMA))
    resource = DRAFT7.create_resource(json_schema)
    # They refer to it with and without the slash.
    registry: Registry[Any] = Registry().with_resources(
        [(address, resource) for address in (json_schema["$id"], json_schema["$id"].rstrip("/"))]
    )
    return Draft7Validator(openrpc, registry=registry)


def _schema(package: Package, cache: Path) -> dict[str, Any]:
    with tarfile.open(_archive(package, cache)) as archive:
        member = archive.extractfile(package.member)
        assert member is not None
        text = member.read().decode()
    # The last thing in a module is the schema, assigned to a name.
    begin = 0 if package.member.endswith(".json") else text.rindex(" = {") + len(" = ")
    schema: dict[str, Any]
    schema, _ = json.JSONDecoder().raw_decode(text, begin)
    return schema


def _archive(package: Package, cache: Path) -> Path:
    """The package's archive, fetched once."""
    path = cache / f"{package.name.strip('@').replace('/', '-')}-{package.version}.tgz"
    if not path.exists():
        command = [require_command("npm"), "pack", f"{package.name}@{package.version}"]
        command += ["--silent", "--pack-destination", str(cache)]
        try:
            subprocess.run(command, cwd=cache, capture_output=True, timeout=SECONDS, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            lack(f"npm cannot fetch {package.name}")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != package.sha512:
        path.unlink()
        pytest.fail(f"{package.name} {package.version} is not what it was: sha512-{digest}")
    return path
