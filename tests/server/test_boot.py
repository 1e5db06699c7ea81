"""Definitions from files at start, and the first user and vhost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpd.auth.passwords import hash_password
from amqpd.server.process import Exit, StartError
from amqpd.store.sqlite import SqliteStore
from tests.server.running import Running, running

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Settings
    from amqpd.store import Post, Store

USER = {"name": "shop", "password_hash": hash_password("x"), "tags": ["administrator"]}
QUEUE = {"name": "orders", "vhost": "/", "durable": True, "arguments": {}}


def file(folder: Path, document: object, name: str = "definitions.json") -> str:
    """A file of definitions."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def users(broker: Running) -> list[str]:
    """The names of all users."""
    return [user.name for user in broker.server.broker.permissions.users()]


async def test_definitions_are_there_when_clients_come_in(tmp_path: Path) -> None:
    path = file(tmp_path / "d", {"queues": [QUEUE]})

    async with running(tmp_path, definitions__path=path) as broker:
        assert list(broker.server.broker.vhosts["/"].queues) == ["orders"]
        assert users(broker) == ["guest"]
        journal = broker.server.broker.journal
        assert journal.safe == journal.last


async def test_the_default_user_has_the_tags_and_rights_that_are_set(tmp_path: Path) -> None:
    async with running(
        tmp_path,
        auth__default_tags=["monitoring", "policymaker"],
        auth__default_configure="^a",
        auth__default_write="^b",
        auth__default_read="",
    ) as broker:
        permissions = broker.server.broker.permissions
        (user,) = permissions.users()
        ((name, vhost, rights),) = permissions.listing()

    assert user.tags == {"monitoring", "policymaker"}
    assert (name, vhost) == ("guest", "/")
    assert (rights.configure, rights.write, rights.read) == ("^a", "^b", "")


async def test_definitions_with_users_and_vhosts_leave_the_default_ones_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = file(tmp_path / "d", {"users": [USER], "vhosts": [{"name": "shop"}]})

    async with running(tmp_path, definitions__path=path) as broker:
        assert users(broker) == ["shop"]
        assert list(broker.server.broker.vhosts) == ["shop"]
    assert "users: those of the definitions; no user 'guest' is made" in caplog.text


async def test_a_folder_of_files_is_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    file(tmp_path / "d", {"queues": [QUEUE]}, "2.json")
    file(tmp_path / "d", {"users": [USER]}, "1.json")
    file(tmp_path / "d", "not for us", "readme.txt")

    async with running(tmp_path, definitions__path=str(tmp_path / "d")) as broker:
        assert users(broker) == ["shop"]
        assert list(broker.server.broker.vhosts["/"].queues) == ["orders"]


@pytest.mark.parametrize("skip", [True, False])
async def test_what_was_read_at_the_last_start_is_not_read_again_where_that_is_asked_for(
    tmp_path: Path, skip: bool
) -> None:
    def make(folder: Path, _settings: Settings, post: Post) -> Store:
        return SqliteStore(folder / "amqpd.db", post)

    path = file(tmp_path / "d", {"queues": [QUEUE]})
    async with running(
        tmp_path, make, definitions__path=path, definitions__skip_if_unchanged=skip
    ) as broker:
        vhost = broker.server.broker.vhosts["/"]
        vhost.remove_queue(vhost.queues["orders"])
    async with running(
        tmp_path, make, definitions__path=path, definitions__skip_if_unchanged=skip
    ) as broker:
        assert ("orders" in broker.server.broker.vhosts["/"].queues) is not skip


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "not JSON"),
        ([], "not JSON"),
        ({"queues": [{**QUEUE, "arguments": {"x-expires": 0}}]}, "x-expires"),
        ({"rabbitmq_definition_format": "single_virtual_host"}, "single vhost"),
    ],
)
async def test_definitions_that_are_none_are_no_start(
    tmp_path: Path, document: object, reason: str
) -> None:
    path = file(tmp_path / "d", document)

    with pytest.raises(StartError, match=reason) as error:
        async with running(tmp_path, definitions__path=path):
            pass

    assert error.value.code is Exit.CONFIG
    assert path in str(error.value)
    assert "\n" not in str(error.value)


async def test_a_file_that_is_not_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        async with running(tmp_path, definitions__path=str(tmp_path / "nothing.json")):
            pass
