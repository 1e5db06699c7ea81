"""What a broker has when it starts: exchange types, definitions, the first user and vhost.

A new data directory gets the default vhost and user, unless the definitions bring some: the
log says which. Definitions are added to what is there at every start, all of a file or nothing
of it; a file that cannot be used is no reason to start without what is in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from amqpd import plugins
from amqpd.broker.definitions import PutParameter, PutPermission, PutUser, PutVhost
from amqpd.broker.exchange import Exchange
from amqpd.broker.parameters import GLOBAL
from amqpd.broker.restoring import Action, Restoring
from amqpd.broker.types import all_types
from amqpd.errors import PreconditionFailed
from amqpd.server.login import new_password_hash
from amqpd.server.process import Exit, StartError

if TYPE_CHECKING:
    from amqpd.broker.broker import Broker
    from amqpd.config import Auth, Settings

LOG = logging.getLogger("amqpd.server")

#: A global parameter, left out of exports: what was last read from files.
DIGEST: Final = "internal_definitions_digest"


async def first_definitions(broker: Broker, settings: Settings, *, is_new: bool) -> None:
    """Bring into the broker what it has to have; the caller sees to it that it is on disk.

    Raises:
        StartError: definitions cannot be read, or are not valid.
    """
    auth = settings.auth
    files = await asyncio.to_thread(_read, settings.definitions.path)
    documents = [_parsed(path, octets) for path, octets in files]
    if is_new and not any(document.get("vhosts") for _, document in documents):
        broker.change(PutVhost(auth.default_vhost, "Default virtual host"))
    if files:
        _load(broker, files, documents, skip=settings.definitions.skip_if_unchanged)
    if is_new:
        _default_user(broker, auth, bool(files))


def _read(path: str) -> list[tuple[Path, bytes]]:
    """The files to load, in the order of their names."""
    if not path:
        return []
    root = Path(path)
    try:
        paths = sorted(root.glob("*.json")) if root.is_dir() else [root]
        return [(one, one.read_bytes()) for one in paths]
    except OSError as error:
        raise StartError(f"definitions '{path}': {error.strerror}", Exit.CONFIG) from error


def _parsed(path: Path, octets: bytes) -> tuple[Path, dict[str, object]]:
    try:
        found = msgspec.json.decode(octets.removeprefix(b"\xef\xbb\xbf"), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StartError(f"definitions '{path}': not JSON: {error}", Exit.CONFIG) from error
    return path, found


def _load(
    broker: Broker,
    files: list[tuple[Path, bytes]],
    documents: list[tuple[Path, dict[str, object]]],
    *,
    skip: bool,
) -> None:
    digest = hashlib.sha256(b"".join(octets for _, octets in files)).hexdigest()
    command = PutParameter(GLOBAL, "", DIGEST, json.dumps(digest))
    if skip and broker.parameters.get(GLOBAL, "", DIGEST) == command:
        LOG.info("definitions: as they were at the last start")
        return
    for path, document in documents:
        try:
            restoring = Restoring(broker, document)
            for _ in restoring.steps():
                pass
        except PreconditionFailed as error:
            text = " ".join(error.explanation.split())
            raise StartError(f"definitions '{path}': {text}", Exit.CONFIG) from error
        restoring.carry_out()
        done = [one for one in restoring.changes if one.action in (Action.CREATE, Action.UPDATE)]
        kept = sum(one.action is Action.KEEP for one in restoring.changes)
        LOG.info("definitions '%s': %d made or changed, %d kept", path, len(done), kept)
    if skip:
        broker.change(command)


def _default_user(broker: Broker, auth: Auth, loaded: bool) -> None:
    if broker.permissions.users():
        LOG.info("users: those of the definitions; no user '%s' is made", auth.default_user)
        return
    hashed, algorithm = new_password_hash(auth.default_password)
    user, vhost = auth.default_user, auth.default_vhost
    broker.change(PutUser(user, hashed, algorithm, auth.default_tags))
    if vhost in broker.vhosts:
        rights = auth.default_configure, auth.default_write, auth.default_read
        broker.change(PutPermission(user, vhost, *rights))
    if loaded:
        LOG.info("users: the definitions have none; user '%s' is made", auth.default_user)


def exchange_types() -> dict[str, type[Exchange]]:
    """The types that come with amqpd, and those of other packages.

    Raises:
        StartError: one cannot be loaded, or is not an exchange type.
    """
    types = all_types()
    for name in plugins.names("exchange_types"):
        if name in types:
            continue
        try:
            found = plugins.load("exchange_types", name)
        except plugins.PluginError as error:
            raise StartError(str(error), Exit.CONFIG) from error
        if not (isinstance(found, type) and issubclass(found, Exchange)):
            raise StartError(f"plugin '{name}': {found!r} is not an exchange type", Exit.CONFIG)
        types[name] = found
    return types
