"""The LDAP backend, against a directory that is really there (Debian's slapd)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.ldap import LdapBackend, LdapError
from amqpd.auth.settings import Ldap
from amqpd.broker.access import Question
from tests.auth.directory import ADMIN, ADMIN_PASSWORD, a_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from amqpd.auth.remote import Who
    from tests.auth.directory import Slapd

PEOPLE = "cn=${username},ou=people,dc=example"


def never(work: Coroutine[object, object, None]) -> None:
    """Nothing is started in the background here."""
    raise AssertionError(work)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with a_directory(tmp_path_factory.mktemp("slapd")) as made:
        yield made


class Backends:
    """Makes backends of one directory, and closes them."""

    def __init__(self, directory: Slapd) -> None:
        self._settings = Ldap(
            servers=("127.0.0.1",), port=directory.port, user_dn_pattern=PEOPLE, timeout_s=2
        )
        self.made: list[LdapBackend] = []

    def with_(self, **changes: object) -> LdapBackend:
        """One with these settings."""
        made = LdapBackend(msgspec.structs.replace(self._settings, **changes), never, 15)
        self.made.append(made)
        return made


@pytest.fixture
async def backends(directory: Slapd) -> AsyncIterator[Backends]:
    made = Backends(directory)
    yield made
    for one in made.made:
        await one.close()


async def who(backend: LdapBackend, name: str, password: str | None) -> Who:
    accepted = await backend.login(name, password, "192.0.2.1")
    assert isinstance(accepted, Accepted), accepted
    assert accepted.authority is not None
    found: Who = accepted.authority._who  # type: ignore[attr-defined]  # what `allows` is given
    return found


# -- logins ----------------------------------------------------------------------------------


async def test_the_directory_checks_the_password(backends: Backends) -> None:
    backend = backends.with_()

    assert isinstance(await backend.login("alice", "alice-pw", ""), Accepted)
    assert await backend.login("alice", "wrong", "") == Refused(
        "the directory refuses the password"
    )
    assert await backend.login("nobody", "alice-pw", "") == Refused(
        "the directory refuses the password"
    )


async def test_a_blank_password_is_no_anonymous_login(backends: Backends) -> None:
    assert isinstance(await backends.with_().login("alice", "", ""), Refused)


@pytest.mark.parametrize("name", ["alice,ou=people", "*", "al*", "alice)(cn=*", "alice\0"])
async def test_a_name_is_never_more_than_a_name(backends: Backends, name: str) -> None:
    found = backends.with_(
        dn_lookup_attribute="uid",
        dn_lookup_base="dc=example",
        dn_lookup_bind="anon",
        user_dn_pattern="${username}",
    )

    with pytest.raises(LdapError):
        await found.login(name, "alice-pw", "")
    assert isinstance(await backends.with_().login(name, "alice-pw", ""), Refused)


async def test_a_name_with_special_characters_finds_its_entry(backends: Backends) -> None:
    assert isinstance(await backends.with_().login("b,ob", "bob-pw", ""), Accepted)


async def test_a_user_may_be_found_by_an_attribute(backends: Backends) -> None:
    by_mail = {
        "dn_lookup_attribute": "mail",
        "dn_lookup_base": "ou=people,dc=example",
        "user_dn_pattern": "${username}",
    }
    anonymous = backends.with_(**by_mail, dn_lookup_bind="anon")
    own = backends.with_(**by_mail, dn_lookup_bind=ADMIN, dn_lookup_bind_password=ADMIN_PASSWORD)

    assert isinstance(await anonymous.login("alice@example.com", "alice-pw", ""), Accepted)
    assert isinstance(await own.login("alice@example.com", "alice-pw", ""), Accepted)
    assert isinstance(await own.login("alice@example.com", "wrong", ""), Refused)


async def test_a_user_may_bind_by_one_name_and_be_found_by_another(backends: Backends) -> None:
    backend = backends.with_(
        user_bind_pattern=PEOPLE,
        dn_lookup_attribute="cn",
        dn_lookup_base="dc=example",
        user_dn_pattern="${username}",
        tag_queries={"administrator": '{in_group, "cn=admins,ou=groups,dc=example"}'},
    )

    assert (await who(backend, "alice", "alice-pw")).tags == {"administrator"}


async def test_tags_come_from_queries(backends: Backends) -> None:
    backend = backends.with_(
        tag_queries={
            "administrator": '{in_group, "cn=admins,ou=groups,dc=example"}',
            "management": "{constant, true}",
        }
    )

    assert (await who(backend, "alice", "alice-pw")).tags == {"administrator", "management"}
    assert (await who(backend, "b,ob", "bob-pw")).tags == {"management"}


async def test_who_is_proven_by_a_certificate_must_have_an_entry(backends: Backends) -> None:
    backend = backends.with_(other_bind="anon")

    assert isinstance(await backend.login("alice", None, ""), Accepted)
    assert await backend.login("nobody", None, "") == Refused("no such user")
    assert isinstance(await backends.with_().login("alice", None, ""), Refused)


# -- rights ----------------------------------------------------------------------------------


async def test_queries_decide_on_rights(backends: Backends) -> None:
    backend = backends.with_(
        vhost_access_query='{exists, "ou=${vhost},ou=vhosts,dc=example"}',
        resource_access_query="""{for, [
            {permission, configure, {in_group, "cn=admins,ou=groups,dc=example"}},
            {permission, write, {in_group_nested, "cn=everybody,ou=groups,dc=example"}},
            {permission, read, {match, {string, "${name}"},
                                       {attribute, "${user_dn}", "description"}}}
        ]}""",
        topic_access_query='{match, {string, "${routing_key}"}, {string, "^${username}\\\\."}}',
        group_lookup_base="ou=groups,dc=example",
    )
    alice, bob = await who(backend, "alice", "alice-pw"), await who(backend, "b,ob", "bob-pw")

    assert await backend.allows(alice, "shop", Question("read", "vhost", "shop"))
    assert not await backend.allows(alice, "other", Question("read", "vhost", "other"))
    assert await backend.allows(alice, "shop", Question("configure", "queue", "q"))
    assert not await backend.allows(bob, "shop", Question("configure", "queue", "q"))
    assert await backend.allows(alice, "shop", Question("write", "exchange", "e"))
    assert await backend.allows(bob, "shop", Question("write", "exchange", "e"))
    assert await backend.allows(alice, "shop", Question("read", "queue", "orders.1"))
    assert not await backend.allows(alice, "shop", Question("read", "queue", "invoices"))
    assert not await backend.allows(bob, "shop", Question("read", "queue", "orders.1"))
    assert await backend.allows(alice, "shop", Question("write", "topic", "t", "alice.x"))
    assert not await backend.allows(alice, "shop", Question("write", "topic", "t", "bob.x"))


async def test_without_queries_everything_is_allowed_and_nobody_is_asked(
    backends: Backends, directory: Slapd
) -> None:
    backend = backends.with_()
    alice = await who(backend, "alice", "alice-pw")

    assert await backend.allows(alice, "shop", Question("read", "queue", "q"))


# -- connections -----------------------------------------------------------------------------


async def test_tls_is_verified(backends: Backends, directory: Slapd) -> None:
    over_tls = {"use_ssl": True, "port": directory.tls_port}

    trusting = backends.with_(**over_tls, ca=directory.ca)
    assert isinstance(await trusting.login("alice", "alice-pw", ""), Accepted)

    with pytest.raises(LdapError, match=r"(?i)certificate"):
        await backends.with_(**over_tls).login("alice", "alice-pw", "")
    with pytest.raises(LdapError, match=r"(?i)match"):
        await backends.with_(**over_tls, ca=directory.ca, servers=("localhost",)).login(
            "alice", "alice-pw", ""
        )


async def test_start_tls_is_verified(backends: Backends, directory: Slapd) -> None:
    trusting = backends.with_(use_starttls=True, ca=directory.ca)
    assert isinstance(await trusting.login("alice", "alice-pw", ""), Accepted)

    with pytest.raises(LdapError, match=r"(?i)certificate"):
        await backends.with_(use_starttls=True).login("alice", "alice-pw", "")


async def test_the_next_server_is_asked_when_one_is_down(
    backends: Backends, directory: Slapd
) -> None:
    backend = backends.with_(servers=("127.0.0.99", "127.0.0.1"))
    assert isinstance(await backend.login("alice", "alice-pw", ""), Accepted)

    nobody = backends.with_(servers=("127.0.0.99",))
    with pytest.raises(LdapError, match=r"127\.0\.0\.99"):
        await nobody.login("alice", "alice-pw", "")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"servers": ()}, "auth_ldap.servers"),
        ({"vhost_access_query": "{"}, "auth_ldap.vhost_access_query"),
        ({"tag_queries": {"administrator": "x"}}, "auth_ldap.tag_queries.administrator"),
    ],
)
def test_wrong_settings_are_told_at_the_start(changes: dict[str, object], text: str) -> None:
    settings = msgspec.structs.replace(Ldap(servers=("127.0.0.1",)), **changes)

    with pytest.raises(ValueError, match=text):
        LdapBackend(settings, never, 15)
