"""What the tests of documents share."""

import pytest
from jsonschema import Draft7Validator

from .meta_schema import load_validator


@pytest.fixture(scope="session")
def validator(request: pytest.FixtureRequest) -> Draft7Validator:
    """Validates OpenRPC documents by the official meta-schema."""
    cache = request.config.cache
    assert cache is not None
    return load_validator(cache.mkdir("openrpc-meta-schema"))
