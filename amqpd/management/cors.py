"""Pages of other origins: what browsers are told of who may use the API (Fetch, CORS).

    mark(answer, request, settings)     the headers of an answer, whatever it is
    is_trusted(request, settings)       whether the page that asks is of a named origin

Without `http.cors_origins` nothing is said, and browsers keep such pages out. An origin is
echoed only if it is listed by name; only then may a request carry a browser's login. For `*`
the answer is `*`, for which browsers send none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from amqpd.management.settings import ANY_ORIGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.management.request import Answer, Request
    from amqpd.management.settings import Http

_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


def is_trusted(request: Request, settings: Http) -> bool:
    """Whether the page that asks is one of those that were listed by name."""
    origin = request.headers.get("origin", "")
    return origin != ANY_ORIGIN and origin in settings.cors_origins


def mark(answer: Answer, request: Request, settings: Http) -> None:
    """Say who may read this answer; caches are always told that it depends on who asks."""
    answer.headers["Vary"] = "Origin"
    for name, value in _allowed(answer, request, settings):
        answer.headers[name] = value


def _allowed(answer: Answer, request: Request, settings: Http) -> Iterator[tuple[str, str]]:
    origin = request.headers.get("origin", "")
    if is_trusted(request, settings):
        yield "Access-Control-Allow-Origin", origin
        yield "Access-Control-Allow-Credentials", "true"
    elif ANY_ORIGIN in settings.cors_origins and origin not in ("", "null", ANY_ORIGIN):
        yield "Access-Control-Allow-Origin", ANY_ORIGIN
    else:
        return
    if request.method != "OPTIONS" or "Allow" not in answer.headers:
        return
    yield "Access-Control-Allow-Methods", answer.headers["Allow"]
    names = request.headers.get("access-control-request-headers", "")
    if _NAMES.fullmatch(names):
        yield "Access-Control-Allow-Headers", names
    if settings.cors_max_age_s:
        yield "Access-Control-Max-Age", str(settings.cors_max_age_s)
