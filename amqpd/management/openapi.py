"""The API described in OpenAPI 3.1, made from the table of routes and never by hand.

describe(routes, version) -> dict       the document
IN_PATH  IN_QUERY                       what names in them stand for
NEEDS                                   who may call an operation, in words
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from amqpd.management.access import Needs
from amqpd.management.listing import MAX_PAGE_SIZE
from amqpd.management.listing import PARAMETERS as LISTED
from amqpd.management.live import STREAM
from amqpd.management.logins import COOKIE
from amqpd.management.rates import QUERY
from amqpd.management.records import LEVELS, MOST_LINES
from amqpd.management.request import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amqpd.management.listing import Facts
    from amqpd.management.routing import Operation, Route

FORM: Final = "application/x-www-form-urlencoded"
MODULE: Final = b"amqpd.management."
TEXT: Final = {"type": "string"}
NAME: Final = {"type": "string", "minLength": 1}
FLAG: Final = {"type": "boolean"}
SECONDS: Final = {"type": "integer", "minimum": 0}

NEEDS: Final[Mapping[Needs, str]] = {
    Needs.NOTHING: "nobody in particular",
    Needs.LOGIN: "a tag",
    Needs.VHOST: "a tag, and a permission in the vhost",
    Needs.VHOST_VISIBLE: "a tag, and a permission in the vhost; or the tag monitoring",
    Needs.POLICYMAKER: "the tag policymaker, and a permission in the vhost",
    Needs.GLOBAL_PARAMETERS: "the tag policymaker",
    Needs.MONITOR: "the tag monitoring",
    Needs.ADMINISTRATOR: "the tag administrator",
}


class Parameter(NamedTuple):
    """What a name in a path or a query stands for."""

    about: str
    schema: Mapping[str, object]


_SAMPLES: Final = {
    "age": Parameter("How many seconds of samples to show", SECONDS),
    "incr": Parameter("Seconds between two of them", {"type": "integer", "minimum": 1}),
}
IN_PATH: Final[Mapping[str, Parameter]] = {
    "channel": Parameter("The name of a channel: its connection's, and its number", NAME),
    "component": Parameter("The kind of parameters, like `policy`", NAME),
    "connection": Parameter("The name of a connection", NAME),
    "consumer": Parameter("The tag of a consumer", NAME),
    "destination": Parameter("The queue or exchange that is bound", NAME),
    "exchange": Parameter("An exchange; `amq.default` is the one without a name", NAME),
    "filter": Parameter("Which tables of Erlang", NAME),
    "id": Parameter("The identity of a federation link", NAME),
    "key": Parameter("The dotted name of a setting, like `amqp.channel_max`", NAME),
    "kind": Parameter("`q`: a queue, `e`: an exchange", {"type": "string", "enum": ["q", "e"]}),
    "name": Parameter("Its name", NAME),
    "node": Parameter("The name of the node", NAME),
    "number": Parameter("The number of a channel", NAME),
    "password": Parameter("A password", NAME),
    "pattern": Parameter("A regular expression", NAME),
    "pid": Parameter("A process of Erlang", NAME),
    "port": Parameter("A port", {"type": "integer", "minimum": 1, "maximum": 65535}),
    "place": Parameter("Where in its queue a message is, as `peek` tells it", NAME),
    "properties_key": Parameter("Which of the bindings between the two", NAME),
    "protocols": Parameter("Names of protocols, separated by commas", NAME),
    "queue": Parameter("The name of a queue", NAME),
    "source": Parameter("The exchange that messages come from", NAME),
    "unit": Parameter(
        "What the number counts", {"type": "string", "enum": ["days", "weeks", "months", "years"]}
    ),
    "user": Parameter("The name of a user", NAME),
    "vhost": Parameter("The name of a vhost; a slash is written `%2F`", NAME),
    "within": Parameter("In how much time from now", {"type": "integer", "minimum": 0}),
}
IN_QUERY: Final[Mapping[str, Parameter]] = {
    "below": Parameter("Show only lines with a smaller number; 0: all", SECONDS),
    "columns": Parameter("Which keys to show, separated by commas", TEXT),
    "count": Parameter(
        "How many lines to show", {"type": "integer", "minimum": 1, "maximum": MOST_LINES}
    ),
    "auth": Parameter("Who asks: user and password as in basic authentication, for links", TEXT),
    "token": Parameter("Who asks: a bearer token, for links", TEXT),
    "download": Parameter("A name for the file that a browser makes of the answer", TEXT),
    "dry_run": Parameter("Change nothing, and tell what would be changed", FLAG),
    "event": Parameter("Show only events that begin with this", TEXT),
    "if-empty": Parameter("Delete it only if there is no message in it", FLAG),
    "if-unused": Parameter("Delete it only if nobody uses it", FLAG),
    "interval": Parameter("Seconds between two looks", {"type": "number", "minimum": 0}),
    "level": Parameter("Show lines of at least this level", {"type": "string", "enum": [*LEVELS]}),
    "name": Parameter("Show only those whose name has this in it", TEXT),
    "only": Parameter(
        "Show only queues with messages, without consumers, or that do not move",
        {"type": "string", "enum": ["messages", "no-consumers", "stuck"]},
    ),
    "page": Parameter("Which page to show, from 1", {"type": "integer", "minimum": 1}),
    "page_size": Parameter(
        "How many are on a page", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE}
    ),
    "path": Parameter("What to look at, with its own query", NAME),
    "paths": Parameter("Several of them, each with its interval, as JSON", TEXT),
    "sort": Parameter("The key to sort by; a dot goes into an object", TEXT),
    "sort_reverse": Parameter("Sort the other way round", FLAG),
    "text": Parameter("Show only lines with this in them", TEXT),
    "type": Parameter("Show only queues of this type", TEXT),
    "disable_stats": Parameter("Show no statistics", FLAG),
    "enable_queue_totals": Parameter("And the lengths nevertheless", FLAG),
    "vhost": Parameter("Show only those of this vhost", TEXT),
    "use_regex": Parameter("The name to look for is a regular expression", FLAG),
    **{name: _SAMPLES[name.rpartition("_")[2]] for name in QUERY},
}
#: What operations answer beside errors, by method.
ANSWERS: Final = {
    "GET": {"200": "What was asked for"},
    "PUT": {"201": "It is new", "204": "It was there, and is now as asked"},
    "POST": {"200": "Done; the answer tells more", "201": "It is new", "204": "Done"},
    "DELETE": {"204": "It is gone"},
}
ERRORS: Final = {
    "400": "The broker cannot do this, or does not understand it",
    "401": "Nobody is logged in, or who it is may not do this",
    "404": "There is no such thing",
    "503": "Not now: an alarm, a check that has failed, or an audit log that cannot be written",
}
#: Of operations that do not only look.
ERRORS_OF_CHANGES: Final = {
    "403": "Another site's page has asked",
    "409": "It cannot be done as things are now",
    "412": "A condition does not hold, or it is protected",
}
ERRORS_OF_STREAMS: Final = {"429": "The user has too many streams open"}
OBJECT: Final = {"type": "object"}
LIST: Final = {"type": "array", "items": OBJECT}
PAGE: Final = {
    "type": "object",
    "required": ["items", "page", "page_count", "page_size", "total_count", "filtered_count"],
    "properties": {"items": LIST},
}
#: Checks have a status where others have an error.
ERROR: Final = {
    "type": "object",
    "required": ["reason"],
    "properties": {"error": TEXT, "status": TEXT, "reason": TEXT},
}


def describe(routes: Sequence[Route], version: str, prefix: str = "") -> Facts:
    """The document; `prefix` is what all paths begin with."""
    taken, schemas = _bodies(routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "amqpd",
            "version": version,
            "description": "The HTTP API of the broker; RabbitMQ's paths, keys and rights.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": f"{prefix}/api"}],
        "security": [{"basic": []}, {"bearer": []}, {"cookie": []}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, routes))],
        "paths": {route.path: _path(route, taken) for route in routes},
        "components": {
            "schemas": {**schemas, "Error": ERROR},
            "parameters": {
                f"{place}.{name}": _parameter(name, place, parameter)
                for place, parameters in (("path", IN_PATH), ("query", IN_QUERY))
                for name, parameter in parameters.items()
            },
            "responses": {
                status: {"description": text} | _content(_reference("schemas", "Error"))
                for status, text in (ERRORS | ERRORS_OF_CHANGES | ERRORS_OF_STREAMS).items()
            },
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _bodies(routes: Sequence[Route]) -> tuple[dict[int, Facts], dict[str, Facts]]:
    """The schema of each type that an operation takes, and the schemas they refer to."""
    kinds = {
        id(operation.takes): operation.takes
        for route in routes
        for operation in route.methods.values()
        if operation.takes is not None
    }
    found = msgspec.json.schema_components(
        list(kinds.values()),
        schema_hook=_anything,
        ref_template="#/components/schemas/{name}",
    )
    # Of the name of a module the last word is enough.
    short = msgspec.json.encode(found).replace(MODULE, b"")
    schemas, components = msgspec.json.decode(short)
    return dict(zip(kinds, schemas, strict=True)), components


def _anything(kind: type) -> Facts:
    assert kind is object
    return {"description": "Anything"}


def variables(route: Route) -> list[str]:
    """The names in its path."""
    return re.findall(r"{(\w+)}", route.path)


def _tag(route: Route) -> str:
    return route.path.split("/")[1]


def _path(route: Route, taken: Mapping[int, Facts]) -> Facts:
    facts: Facts = {
        method.lower(): _operation(route, method, operation, taken)
        for method, operation in route.methods.items()
    }
    names = variables(route)
    if names:
        facts["parameters"] = [_reference("parameters", f"path.{name}") for name in names]
    return facts


def _operation(
    route: Route, method: str, operation: Operation, taken: Mapping[int, Facts]
) -> Facts:
    words = re.findall(r"[a-zA-Z]+", route.path)
    facts: Facts = {
        "operationId": method.lower() + "".join(map(str.title, words)),
        "tags": [_tag(route)],
        "summary": operation.summary,
        "description": f"Needs {NEEDS[operation.needs]}.",
        "responses": _responses(method, operation),
    }
    if operation.needs is Needs.NOTHING:
        facts["security"] = []
    if operation.query:
        facts["parameters"] = [
            _reference("parameters", f"query.{name}") for name in operation.query
        ]
    if operation.takes is not None:
        kind = FORM if operation.is_form else JSON
        facts["requestBody"] = {"content": {kind: {"schema": taken[id(operation.takes)]}}}
    return facts


def _parameter(name: str, place: str, parameter: Parameter) -> Facts:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": parameter.about,
        "schema": parameter.schema,
    }


def _reference(kind: str, name: str) -> Facts:
    return {"$ref": f"#/components/{kind}/{name}"}


def _responses(method: str, operation: Operation) -> Facts:
    shown: object = True
    if set(LISTED) <= set(operation.query):
        shown = {"anyOf": [LIST, PAGE]}
    content = _content(shown, operation.gives)
    found: Facts = {
        status: {"description": text} | (content if status == "200" else {})
        for status, text in (operation.answers or ANSWERS[method]).items()
    }
    errors = ERRORS if method == "GET" else ERRORS | ERRORS_OF_CHANGES
    if operation.gives == STREAM:
        errors = errors | ERRORS_OF_STREAMS
    return found | {status: _reference("responses", status) for status in errors}


def _content(schema: object, kind: str = JSON) -> Facts:
    return {"content": {kind: {"schema": schema}}}
