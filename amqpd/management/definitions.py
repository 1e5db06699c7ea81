"""`/api/definitions`: everything that was defined, out and in again.

Out it is streamed. In it is one transaction; with `?dry_run=true` nothing is done, and the
answer tells what would be. A page may send the document as the file of a form.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

import msgspec

from amqpd.broker import document
from amqpd.broker.document import SECTIONS, VHOST_SECTIONS
from amqpd.broker.restoring import Action, Restoring
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, too_deep
from amqpd.management.listing import BATCH, Slices
from amqpd.management.request import Answer, encode
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from amqpd.broker.restoring import Change
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: The sections that grow without bound come last, as in RabbitMQ.
_ORDER: Final = (
    *(section for section in SECTIONS if section not in ("queues", "bindings")),
    "queues",
    "bindings",
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: A form has no more, the file among them.
MOST_PARTS: Final = 100
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_FILE_NAME: Final = re.compile(rb'filename="([^"]*)"')
#: Where the page of a form may send its reader: to another place of this page, as RabbitMQ's does.
_OWN_PAGE: Final = re.compile(r"(?:\.\./)*#/[A-Za-z0-9/_-]*")
#: A byte order mark.
_BOM: Final = b"\xef\xbb\xbf"


# -- out ---------------------------------------------------------------------------------


async def export(call: Call) -> Answer:
    """The definitions of the broker, or of one vhost."""
    vhost = call.names.get("vhost")
    if vhost is not None:
        call.find_vhost(vhost)
    answer = Answer(body=_pieces(call, vhost))
    file = call.request.query.get("download", "")
    if file:
        if not _TOKEN.fullmatch(file):
            raise bad_request("download: not a file name")
        answer.headers["Content-Disposition"] = f"attachment; filename={file}"
    return answer


async def _pieces(call: Call, vhost: str | None) -> AsyncGenerator[bytes, None]:
    """The document, piece by piece."""
    now = call.host.figures()
    slices = Slices()
    begin = document.head(call.broker, vhost, now.product, now.product_version)
    yield encode(begin)[:-1]
    for section in _ORDER:
        if vhost is not None and section not in VHOST_SECTIONS:
            continue
        batch: list[bytes] = []
        before = f',"{section}":['.encode()
        for entry in document.entries(call.broker, section, vhost):
            batch.append(encode(entry))
            if len(batch) >= BATCH:
                yield before + b",".join(batch)
                before, batch = b",", []
                await slices.pause()
        rest = b",".join(batch)
        yield (b"" if before == b"," and not rest else before) + rest + b"]"
    yield b"}"


# -- in ----------------------------------------------------------------------------------


async def restore(call: Call) -> Answer:
    """Add definitions to those that there are, in one transaction."""
    vhost = call.names.get("vhost")
    if vhost is not None:
        call.find_vhost(vhost)
    octets, redirect = _octets(call, await call.request.read())
    parsed = await _parsed(octets)
    async with call.alone:
        restoring = Restoring(call.broker, parsed, vhost)
        del parsed
        await _in_slices(restoring.steps())
        if call.flag("dry_run"):
            return Answer(body=_report(restoring.changes))
        await _in_slices(restoring.carrying_out(), call)
    await _in_slices(restoring.forgetting())
    await call.safe(restoring.number)
    if redirect:
        return Answer(303, headers={"Location": redirect})
    return Answer(204)


async def _in_slices(steps: Generator[None, None, None], by: Call | None = None) -> None:
    slices = Slices()
    with contextlib.closing(steps):
        if by is not None:
            by.broker.events.by = by.caller.name
        for _ in steps:
            await slices.pause()
            if by is not None:
                by.broker.events.by = by.caller.name


async def _parsed(octets: bytes) -> Facts:
    """The document; the entries of a long list are read one by one, in slices."""
    slices = Slices()
    try:
        parts = msgspec.json.decode(
            octets.removeprefix(_BOM).strip() or b"{}", type=dict[str, msgspec.Raw]
        )
        return {name: await _values(raw, slices) for name, raw in parts.items()}
    except RecursionError as error:
        raise too_deep() from error
    except msgspec.ValidationError as error:
        raise bad_request("failed_to_parse_json: not an object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"failed_to_parse_json: {error}") from error


async def _values(raw: msgspec.Raw, slices: Slices) -> object:
    if bytes(memoryview(raw)[:1]) != b"[":
        return msgspec.json.decode(raw)
    values: list[object] = []
    for entry in msgspec.json.decode(raw, type=list[msgspec.Raw]):
        values.append(msgspec.json.decode(entry))
        await slices.pause()
    return values


def _octets(call: Call, body: bytes) -> tuple[bytes, str]:
    """The document in a body, which may be a form, and where the page of a form goes on."""
    content_type = call.request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        return body, ""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise bad_request("multipart/form-data: without a boundary")
    file: bytes | None = None
    redirect = ""
    for part in body.split(b"--" + found[1].encode(), MOST_PARTS)[:MOST_PARTS]:
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head and file is None:
            _check_name(call, head)
            file = content.removesuffix(b"\r\n")
        elif b'name="redirect"' in head:
            redirect = content.removesuffix(b"\r\n").decode("ascii", "replace")
    if file is None:
        raise bad_request("multipart/form-data: without a field 'file'")
    return file, redirect if _OWN_PAGE.fullmatch(redirect) else ""


def _check_name(call: Call, head: bytes) -> None:
    """See that the file of a form has the name of a JSON file, where that is asked for."""
    if not call.host.http.definitions_json_only:
        return
    found = _FILE_NAME.search(head)
    if found is None or not found[1].lower().endswith(b".json"):
        raise bad_request("definition file must have a .json extension")


async def _report(changes: list[Change]) -> AsyncGenerator[bytes, None]:
    """What would be done, and what would not, piece by piece."""
    counts: dict[str, dict[str, int]] = {}
    for change in changes:
        of_section = counts.setdefault(change.section, {})
        of_section[change.action] = of_section.get(change.action, 0) + 1
    yield encode({"dry_run": True, "counts": counts})[:-1] + b',"changes":['
    shown = [change for change in changes if change.action not in (Action.SAME, Action.SKIP)]
    slices = Slices()
    for start in range(0, len(shown), BATCH):
        batch = [encode(_shown(change)) for change in shown[start : start + BATCH]]
        yield (b"," if start else b"") + b",".join(batch)
        await slices.pause()
    yield b"]}"


def _shown(change: Change) -> Facts:
    return {
        "action": str(change.action),
        "section": change.section,
        "vhost": change.vhost,
        "name": change.name,
        "before": _without_secrets(change.before),
        "after": _without_secrets(change.after),
    }


def _without_secrets(entry: object) -> object:
    """An entry as it may be shown: a hash says only whether it is another one."""
    if isinstance(entry, dict) and entry.get("password_hash"):
        return entry | {"password_hash": f"…{entry['password_hash'][-6:]}"}
    return entry


ADMIN: Final = Needs.ADMINISTRATOR
_WHO: Final = ("auth", "token")
_EXPORT: Final = Operation(export, ADMIN, query=("download", *_WHO))
_RESTORE: Final = Operation(restore, ADMIN, dict[str, object], query=("dry_run", *_WHO))
ROUTES: Final = (
    Route("/definitions", GET=_EXPORT, POST=_RESTORE),
    Route("/all-configuration", GET=_EXPORT, POST=_RESTORE),
    Route("/definitions/upload", POST=_RESTORE),
    Route("/definitions/{vhost}", GET=_EXPORT, POST=_RESTORE),
)
