"""Management: the HTTP API under `/api`, metrics and what the web page shows.

RabbitMQ's paths, methods, JSON keys, rights and status codes, so that whatever speaks to its
management API speaks to this one. Nothing here knows a socket: `server/http.py` turns what
came in into a `Request` and writes the `Answer`.

How a request travels: `api.Api.answer` finds the route by the quoted path (`routing`), logs the
caller in and checks its tags (`access`), then calls the operation with a `Call`. One file per
resource holds its operations and its table of routes; `resources.ROUTES` is all of them, and
what OpenAPI is made from. What changes anything goes through the broker's commands and is
answered when it is on disk. Lists are worked off in slices, so that no number of queues holds
the loop up (`listing`).
"""
