"""The API against its own description: requests made from it, valid ones and not.

The description is fetched from a broker that works, and the requests go to it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from amqpd.testing import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from schemathesis.schemas import APIOperation, BaseSchema

    Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

#: What has to hold of every answer, whatever was asked.
CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
#: An alarm, or a check that has failed.
NOT_NOW = 503
#: Requests that are made of each operation, unless `--fuzz-inputs` says more.
EXAMPLES = 2


@pytest.fixture
def chosen(request: pytest.FixtureRequest) -> settings:
    """How requests are made: the same ones each time."""
    return settings(
        max_examples=request.config.getoption("--fuzz-inputs") or EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def base() -> Iterator[str]:
    """Where the API of a broker is, with user and password."""
    with EmbeddedBroker(settings={"http.port": 0}) as broker:
        yield f"{broker.http_uri.rstrip('/')}/api"


@pytest.fixture
def description(base: str) -> BaseSchema:
    """What the broker tells of its API; a live view has no end to wait for."""
    return schemathesis.openapi.from_url(f"{base}/openapi.json").exclude(path=["/live", "/livelog"])


def test_what_is_asked_as_described_is_answered_as_described(
    description: BaseSchema, base: str, chosen: settings
) -> None:
    for operation in operations(description):
        attempt(operation, base, chosen, GenerationMode.POSITIVE)


def test_what_is_asked_otherwise_is_answered_as_described(
    description: BaseSchema, base: str, chosen: settings
) -> None:
    tried = 0
    for operation in operations(description):
        # Where there is nothing to say, nothing can be said wrongly.
        with contextlib.suppress(Unsatisfiable):
            attempt(operation, base, chosen, GenerationMode.NEGATIVE)
            tried += 1
    assert tried > 50


def operations(description: BaseSchema) -> Iterator[Operation]:
    """All that is described."""
    for found in description.get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


def attempt(operation: Operation, base: str, chosen: settings, mode: GenerationMode) -> None:
    """Call one operation a few times."""
    uri = urlsplit(base)

    @chosen
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        answer = case.call(base_url=base, auth=(uri.username, uri.password))
        assert answer.status_code < 500 or answer.status_code == NOT_NOW, answer.content
        case.validate_response(answer, checks=CONFORMANCE)

    run()
