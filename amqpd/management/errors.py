"""Errors of the HTTP API: a status, and a body that says what and why, as RabbitMQ has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.errors import AccessRefused, AmqpError, NotAllowed, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What browsers and clients are asked for.
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'}


class HttpError(Exception):
    """An answer that is not the one that was asked for; `reason` is for a person."""

    def __init__(
        self, status: int, error: str, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})


def bad_request(reason: str) -> HttpError:
    """What was sent is not what this takes."""
    return HttpError(400, "bad_request", reason)


def not_authenticated(*, asked: bool = True) -> HttpError:
    """Nobody, or nobody we know; never says which part was wrong.

    Browsers are `asked` for a password where one would help.
    """
    return HttpError(401, "not_authorized", "Not_Authorized", CHALLENGE if asked else None)


def not_authorised(reason: str) -> HttpError:
    """Somebody we know, who may not do this."""
    return HttpError(401, "not_authorised", reason)


def too_deep() -> HttpError:
    """JSON within JSON within JSON, without end."""
    return bad_request("not_json: nested too deeply")


def not_found(reason: str = "Not Found", error: str = "Object Not Found") -> HttpError:
    """There is no such thing, or not for this caller."""
    return HttpError(404, error, reason)


def exchange_not_found() -> HttpError:
    """Where messages are published, in RabbitMQ's words."""
    return not_found("exchange_not_found", "not_found")


def queue_not_found() -> HttpError:
    """Where messages are got, likewise."""
    return not_found("queue_not_found", "not_found")


def not_running() -> HttpError:
    """The broker's application was stopped by an operator."""
    reason = "the broker was stopped by stop_app; 'amqpd ctl start_app' lets it go on"
    return HttpError(503, "not_running", reason)


def not_written_down(reason: str) -> HttpError:
    """Nobody would know who has done it."""
    return HttpError(503, "service_unavailable", reason)


def disallowed(reason: str) -> HttpError:
    """The settings do not let anybody do this here."""
    return HttpError(405, "method_not_allowed", reason, {"Allow": "OPTIONS"})


def precondition_failed(reason: str) -> HttpError:
    """The thing is protected."""
    return HttpError(412, "precondition_failed", reason)


def translated(error: AmqpError) -> HttpError:
    """An error of the model as HTTP says it."""
    match error:
        case NotFound():
            return not_found(error.explanation, "not_found")
        case AccessRefused() | NotAllowed():
            return not_authorised(error.explanation)
        case _:
            return bad_request(error.explanation)
