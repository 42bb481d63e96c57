"""Docstrings in Google's style, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.dispatch.openrpc.docstrings import Docstring, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Docstring("", "", {}, "")),
        ("Do it.", Docstring("Do it.", "", {}, "")),
        ("Do\nit.\n\nOr\nnot.", Docstring("Do it.", "Or\nnot.", {}, "")),
        ("Do it.\n\nNote: maybe.", Docstring("Do it.", "Note: maybe.", {}, "")),
        ("Args:\n    a: one", Docstring("", "", {"a": "one"}, "")),
        ("Do.\n\nArgs:\n  a, b: both\n", Docstring("Do.", "", {"a": "both", "b": "both"}, "")),
        (
            "Do.\n\nArgs:\n  *a: all\n  **b: more",
            Docstring("Do.", "", {"a": "all", "b": "more"}, ""),
        ),
        ("Do.\n\nArgs:\n  a (list[int], optional): x", Docstring("Do.", "", {"a": "x"}, "")),
        (
            "Do.\n\nArgs:\n  a: x: y\n\n      z\n  b: c",
            Docstring("Do.", "", {"a": "x: y z", "b": "c"}, ""),
        ),
        ("Do.\n\nArgs:\n  a:\n    later", Docstring("Do.", "", {"a": "later"}, "")),
        ("Do.\n\nArgs:\n  no entry\n  a: x", Docstring("Do.", "", {"a": "x"}, "")),
        ("Do.\n\nArgs:\n\nMore.", Docstring("Do.", "More.", {}, "")),
        ("Do.\n\nReturns:\n  one\n  line", Docstring("Do.", "", {}, "one line")),
        ("Do.\n\nYields:\n  each", Docstring("Do.", "", {}, "each")),
        ("Do.\n\nRaises:\n  E: why\n\nMore.\n\nReturns:\n  x", Docstring("Do.", "More.", {}, "x")),
    ],
)
def test_what_it_says(text: str, expected: Docstring) -> None:
    assert parse(text) == expected


LINES = ["Args:", "Returns:", "Raises:", "  a: b", "    c", "text", "", "  ", "\t", "a (b): c"]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=10)).map("\n".join))
def test_any_text_is_a_docstring(text: str) -> None:
    doc = parse(text)

    assert "\n" not in doc.summary + doc.returns + "".join(doc.args.values())
    assert all(doc.args)
