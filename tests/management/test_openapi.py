"""The description of the API, and the manual that is made of the same table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import amqpd
from amqpd.management import manual
from amqpd.management.openapi import IN_PATH, IN_QUERY, describe, variables
from amqpd.management.resources import ROUTES

if TYPE_CHECKING:
    from tests.management.served import Api

MANUAL = Path(amqpd.__file__).parent / "docs" / "http-api.md"


async def test_the_description_is_of_the_broker_that_answers(api: Api) -> None:
    nobody = type(api)(api.broker, api.client, {})

    found = await nobody.get("/openapi.json")

    assert found["openapi"] == "3.1.0"
    assert found["info"]["version"] == amqpd.__version__
    assert set(found["paths"]) == {route.path for route in ROUTES} | {
        "/login",
        "/live",
        "/openapi.json",
    }
    assert found == await nobody.get("/openapi.json")


async def test_what_is_described_says_what_it_takes_and_who_may(api: Api) -> None:
    found = await api.get("/openapi.json")

    put = found["paths"]["/queues/{vhost}/{queue}"]["put"]
    assert put["summary"] == "Declare a queue; one that exists must be the same"
    assert put["description"] == "Needs a tag, and a permission in the vhost."
    reference = put["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    taken = found["components"]["schemas"][reference.rpartition("/")[2]]
    assert {"durable", "auto_delete", "arguments"} <= set(taken["properties"])
    assert found["paths"]["/version"]["get"]["security"] == []
    login = found["paths"]["/login"]["post"]["requestBody"]["content"]
    assert list(login) == ["application/x-www-form-urlencoded"]
    live = found["paths"]["/live"]["get"]["responses"]["200"]["content"]
    assert list(live) == ["text/event-stream"]


def test_everything_that_is_referred_to_is_there() -> None:
    found = describe(ROUTES, "1")

    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(found)))

    for reference in references:
        place: object = found
        for word in reference.split("/"):
            assert isinstance(place, dict)
            place = place[word]
    assert len(references) > 40


def test_every_name_is_explained_and_none_is_for_nothing() -> None:
    in_paths = {name for route in ROUTES for name in variables(route)}
    in_queries = {
        name for route in ROUTES for operation in route.methods.values() for name in operation.query
    }

    assert in_paths == set(IN_PATH)
    assert in_queries | {"path", "interval", "paths"} == set(IN_QUERY)


def test_every_operation_has_a_summary_and_a_name_of_its_own() -> None:
    names = []
    for path in describe(ROUTES, "1")["paths"].values():  # type: ignore[attr-defined]
        for method, operation in path.items():
            if method != "parameters":
                assert operation["summary"]
                names.append(operation["operationId"])

    assert len(names) == len(set(names))


def test_the_manual_has_every_path() -> None:
    text = MANUAL.read_text()

    assert manual.write(text) == text, "run python -m amqpd.management.manual on it"
