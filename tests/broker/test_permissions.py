"""Permissions: who is let through, what the others are told, and when it is asked anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.access import Question, Verdict
from amqpd.broker.permissions import (
    REMEMBERED,
    Access,
    Permission,
    Permissions,
    TableRights,
    TopicPermission,
    User,
)
from amqpd.errors import AccessRefused, NotAllowed, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = User("alice", frozenset({"management"}), "hash", "rabbit_password_hashing_sha256")


def permissions(configure: str = "", write: str = "", read: str = "") -> Permissions:
    """Alice, with these rights in the vhost `v`."""
    made = Permissions()
    made.put_user(ALICE)
    made.put("alice", "v", Permission(configure, write, read))
    return made


def an_access(configure: str = "", write: str = "", read: str = "") -> Access:
    return permissions(configure, write, read).access(ALICE, "v")


def text_of(refused: Callable[[], None]) -> str:
    with pytest.raises(AccessRefused) as caught:
        refused()
    return caught.value.explanation


# -- users -------------------------------------------------------------------------------


def test_a_user_does_not_show_its_password_hash() -> None:
    assert "hash" not in repr(ALICE).replace("hashing", "")
    assert ALICE.has_tag("management")
    assert not ALICE.has_tag("administrator")


def test_a_user_has_at_most_32_tags() -> None:
    User("u", frozenset(map(str, range(32))))

    with pytest.raises(PreconditionFailed, match="user 'u': more than 32 tags"):
        User("u", frozenset(map(str, range(33))))


def test_users_are_put_replaced_listed_and_deleted() -> None:
    known = Permissions()
    known.put_user(User("b"))
    known.put_user(User("a"))
    known.put_user(ALICE)
    known.put_user(User("b", frozenset({"monitoring"})))

    assert [user.name for user in known.users()] == ["a", "alice", "b"]
    assert known.user("b") == User("b", frozenset({"monitoring"}))
    known.delete_user("b")
    known.delete_user("b")
    assert known.user("b") is None


# -- rights ------------------------------------------------------------------------------


def test_each_right_has_its_own_pattern() -> None:
    access = an_access(configure="^c", write="^w", read="^r")

    access.configure("queue", "c1")
    access.write("exchange", "w1")
    access.read("queue", "r1")
    for right in (access.write, access.read):
        with pytest.raises(AccessRefused):
            right("queue", "c1")


def test_patterns_are_not_anchored_unless_they_say_so() -> None:
    access = an_access(configure="orders")

    access.configure("queue", "my.orders.eu")


def test_an_empty_pattern_matches_nothing_but_the_empty_name() -> None:
    access = an_access()

    with pytest.raises(AccessRefused):
        access.read("queue", "q")
    access.read("queue", "")


@pytest.mark.parametrize("right", ["configure", "write", "read"])
@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_a_refusal_names_right_thing_vhost_and_user(right: str, kind: str) -> None:
    access = an_access()

    assert text_of(lambda: getattr(access, right)(kind, "x")) == (
        f"{right} access to {kind} 'x' in vhost 'v' refused for user 'alice'"
    )


def test_the_default_exchange_is_called_amq_default() -> None:
    an_access(write="^amq\\.default$").write("exchange", "")

    assert text_of(lambda: an_access().write("exchange", "")) == (
        "write access to exchange 'amq.default' in vhost 'v' refused for user 'alice'"
    )


@pytest.mark.parametrize(
    ("configure", "write", "read", "allowed"),
    [
        ("q", "", "", True),
        ("", "q", "", True),
        ("", "", "q", True),
        ("", "", "", False),
        ("x", "x", "x", False),
    ],
)
def test_looking_needs_any_right(configure: str, write: str, read: str, allowed: bool) -> None:
    access = an_access(configure, write, read)

    if allowed:
        access.any_of("queue", "q")
    else:
        assert text_of(lambda: access.any_of("queue", "q")) == (
            "configure access to queue 'q' in vhost 'v' refused for user 'alice'"
        )


def test_without_a_row_there_is_no_access() -> None:
    with pytest.raises(NotAllowed) as refused:
        permissions(".*", ".*", ".*").access(ALICE, "other")

    assert refused.value.explanation == "access to vhost 'other' refused for user 'alice'"


def test_a_pattern_that_cannot_be_matched_is_refused_when_it_is_set() -> None:
    for pattern in ("(", "a" * 1025, "(?<=a)b"):
        with pytest.raises(PreconditionFailed, match="pattern"):
            Permission(pattern, "", "")
        with pytest.raises(PreconditionFailed, match="pattern"):
            TopicPermission("", pattern)


# -- topics ------------------------------------------------------------------------------


def test_without_a_topic_permission_every_key_is_allowed() -> None:
    access = an_access()

    access.topic_write("x", "any.key")
    access.topic_read("x", "any.key")


def test_topic_permissions_are_about_one_exchange_and_one_direction() -> None:
    known = permissions()
    known.put_topic("alice", "v", "x", TopicPermission(write="^out\\.", read="^in\\."))
    access = known.access(ALICE, "v")

    for _ in range(2):
        access.topic_write("x", "out.1")
        access.topic_read("x", "in.1")
    access.topic_write("other", "in.1")
    assert text_of(lambda: access.topic_write("x", "in.1")) == (
        "write access to topic 'in.1' in exchange 'x' in vhost 'v' refused for user 'alice'"
    )
    assert text_of(lambda: access.topic_read("x", "out.1")) == (
        "read access to topic 'out.1' in exchange 'x' in vhost 'v' refused for user 'alice'"
    )


def test_an_empty_topic_pattern_allows_the_empty_key_only() -> None:
    topic = TopicPermission("", "")

    assert topic.allows("write", "", "u", "v")
    assert not topic.allows("write", "k", "u", "v")


def test_names_are_put_into_topic_patterns() -> None:
    topic = TopicPermission("^{vhost}\\.{username}\\.", ".*")

    assert topic.allows("write", "v.alice.key", "alice", "v")
    assert not topic.allows("write", "v.bob.key", "alice", "v")


@pytest.mark.parametrize("name", [".*", "a-z", "[", "\\E", "a|b", "^", "{vhost}"])
@pytest.mark.parametrize("pattern", ["^{username}$", "^[{username}]$"])
def test_a_name_cannot_widen_the_pattern(name: str, pattern: str) -> None:
    topic = TopicPermission(pattern, "")

    assert not topic.allows("write", "m", name, "v")
    assert topic.allows("write", name if "[" not in pattern else name[0], name, "v")


def test_a_name_that_makes_the_pattern_too_long_allows_nothing() -> None:
    topic = TopicPermission("|".join(["{username}"] * 50), "")

    assert topic.allows("write", "alice", "alice", "v")
    assert not topic.allows("write", "a" * 200, "a" * 200, "v")


# -- changes -----------------------------------------------------------------------------


def test_a_revoked_right_ends_with_the_next_operation() -> None:
    known = permissions(read="q")
    access = known.access(ALICE, "v")
    access.read("queue", "q")

    known.put("alice", "v", Permission("", "", ""))
    with pytest.raises(AccessRefused):
        access.read("queue", "q")

    known.put("alice", "v", Permission("", "", "q"))
    access.read("queue", "q")
    known.delete("alice", "v")
    known.delete("alice", "v")
    with pytest.raises(AccessRefused):
        access.read("queue", "q")


@pytest.mark.parametrize("gone", ["user", "vhost"])
def test_with_a_user_or_a_vhost_its_rights_go(gone: str) -> None:
    known = permissions(read=".*")
    known.put("alice", "w", Permission("", "", ".*"))
    known.put("bob", "v", Permission("", "", ".*"))
    for user, vhost in (("alice", "v"), ("alice", "w"), ("bob", "v")):
        known.put_topic(user, vhost, "x", TopicPermission("", ""))
    access = known.access(ALICE, "v")

    if gone == "user":
        known.delete_user("alice")
    else:
        known.delete_vhost("v")

    left = ("bob", "v") if gone == "user" else ("alice", "w")
    assert [(user, vhost) for user, vhost, _ in known.listing()] == [left]
    assert [(user, vhost) for user, vhost, _, _ in known.topic_listing()] == [left]
    with pytest.raises(AccessRefused):
        access.read("queue", "q")


def test_topic_permissions_are_lifted_one_by_one_or_all() -> None:
    known = permissions()
    for exchange in ("x", "y", "z"):
        known.put_topic("alice", "v", exchange, TopicPermission("", ""))
    access = known.access(ALICE, "v")

    known.delete_topic("alice", "v", "x")
    access.topic_write("x", "k")
    with pytest.raises(AccessRefused):
        access.topic_write("y", "k")
    known.delete_topic("alice", "v")
    access.topic_write("y", "k")
    known.delete_topic("alice", "v")
    known.delete_topic("alice", "v", "unknown")


def test_every_change_moves_the_revision() -> None:
    known = Permissions()
    changes: list[Callable[[], None]] = [
        lambda: known.put_user(ALICE),
        lambda: known.put("alice", "v", Permission("", "", "")),
        lambda: known.put_topic("alice", "v", "x", TopicPermission("", "")),
        lambda: known.delete_topic("alice", "v"),
        lambda: known.delete("alice", "v"),
        lambda: known.delete_vhost("v"),
        lambda: known.delete_user("alice"),
    ]
    for change in changes:
        before = known.revision
        change()
        assert known.revision == before + 1


def test_an_access_remembers_a_bounded_number_of_answers() -> None:
    access = an_access(read=".*")

    for number in range(3 * REMEMBERED):
        access.read("queue", f"q{number}")
        assert len(access._remembered) <= REMEMBERED


RIGHTS = st.sampled_from(["", ".*", "^a", "b$", "a|b"])


@given(
    st.lists(st.tuples(RIGHTS, RIGHTS, RIGHTS), min_size=1, max_size=4),
    st.lists(st.sampled_from(["a", "b", "ab", "", "c"]), max_size=6),
)
def test_remembered_answers_are_the_right_ones(
    rows: list[tuple[str, str, str]], names: list[str]
) -> None:
    known = permissions()
    access = known.access(ALICE, "v")
    for row in rows:
        permission = Permission(*row)
        known.put("alice", "v", permission)
        for name in names + names:
            if permission.allows("read", name):
                access.read("queue", name)
            else:
                with pytest.raises(AccessRefused):
                    access.read("queue", name)


# -- the user-id property ----------------------------------------------------------------


def test_the_user_id_of_a_message_must_be_true() -> None:
    access = an_access()

    access.check_user_id("alice")
    with pytest.raises(PreconditionFailed) as refused:
        access.check_user_id("bob")

    assert refused.value.explanation == (
        "user_id property set to 'bob' but authenticated user was 'alice'"
    )


def test_an_impersonator_may_be_anybody() -> None:
    known = Permissions()
    known.put("eve", "v", Permission("", "", ""))

    access = known.access(User("eve", frozenset({"impersonator"})), "v")

    access.check_user_id("bob")
    assert access.username == "eve"


def test_what_is_in_the_tables_needs_no_finding_out() -> None:
    rights = TableRights(permissions(read="^q"), "alice", "v")
    told: list[str] = []

    rights.find_out(Question("read", "queue", "q1"), lambda: told.append("known"))

    assert told == ["known"]
    assert rights.verdict(Question("read", "queue", "q1")) is Verdict.YES
    assert rights.verdict(Question("read", "queue", "r")) is Verdict.NO
