"""Writes users, permissions, policies and limits into an empty data directory of amqpd."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from amqpd.auth.passwords import DEFAULT_ALGORITHM, hash_password
from amqpd.broker.definitions import (
    Command,
    PutParameter,
    PutPermission,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.broker.journal import Batch
from amqpd.broker.parameters import POLICY, USER_LIMITS
from amqpd.store.sqlite import SqliteStore


def commands(path: Path) -> list[Command]:
    """The file's definitions."""
    read = json.loads(path.read_text(encoding="utf-8"))
    out: list[Command] = [PutVhost(item["name"]) for item in read["vhosts"]]
    for item in read["users"]:
        tags = tuple(item["tags"].split(",")) if item["tags"] else ()
        out.append(PutUser(item["name"], hash_password(item["password"]), DEFAULT_ALGORITHM, tags))
        if "limits" in item:
            out.append(PutParameter(USER_LIMITS, "", item["name"], json.dumps(item["limits"])))
    for item in read["permissions"]:
        patterns = (item["configure"], item["write"], item["read"])
        out.append(PutPermission(item["user"], item["vhost"], *patterns))
    for item in read["topic_permissions"]:
        where = (item["user"], item["vhost"], item["exchange"])
        out.append(PutTopicPermission(*where, item["write"], item["read"]))
    for item in read["policies"]:
        value = {key: item[key] for key in ("pattern", "apply-to", "priority", "definition")}
        out.append(PutParameter(POLICY, item["vhost"], item["name"], json.dumps(value)))
    for item in read["parameters"]:
        where = (item["component"], item["vhost"], item["name"])
        out.append(PutParameter(*where, json.dumps(item["value"])))
    return out


async def write(directory: Path, defines: list[Command]) -> None:
    """One batch with all of them."""
    loop = asyncio.get_running_loop()
    written: asyncio.Future[object] = loop.create_future()
    store = SqliteStore(directory, loop.call_soon_threadsafe)
    store.open()
    store.write(Batch(1, defines=defines), written.set_result)
    await written
    store.close()


def main() -> None:
    """Prepare the directory."""
    source, directory = map(Path, sys.argv[1:])
    directory.mkdir(mode=0o700, parents=True)
    asyncio.run(write(directory, commands(source)))


if __name__ == "__main__":
    main()
