"""Addresses that RabbitMQ's pages have: where people and scripts look first.

    ELSEWHERE           paths that are answered with another path
    paths_page(routes)  the API's paths as a page, at `/api/index.html`
    programs_page()     what there is instead of a download, at `/cli/index.html`

The pages name nothing of this broker: whoever comes is not logged in yet.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from amqpd.management.openapi import NEEDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from amqpd.management.routing import Route

PATHS: Final = "/api/index.html"
PROGRAMS: Final = "/cli/index.html"
ELSEWHERE: Final[Mapping[str, str]] = {
    "/api": PATHS,
    "/cli": PROGRAMS,
    "/stats": PATHS,
    "/doc/stats.html": PATHS,
    "/mgmt": "/",
}


def paths_page(routes: Iterable[Route]) -> str:
    """Every path with its methods, what they do and who may."""
    rows = "".join(_rows(routes))
    head = "<tr><th>path<th>method<th>what it does<th>needs"
    more = 'In OpenAPI: <a href="openapi.json">openapi.json</a>.'
    return _page("HTTP API", f"<p>{more}<table>{head}{rows}</table>")


def _rows(routes: Iterable[Route]) -> Iterator[str]:
    for route in routes:
        path = escape(f"/api{route.path}")
        for method, operation in route.methods.items():
            about, needs = escape(operation.summary), escape(NEEDS[operation.needs])
            yield f"<tr><td><code>{path}</code><td>{method}<td>{about}<td>{needs}"


def programs_page() -> str:
    """Which programs speak this API."""
    return _page(
        "Command line",
        "<p><code>amqpd</code> and <code>amqpd ctl</code>, which takes what rabbitmqctl takes, come"
        " with the broker. rabbitmqadmin works with this API as it is; it is not served here.",
    )


def _page(title: str, body: str) -> str:
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}\n'
