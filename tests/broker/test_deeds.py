"""What operators change, as lines of the log."""

from __future__ import annotations

import pytest

from amqpd.broker import definitions as d
from amqpd.broker.deeds import lines
from amqpd.broker.permissions import User

ALGORITHM = "rabbit_password_hashing_sha256"
BOB = User("bob", frozenset({"a"}), "hash", ALGORITHM, ("a",))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (d.PutUser("bob", "hash", ALGORITHM, ("a",)), []),
        (d.PutUser("bob", "other", ALGORITHM, ("a",)), ["Successfully changed password for"]),
        (d.PutUser("bob", "", ALGORITHM, ("a",)), ["Clearing password for"]),
        (d.PutUser("bob", "hash", ALGORITHM, ("b", "c")), ["Successfully set user tags for"]),
        (d.DeleteUser("bob"), ["Deleted"]),
    ],
)
def test_only_what_differs_of_a_user_is_told(command: d.Command, told: list[str]) -> None:
    found = list(lines(command, BOB, False))

    assert [line.partition(" user 'bob'")[0] for line in found] == told


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            d.PutVhost("v", "mine", ("a", "b")),
            "Adding vhost 'v' (description: 'mine', tags: [a,b])",
        ),
        (
            d.DeleteTopicPermission("u", "v", "x"),
            "Successfully cleared topic permissions on exchange 'x' for 'u' in virtual host 'v'",
        ),
        (
            d.PutParameter("policy", "v", "p", '{"pattern": "a"}'),
            """Setting policy 'p' in virtual host 'v' to {"pattern": "a"}""",
        ),
        (
            d.PutParameter("shovel", "v", "s", '{"src-uri": "amqp://u:secret@there"}'),
            """Setting shovel 's' in virtual host 'v' to {"src-uri": "amqp://u:***@there"}""",
        ),
        (
            d.DeleteParameter("user-limits", "", "bob"),
            "Clearing user-limits 'bob'",
        ),
        (d.DeleteQueue("v", "q"), ""),
        (d.DeleteVhost("gone"), ""),
        (d.DeleteUser("gone"), ""),
    ],
)
def test_what_there_was_not_is_not_told(command: d.Command, line: str) -> None:
    assert "".join(lines(command, None, False)) == line


def test_a_vhost_that_is_changed_is_not_added() -> None:
    assert not [*lines(d.PutVhost("v"), None, True)]
    assert [*lines(d.DeleteVhost("v"), None, True)] == ["Deleting vhost 'v'"]
