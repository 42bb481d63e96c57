"""Subjects and patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.novacloud.bus.local import LocalBus
from jsonrpc_iot.novacloud.bus.subjects import check_pattern, check_subject, fits, subject

WRONG = ["", "a..b", ".a", "a.", "a b", "*", "a.>", "ä", "a\n", "a\r\nPUB b 0\r\n\r\n", "a" * 600]
WRONG_PATTERNS = ["", "a..b", "a.>.b", "a*", ">a", "a b", "a\n", "ä", "a." * 300 + "a"]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_subject_is_refused(wrong: str) -> None:
    bus = LocalBus()
    with pytest.raises(ValueError, match="is no subject"):
        bus.publish(wrong)
    assert bus.health().published == 0


@pytest.mark.parametrize("wrong", WRONG_PATTERNS)
def test_what_is_no_pattern_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        check_pattern(wrong)


NAMES = st.text(st.characters(), max_size=20) | st.text(min_size=100)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_any_names_make_a_subject_of_as_many_tokens(names: list[str]) -> None:
    made = subject(*names)

    check_subject(made)
    check_pattern(made)
    assert made.count(".") == len(names) - 1


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_other_names_make_other_subjects(names: list[str]) -> None:
    first, second = names

    assert subject("fence", first) != subject("fence", second)


TOKENS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4)


@given(TOKENS, st.lists(st.sampled_from("ab*"), max_size=4), st.booleans())
def test_patterns_fit_as_their_regular_expressions_do(
    tokens: list[str], pattern: list[str], is_open: bool
) -> None:
    pattern = pattern + [">"] * (is_open or not pattern)
    expression = r"\.".join({"*": "[^.]+", ">": ".+"}.get(each, each) for each in pattern)

    assert fits(tokens, pattern) == bool(re.fullmatch(expression, ".".join(tokens)))
