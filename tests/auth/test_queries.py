"""Queries of LDAP directories, evaluated over a small directory in memory."""

from __future__ import annotations

import pytest

from amqpd.auth.queries import active_directory, escape_dn, evaluate, fill, parse

VARIABLES = {
    "username": "al.ice",
    "user_dn": "uid=alice,ou=people",
    "vhost": "v",
    "resource": "queue",
    "name": "orders,x",
    "permission": "read",
}
ENTRIES: dict[str, dict[str, list[str]]] = {
    "uid=alice,ou=people": {"team": ["shop", "^orders"], "quota": ["al.ice"]},
    "cn=staff,ou=groups": {"member": ["uid=alice,ou=people"], "memberUid": ["alice"]},
    "cn=all,ou=groups": {"member": ["cn=staff,ou=groups"]},
    "cn=ring,ou=groups": {"member": ["cn=ring2,ou=groups"]},
    "cn=ring2,ou=groups": {"member": ["cn=ring,ou=groups"]},
    "ou=v,ou=vhosts": {},
    "cn=orders\\2cx,ou=queues": {},
}


class Memory:
    """The directory; counts how deep groups were searched."""

    def exists(self, dn: str) -> bool:
        return dn in ENTRIES

    def has_value(self, dn: str, attribute: str, value: str) -> bool:
        return value in ENTRIES.get(dn, {}).get(attribute, [])

    def values(self, dn: str, attribute: str) -> list[str]:
        return ENTRIES.get(dn, {}).get(attribute, [])

    def groups_of(self, attribute: str, member: str, *, deep: bool) -> list[str]:
        return [dn for dn, one in ENTRIES.items() if deep and member in one.get(attribute, [])]


def says(query: str, **more: str) -> bool:
    return evaluate(parse(query), {**VARIABLES, **more}, Memory())


@pytest.mark.parametrize(
    "query",
    [
        "{constant, true}",
        "{'not', {constant, false}}.",
        "{'and', [{constant, true}, {constant, true}]}",
        "{'and', []}",
        "{'or', [{constant, false}, {constant, true}]}",
        '{exists, "ou=${vhost},ou=vhosts"}',
        '{exists, "cn=${name},ou=queues"}',
        '{in_group, "cn=staff,ou=groups"}',
        '{in_group, "cn=staff,ou=groups", "member"}',
        '{in_group_nested, "cn=all,ou=groups"}',
        '{in_group_nested, "cn=ALL,ou=groups", "member", subtree}',
        '{equals, "${username}", "al.ice"}',
        '{equals, {string, "shop"}, {attribute, "${user_dn}", "team"}}',
        '{equals, {attribute, "${user_dn}", "quota"}, "${username}"}',
        '{match, "${username}", "^al"}',
        '{match, {string, "${name}"}, {attribute, "${user_dn}", "team"}}',
        '{match, {attribute, "${user_dn}", "team"}, {string, "^sh"}}',
        "{for, [{resource, exchange, {constant, false}}, {resource, queue, {constant, true}}]}",
        '{for, [{permission, "read", {constant, true}}]}',
    ],
)
def test_these_say_yes(query: str) -> None:
    assert says(query)


@pytest.mark.parametrize(
    "query",
    [
        "{constant, false}",
        "{'or', []}",
        '{exists, "ou=w,ou=vhosts"}',
        '{in_group, "cn=all,ou=groups"}',
        '{in_group, "cn=none,ou=groups"}',
        '{in_group_nested, "cn=ring,ou=groups"}',
        '{in_group_nested, "cn=all,ou=groups", "member", onelevel}',
        '{equals, "${username}", "bob"}',
        '{equals, "${unknown}", ""}',
        '{match, "alXice", "^${username}$"}',
        '{match, "x", "("}',
        '{match, "${username}", {attribute, "cn=none", "team"}}',
        "{for, [{resource, exchange, {constant, true}}]}",
        "{for, []}",
    ],
)
def test_these_say_no(query: str) -> None:
    assert not says(query)


def test_nobody_is_in_the_group_that_it_is_itself() -> None:
    assert not says('{in_group_nested, "cn=staff,ou=groups"}', user_dn="cn=staff,ou=groups")


def test_groups_in_a_ring_come_to_an_end() -> None:
    assert not says('{in_group_nested, "cn=staff,ou=groups"}', user_dn="cn=ring,ou=groups")


@pytest.mark.parametrize(
    "query",
    [
        "", "{", "true", "{constant, maybe}", "{unknown, 1}", '{exists, "a", "b"}', "{exists, 1}",
        "{'not', 1}", "{'and', {constant, true}}", "{for, [{a, b}]}", "{for, [{a, b, 1}]}",
        '{equals, "a"}', '{match, "a", 1}', '{match, "a", {attribute, "b"}}',
    ],
)  # fmt: skip
def test_what_is_no_query_is_told_when_it_is_read(query: str) -> None:
    with pytest.raises(ValueError, match=r"term|query|branch|text"):
        parse(query)


# -- variables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("alice", "alice"),
        ("a.b-c_d@e", "a.b-c_d@e"),
        ("a,cn=admin", "a\\2ccn\\3dadmin"),
        ('a+b"c\\d<e>f;g#h', "a\\2bb\\22c\\5cd\\3ce\\3ef\\3bg\\23h"),
        (" a ", "\\20a\\20"),
        ("a\0b", "a\\00b"),
        ("é", "é"),
    ],
)
def test_a_value_in_a_dn_is_never_more_than_a_value(text: str, escaped: str) -> None:
    assert escape_dn(text) == escaped


def test_what_is_put_in_is_not_looked_at_again() -> None:
    assert fill("${a}${b}", {"a": "${b}", "b": "x"}, str) == "${b}x"


def test_a_name_in_a_pattern_stands_for_itself() -> None:
    for name in (".*", "a-z", "[", "\\E", "(a|b)"):
        assert not says('{match, "abz", {string, "^${username}$"}}', username=name)
        assert says('{match, "${username}", {string, "^${username}$"}}', username=name)


def test_a_windows_name_has_two_parts() -> None:
    assert active_directory("CORP\\alice") == {"ad_domain": "CORP", "ad_user": "alice"}
    assert active_directory("alice") == {}
    assert active_directory("A\\B\\c") == {}
    assert active_directory("\\alice") == {}


@pytest.mark.parametrize("is_ring", [False, True])
def test_each_group_is_asked_for_once_however_many_lead_to_it(is_ring: bool) -> None:
    # Six layers of ten groups: all of one are in all of the next, and perhaps of the first again.
    asked: list[str] = []

    class Layers(Memory):
        """Groups in groups, by many ways."""

        def groups_of(self, attribute: str, member: str, *, deep: bool) -> list[str]:
            asked.append(member)
            layer = int(member[3]) + 1 if member.startswith("cn=") else 0
            layer = layer % 6 if is_ring else layer
            return [f"cn={layer}-{number}" for number in range(10)] if layer < 6 else []

    query = parse('{in_group_nested, "cn=none"}')

    assert not evaluate(query, {"username": "u", "user_dn": "uid=u"}, Layers())
    assert len(asked) == len(set(asked)) == 61
