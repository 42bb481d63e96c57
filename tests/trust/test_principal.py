"""Principals, permissions that include others, and who somebody is at the moment."""

import pytest

from jsonrpc_iot import Permission, Principal, Unauthorized
from jsonrpc_iot.trust.principal import EVERYTHING, Standing

ADMIN = Permission("nova:admin")
READ = Permission("nova:read", included_in=[ADMIN])


@pytest.mark.parametrize(
    ("permissions", "may", "may_not"),
    [
        ([], [None], ["a", "*", READ]),
        ({"a"}, [None, "a"], ["b", "*", READ, ADMIN]),
        ({"*"}, [None, "a", READ, ADMIN], []),
        (EVERYTHING, [None, "a", READ], []),
        (["nova:admin"], [READ, ADMIN], ["a"]),
        (["nova:read"], [READ, "nova:read"], [ADMIN, "nova:admin"]),
    ],
    ids=str,
)
def test_what_a_principal_may_do(
    permissions: list[str], may: list[str | None], may_not: list[str]
) -> None:
    principal = Principal("app", permissions)
    assert [each for each in may if not principal.permits(each)] == []
    assert [each for each in may_not if principal.permits(each)] == []


def test_permissions_are_no_text() -> None:
    with pytest.raises(TypeError):
        Principal("app", "abc")


def test_a_permission_is_its_name() -> None:
    assert READ == "nova:read"
    assert READ.included_in == ("nova:admin",)


def test_who_has_proved_who_it_is_shares_by_its_name() -> None:
    assert Principal("10.0.0.1", (), "key").share_of("10.0.0.1") == "=10.0.0.1"
    assert Principal("10.0.0.1", (), "hook").share_of("10.0.0.1") == "10.0.0.1"
    assert Standing().share_of("10.0.0.1") == "10.0.0.1"
    assert Standing(Principal("app", (), "token")).share_of("") == "=app"


def test_a_stranger_becomes_somebody() -> None:
    standing = Standing(refusal=Unauthorized())
    assert not standing.hears(None)
    standing.become(Principal("app", {"a"}))
    assert standing.refusal is None
    assert standing.hears("a")
    assert not standing.hears("b")
