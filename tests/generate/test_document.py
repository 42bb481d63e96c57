"""Documents that no client can be made of are refused, with the place."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot import UsageError
from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.generate.model import Alias, Named, Plain

from .documents import schemas
from .made import document, event, loaded, method, param, python, typescript

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def chained(count: int, **last: object) -> dict[str, Any]:
    """Schemas that refer to the next one, twice."""

    def link(number: int) -> dict[str, Any]:
        other = {"$ref": f"#/x/s{number + 1}"}
        return {"type": "array", "items": [other, other], "minItems": 2, "maxItems": 2}

    return {**{f"s{number}": link(number) for number in range(count)}, f"s{count}": last}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ([], "#: an object is needed"),
        ({}, "#/methods: an array is needed"),
        ({"methods": {}}, "#/methods: an array"),
        (document(5), "#/methods/0: an object"),  # type: ignore[arg-type]
        (document({}), "#/methods/0/name: a text that is not empty"),
        (document(method("")), "#/methods/0/name: a text that is not empty"),
        (document(method("a"), method("a")), "#/methods/1/name: the name 'a' has been there"),
        (document(method("a", params={})), "#/methods/0/params: an array"),
        (document(method("a", params=[{}])), "#/methods/0/params/0/name: a text"),
        (document(method("a", params=[param("x"), param("x")])), "#/methods/0/params/1/name: the"),
        (document(method("a", 5)), "#/methods/0/result/schema: an object is needed"),
        (document({"$ref": "#/methods/0"}), "references lead in a circle"),
        (document(method("a", {"$ref": "other.json"})), "schema: the reference 'other.json' leads"),
        (document(method("a", {"$ref": "#/x/y"})), "leads nowhere"),
        (document(method("a", {"$ref": 5})), "leads out of the document"),
        (document(method("a", {"type": "object", "properties": [1]})), "properties: an object is"),
        (document(method("a", nested(70))), "more than 60 deep"),
        (
            document(method("a", {"$ref": "#/x/s0"}), x=chained(12)),
            "#/x/s3: written out it is more",
        ),
        (document(method("a", {"$ref": "#/x/s0"}), x=chained(9000)), "more than 60 deep"),
        (document(**{"x-notifications": [event("a", {"allOf": [5]})]}), "allOf/0: an object"),
    ],
)
def test_it_is_refused(broken: Any, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        python(broken)

    assert reason in str(caught.value)


def test_objects_in_a_long_chain_are_refused() -> None:
    """Programs that walk types, msgspec among them, would not come to an end of them."""
    links = {
        f"s{number}": {"properties": {"next": {"$ref": f"#/x/s{number + 1}"}}}
        for number in range(500)
    }
    backwards = [method(f"m{number}", {"$ref": f"#/x/s{number}"}) for number in range(499, -1, -1)]

    with pytest.raises(UsageError, match="more than 60 deep"):
        python(document(*backwards, x={**links, "s500": OBJECT}))


def test_all_of_doubled_again_and_again_is_refused_at_once() -> None:
    doubled = {f"s{n}": {"allOf": [{"$ref": f"#/x/s{n + 1}"}] * 2} for n in range(40)}

    with pytest.raises(UsageError, match="made of too many schemas"):
        python(document(method("a", {"$ref": "#/x/s0"}), x={**doubled, "s40": OBJECT}))


def test_types_within_the_limits_work() -> None:
    source = python(
        document(method("a", nested(50)), method("b", {"$ref": "#/x/s0"}), x=chained(7))
    )

    assert "class Lamp(ABC)" in source
    loaded(source)


def test_the_protocols_own_names_and_those_of_other_services_are_left_out() -> None:
    whole = document(method("rpc.ping"), method("a.b", OBJECT), method("ab.c"), method("a.b.c"))

    assert [each.name for each in read_document(whole).methods] == ["a.b", "ab.c", "a.b.c"]
    assert [each.name for each in read_document(whole, "a").methods] == ["a.b", "a.b.c"]
    assert read_document(whole, "ab").definitions == {}
    with pytest.raises(UsageError, match=r"called x\.…"):
        read_document(whole, "x")
    with pytest.raises(UsageError, match=r"nothing follows 'a\.'"):
        read_document(document(method("a.")), "a")


def test_references_lead_anywhere_in_the_document() -> None:
    whole = document(
        {"$ref": "#/parts/a~1b/0"},
        method("b", {"$ref": "#/methods/2/params/0/schema"}),
        method("c", params=[{"$ref": "#/parts/param"}, param("y", OBJECT)]),
        parts={"a/b": [method("a", {"$ref": "#/parts/alias"})], "alias": {"$ref": "#/parts/x"}},
    )
    whole["parts"] |= {"x": {"type": "integer"}, "param": param("x", OBJECT)}
    whole["methods"][2]["params"].reverse()

    description = read_document(whole)

    first, second, third = description.methods
    assert first.result == Named("#/parts/alias")
    assert description.definitions["#/parts/alias"] == Alias("alias", "", Named("#/parts/x"))
    assert description.definitions["#/parts/x"] == Alias("x", "", Plain.INTEGER)
    assert second.result == third.params[0].kind
    assert [each.name for each in third.params] == ["y", "x"]


def test_what_is_wrong_but_not_needed_is_left_out() -> None:
    odd = {"x-timeout": "x", "errors": 5, "deprecated": "yes", "summary": [], "x-stream": 1}
    whole = {**document(method("a", **odd)), "info": 5, "x-notifications": None}

    (only,) = read_document(whole).methods

    assert (only.timeout, only.errors, only.deprecated, only.streams) == (None, (), False, False)


def test_documents_of_a_megabyte() -> None:
    field = {"type": "integer", "description": "x" * 50}
    fields = {f"field {number}": field for number in range(40)}
    methods = [
        method(
            f"m.{number}",
            {"type": "object", "properties": fields},
            params=[param("from", {"$ref": f"#/methods/{number // 2}/result/schema"})],
        )
        for number in range(300)
    ]
    whole = document(*methods)

    assert len(msgspec.json.encode(whole)) > 1_000_000
    assert python(whole).count("async def m_") == 300
    assert typescript(whole).count("Promise<") == 300


def test_thousands_of_names_that_are_alike() -> None:
    methods = [method(f"名{number * '-'}") for number in range(3000)]

    assert python(document(*methods)).count("async def ") == 3000


@given(st.dictionaries(st.sampled_from(["type", "items", "properties", "enum", "$ref"]), schemas))
def test_any_schema_is_read_or_refused(schema: Any) -> None:
    with suppress(UsageError):
        loaded(python(document(method("a", schema))))
