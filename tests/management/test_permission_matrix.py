"""Every operation of HTTP that acts on a vhost, and the rights that it needs: those of AMQP.

As `tests/wire/test_permission_matrix.py` has it: with exactly these it works; without any one of
them it is refused, by name, and nothing has happened. An operation that is neither in the table
nor told to be without rights of its own fails the last test.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from amqpd.management import resources
from amqpd.management.access import Needs
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.management.served import Api, Json

#: What a right is asked for: right and name.
Need = tuple[str, str]
RIGHTS: Final = ("configure", "write", "read")
MESSAGE: Final = {
    "routing_key": "q",
    "properties": {},
    "payload": "x",
    "payload_encoding": "string",
}
WISH: Final = {"ackmode": "ack_requeue_true", "count": 1, "encoding": "auto"}
ONE: Final = "/queues/{vhost}/{queue}/messages/{place}"
BINDING: Final = "/bindings/{vhost}/e/{source}/{kind}/{destination}"


@dataclass(frozen=True)
class Operation:
    """A request, of which route it is, and what it needs."""

    method: str
    route: str
    path: str
    body: Json
    status: int
    needs: tuple[Need, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def at(
    method: str, route: str, path: str, status: int, *needs: Need, body: Json = None
) -> Operation:
    return Operation(method, route, path, body, status, needs)


QUEUE, EXCHANGE = "/queues/{vhost}/{queue}", "/exchanges/{vhost}/{exchange}"
OPERATIONS: Final = (
    at("PUT", QUEUE, "/queues/%2F/new", 201, ("configure", "new"), body={}),
    at("PUT", QUEUE, "/queues/%2F/q", 204, ("configure", "q"), body={}),
    at("PUT", QUEUE, "/queues/%2F/new", 201, ("configure", "new"), ("read", "new"),
       ("write", "dlx"), body={"arguments": {"x-dead-letter-exchange": "dlx"}}),
    at("DELETE", QUEUE, "/queues/%2F/q", 204, ("configure", "q")),
    at("DELETE", f"{QUEUE}/contents", "/queues/%2F/q/contents", 204, ("read", "q")),
    at("PUT", f"{QUEUE}/pause", "/queues/%2F/q/pause", 204, ("configure", "q")),
    at("PUT", f"{QUEUE}/resume", "/queues/%2F/q/resume", 204, ("configure", "q")),
    at("POST", f"{QUEUE}/get", "/queues/%2F/q/get", 200, ("read", "q"), body=WISH),
    at("POST", f"{QUEUE}/peek", "/queues/%2F/q/peek", 200, ("read", "q"), body={}),
    at("POST", f"{QUEUE}/move", "/queues/%2F/q/move", 200, ("read", "q"), ("write", "amq.default"),
       body={"destination": "r"}),
    at("GET", ONE, "/queues/%2F/q/messages/0.0", 200, ("read", "q")),
    at("DELETE", ONE, "/queues/%2F/q/messages/0.0", 204, ("read", "q")),
    at("POST", f"{ONE}/copy", "/queues/%2F/q/messages/0.0/copy", 204, ("read", "q"),
       ("write", "amq.default"), body={"destination": "r"}),
    at("POST", f"{ONE}/move", "/queues/%2F/q/messages/0.0/move", 204, ("read", "q"),
       ("write", "amq.default"), body={"destination": "r"}),
    at("PUT", EXCHANGE, "/exchanges/%2F/new", 201, ("configure", "new"), body={"type": "fanout"}),
    at("PUT", EXCHANGE, "/exchanges/%2F/new", 201, ("configure", "new"), ("read", "new"),
       ("write", "ae"), body={"type": "fanout", "arguments": {"alternate-exchange": "ae"}}),
    at("DELETE", EXCHANGE, "/exchanges/%2F/x", 204, ("configure", "x")),
    at("POST", f"{EXCHANGE}/publish", "/exchanges/%2F/x/publish", 200, ("write", "x"),
       body=MESSAGE),
    at("POST", f"{EXCHANGE}/publish", "/exchanges/%2F/amq.default/publish", 200,
       ("write", "amq.default"), body=MESSAGE),
    at("POST", BINDING, "/bindings/%2F/e/x/q/q", 201, ("write", "q"), ("read", "x"),
       body={"routing_key": "new"}),
    at("POST", BINDING, "/bindings/%2F/e/x/e/y", 201, ("write", "y"), ("read", "x"), body={}),
    at("DELETE", f"{BINDING}/{{properties_key}}", "/bindings/%2F/e/x/q/q/k", 204, ("write", "q"),
       ("read", "x")),
    at("PUT", "/stream/super-streams/{vhost}/{name}", "/stream/super-streams/%2F/s", 204,
       ("configure", "s"), ("configure", "s-0"), ("write", "s-0"), ("read", "s"),
       body={"partitions": 1}),
    at("GET", "/stream/{vhost}/{queue}/tracking", "/stream/%2F/st/tracking", 200, ("read", "st")),
    at("GET", "/aliveness-test/{vhost}", "/aliveness-test/%2F", 200,
       ("configure", "aliveness-test"), ("read", "aliveness-test"), ("write", "amq.default")),
)  # fmt: skip

#: What changes nothing for anybody, or has a rule of its own: consumers are ended by their users.
FREE: Final = {
    ("POST", f"{QUEUE}/actions"),
    ("PUT", f"{QUEUE}/restart"),
    ("POST", f"{QUEUE}/stream"),
    ("DELETE", "/consumers/{vhost}/{connection}/{number}/{consumer}"),
}


@asynccontextmanager
async def place(folder: Path, needs: tuple[Need, ...]) -> AsyncIterator[tuple[Api, Api]]:
    """A vhost with everything that the operations are about; guest, and who has these rights."""
    async with served(folder) as api:
        for queue in ("q", "r"):
            await api.put(f"/queues/%2F/{queue}")
        await api.put("/queues/%2F/st", {"durable": True, "arguments": {"x-queue-type": "stream"}})
        for exchange in ("x", "y", "ae", "dlx"):
            await api.put(f"/exchanges/%2F/{exchange}", {"type": "direct"})
        await api.post("/bindings/%2F/e/x/q/q", {"routing_key": "k"}, 201)
        await api.post("/exchanges/%2F/amq.default/publish", MESSAGE)
        worker = await api.user("worker", "management")
        patterns = {
            right: "|".join(f"^{name}$".replace(".", "[.]") for one, name in needs if one == right)
            for right in RIGHTS
        }
        await api.put("/permissions/%2F/worker", patterns)
        yield api, worker


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


@each_operation
async def test_exactly_what_is_needed_is_enough(operation: Operation, tmp_path: Path) -> None:
    async with place(tmp_path, operation.needs) as (_, worker):
        await worker.call(operation.method, operation.path, operation.status, operation.body)


@each_operation
async def test_without_any_one_of_them_it_is_refused_and_nothing_happens(
    operation: Operation, tmp_path: Path
) -> None:
    for number, missing in enumerate(operation.needs):
        needs = tuple(one for one in operation.needs if one != missing)
        async with place(tmp_path / str(number), needs) as (api, worker):
            before = await api.get("/definitions")

            answer, _ = await worker.call(operation.method, operation.path, 401, operation.body)

            right, name = missing
            assert f"{right} access to " in answer["reason"]
            assert f" '{name}' in vhost '/' refused for user 'worker'" in answer["reason"]
            if operation.method != "GET":
                # The test of aliveness has declared its queue by then.
                assert await api.get("/definitions") == before
            assert (await api.get("/queues/%2F/q"))["messages_ready"] == 1


async def test_topics_are_limited_over_http_too(tmp_path: Path) -> None:
    async with place(tmp_path, tuple((right, ".*") for right in RIGHTS)) as (api, worker):
        await api.put("/permissions/%2F/worker", dict.fromkeys(RIGHTS, ".*"), 204)
        rights = {"exchange": "amq.topic", "write": "^a", "read": "^a"}
        await api.put("/topic-permissions/%2F/worker", rights)

        for key, status in (("a.b", 200), ("b", 401)):
            message = {**MESSAGE, "routing_key": key}
            await worker.post("/exchanges/%2F/amq.topic/publish", message, status)
        copies = {**MESSAGE, "routing_key": "a", "properties": {"headers": {"CC": ["b"]}}}
        await worker.post("/exchanges/%2F/amq.topic/publish", copies, 401)
        for key, status in (("a.#", 201), ("#", 401)):
            await worker.post("/bindings/%2F/e/amq.topic/q/q", {"routing_key": key}, status)
        await api.post("/bindings/%2F/e/amq.topic/q/q", {"routing_key": "#"}, 201)
        await worker.delete("/bindings/%2F/e/amq.topic/q/q/%23", 401)


def test_the_table_has_every_operation_that_acts_on_a_vhost() -> None:
    acting = {
        (method, route.path)
        for route in resources.ROUTES
        for method, operation in route.methods.items()
        if operation.needs is Needs.VHOST and method != "GET"
    }
    covered = {(one.method, one.route) for one in OPERATIONS}

    assert acting == {one for one in covered if one[0] != "GET"} | FREE
