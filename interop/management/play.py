"""Makes all calls at one broker, which has nothing but guest and the vhost /, and writes the
answers as JSON: what `run` starts, once for each broker.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import calls
import changes
import judge
import shape
import state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calls import Call
    from shape import Facts, Json

#: What a broker answered to each call, in the order in which they were made.
Answers: TypeAlias = dict[str, "Facts"]

#: RabbitMQ's statistics are up to date after two of its intervals of 5 s.
SETTLED_S = 60.0
STARTED_S = 60.0
OK = 200
ASK_AGAIN_S = 0.1
_PID = re.compile(r"<\d+\.\d+\.\d+>")
_CONNECTION = re.compile(r"\d+\.\d+\.\d+\.\d+:\d+ -> \d+\.\d+\.\d+\.\d+:\d+")
_GENERATED = re.compile(r"amq\.(gen|ctag)-[\w-]+")


class Player:
    """The calls and their answers at one broker."""

    def __init__(self, host: str, http_port: int, amqp_port: int) -> None:
        self._host = host
        self._port = http_port
        self._amqp = amqp_port
        self._names: dict[str, str] = {}
        self.answers: Answers = {}

    def play(self) -> Answers:
        """Make all calls; the answers.

        Raises:
            SystemExit: its numbers never became what the clients did.
        """
        whole = self._first()
        assert isinstance(whole, dict)
        self._names = {"node": str(whole["node"]), "amqp": str(self._amqp)}
        self._make(calls.DEFINE)
        clients = state.Clients(self._host, self._amqp)
        try:
            self._names |= clients.names
            clients.act()
            self._settle()
            self._make(calls.LOOK)
            self._make(changes.WRONG)
            self._make(changes.CHANGE)
        finally:
            clients.close()
        return self.answers

    def _first(self) -> Json:
        """Ask for the first time: its HTTP port may open after its AMQP port."""
        deadline = time.monotonic() + STARTED_S
        while True:
            try:
                status, _, whole = self._ask(calls.Call("GET", "/overview"))
                if status == OK:
                    return whole
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(ASK_AGAIN_S)

    def _settle(self) -> None:
        """Wait until the numbers are what the clients did."""
        deadline = time.monotonic() + SETTLED_S
        while True:
            seen = self._counted()
            if seen == state.COUNTED:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"{seen}, not {state.COUNTED}")
            time.sleep(ASK_AGAIN_S)

    def _counted(self) -> dict[str, Json]:
        """The numbers that come last."""
        whole, connections, channels, queues = (
            self._json(f"/{name}") for name in ("overview", "connections", "channels", "queues")
        )
        assert isinstance(whole, dict)
        totals, stats = whole["queue_totals"], whole["message_stats"]
        assert isinstance(totals, dict)
        assert isinstance(stats, dict)
        assert isinstance(connections, list)
        assert isinstance(channels, list)
        assert isinstance(queues, list)
        return {
            "ready": totals.get("messages_ready"),
            **{name: stats.get(name) for name in ("publish", "deliver", "get", "ack")},
            "connections": sum("recv_oct" in one for one in connections),
            "channels": sum("message_stats" in one for one in channels),
            "idle": sum("idle_since" in one for one in channels),
            "queues": sum("message_stats" in one for one in queues),
            "lengths": sum("messages_ready_details" in one for one in queues),
        }

    def _json(self, path: str) -> Json:
        return self._ask(calls.Call("GET", path))[2]

    def _make(self, some: Iterable[Call]) -> None:
        for call in some:
            name, times = call.name, 2
            while name in self.answers:
                name, times = f"{call.name} ({times})", times + 1
            status, headers, body = self._ask(call)
            found = shape.facts(status, headers, body)
            self.answers[name] = {self._same(at): self._same(it) for at, it in found.items()}

    def _same(self, text: str) -> str:
        """The text with what every broker calls otherwise replaced."""
        for name, value in self._names.items():
            if name != "amqp":
                text = text.replace(value, f"{{{name}}}")
                text = text.replace(quote(value, safe=""), f"{{{name}}}")
        for port, name in ((self._port, "http"), (self._amqp, "amqp")):
            text = re.sub(rf"\b{port}\b", f"{{{name}}}", text)
        text = _GENERATED.sub("{generated}", _CONNECTION.sub("{connection}", text))
        return _PID.sub("{pid}", text)

    def _ask(self, call: Call) -> tuple[int, dict[str, str], Json]:
        path = call.path
        for name, value in self._names.items():
            path = path.replace(f"{{{name}}}", quote(value, safe="@"))
        headers = dict(call.headers)
        if call.user:
            secret = "wrong" if call.user == "stranger" else call.user
            pair = base64.b64encode(f"{call.user}:{secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        octets = None
        if call.raw is not None:
            octets = call.raw.encode()
        elif call.body is not None:
            octets = json.dumps(call.body).replace("{node}", self._names["node"]).encode()
        if octets is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            path = path.replace(" ", "%20")
            connection.request(call.method, f"/api{path}", octets, headers)
            answer = connection.getresponse()
            body = answer.read()
            given = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        return answer.status, given, _body(body)


def _body(octets: bytes) -> Json:
    """JSON, or text as a list of its lines; nothing is null."""
    if not octets:
        return None
    try:
        found: Json = json.loads(octets)
    except ValueError:
        return octets.decode(errors="replace").splitlines()
    return found


def main() -> None:
    """Play against the broker that was named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--address", required=True, help="HOST:HTTPPORT:AMQPPORT")
    options = parser.parse_args()
    host, http_port, amqp_port = options.address.split(":")
    judge.write_answers(options.out, Player(host, int(http_port), int(amqp_port)).play())


if __name__ == "__main__":
    main()
