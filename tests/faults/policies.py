"""An administrator who changes policies over HTTP while messages pass; policies must last."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

Definition = dict[str, "str | int"]
#: Definitions, one of which is in force at a time, or none.
Choices = tuple[Definition, ...]
TIMEOUT_S: Final = 60.0
PAUSE_S: Final = 0.02
_CREDENTIALS: Final = base64.b64encode(b"guest:guest").decode()


@dataclass(slots=True)
class Policies:
    """What must be set, over all lives of a broker: kind and name -> definition.

    None in place of a definition: it must not be there. A name that is missing: asked for,
    never answered.
    """

    known: dict[tuple[str, str], Definition | None] = field(default_factory=dict)

    def missing(self, port: int) -> Iterator[str]:
        """What is not as it must be after a start; what is there then is what is known."""
        for kind in ("policies", "operator-policies"):
            found = {str(one["name"]): one["definition"] for one in _get(port, f"/api/{kind}/%2F")}
            for (where, name), definition in self.known.items():
                if where == kind and found.get(name) != definition:
                    yield f"{kind} {name!r} with {definition}, not {found.get(name)}"


class Administrator:
    """A thread that sets and deletes policies until the broker ends or it is told to."""

    def __init__(
        self,
        port: int,
        policies: Policies,
        choices: Mapping[tuple[str, str, str], Choices],
        chance: random.Random,
    ) -> None:
        self.name = "administrator"
        self.port = port
        self.policies = policies
        self.choices = choices
        self.chance = chance
        self.stopping = threading.Event()
        self.problem: str | None = None
        self.thread = threading.Thread(target=self._run, name=self.name)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            while not self.stopping.wait(PAUSE_S):
                kind, name, pattern = self.chance.choice(list(self.choices))
                definition = self.chance.choice((None, *self.choices[kind, name, pattern]))
                self._set(connection, kind, name, pattern, definition)
            # In the end there are none, so that everything comes to rest.
            for kind, name, pattern in self.choices:
                self._set(connection, kind, name, pattern, None)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _set(
        self,
        connection: http.client.HTTPConnection,
        kind: str,
        name: str,
        pattern: str,
        definition: Definition | None,
    ) -> None:
        self.policies.known.pop((kind, name), None)
        path = f"/api/{kind}/%2F/{quote(name)}"
        body = json.dumps({"pattern": pattern, "definition": definition, "apply-to": "queues"})
        if definition is None:
            status = _call(connection, "DELETE", path)[0]
        else:
            status = _call(connection, "PUT", path, body)[0]
        if status in (201, 204, 404):
            self.policies.known[kind, name] = definition
        else:
            self.problem = f"{kind} {name!r}: status {status}"


_LENGTHS: Final = ("messages", "messages_ready", "messages_unacknowledged")


def removed(port: int) -> dict[str, int]:
    """How many messages were removed for good since the start, by rule."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        status, octets = _call(connection, "GET", "/metrics")
    finally:
        connection.close()
    assert status == 200, f"metrics: status {status}"
    found = re.findall(
        r'^amqpd_messages_dropped_total\{vhost="/",reason="(\w+)"\} (\d+)$', octets.decode(), re.M
    )
    return {reason: int(count) for reason, count in found}


def delayed(port: int, queue: str) -> int:
    """How many messages of a queue are neither ready nor with a client."""
    found = [one for one in _get(port, "/api/queues/%2F") if one["name"] == queue]
    (totals,) = ([int(str(one[key])) for key in _LENGTHS] for one in found)
    return totals[0] - sum(totals[1:])


def _get(port: int, path: str) -> list[dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        status, octets = _call(connection, "GET", path)
    finally:
        connection.close()
    assert status == 200, f"{path}: status {status}"
    found: list[dict[str, object]] = json.loads(octets)
    return found


def _call(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[int, bytes]:
    headers = {"Authorization": f"Basic {_CREDENTIALS}", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()
