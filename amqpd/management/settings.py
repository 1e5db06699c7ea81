"""What can be set about the HTTP API and the metrics: the sections `[http]` and `[metrics]`.

Where a setting has a counterpart in RabbitMQ, its key there stands in brackets.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Union

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=0, le=65_535)]
# Union[...] and not `|`: Annotated aliases and Literal are evaluated when settings are read.
PortOrOff = Union[Port, Literal["off"]]  # noqa: UP007
#: Everybody's pages.
ANY_ORIGIN: Final = "*"
_Origin = Annotated[str, Meta(pattern=r"^(\*|https?://[^/\s,]+)$")]
#: What an answer is made of is not set by hand.
_HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^(?i:(?!(Set-Cookie|Connection|Transfer-Encoding|Content-(Length|Type|Encoding)"
        r"|Vary|ETag|Allow|Location|Access-Control-.*)$)[A-Za-z0-9!#$%&'*+.^_`|~-]+)$"
    ),
]
_HeaderText = Annotated[str, Meta(pattern=r"^[\t\x20-\x7e]*$")]


class Http(Struct, frozen=True):
    """The HTTP API."""

    host: Annotated[str, Meta(description="address; empty: the one of [amqp]")] = ""
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 15672
    tls_port: Annotated[
        PortOrOff, Meta(description="TLS port, usually 15671; the certificate is that of [tls]")
    ] = "off"
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            description="the newest above it are closed; at most an eighth of the limit on open "
            "files (management.tcp.max_connections)",
        ),
    ] = 500
    max_connections_per_source: Annotated[
        int, Meta(ge=0, description="the same for each address but this machine's; 0: no limit")
    ] = 100
    path_prefix: Annotated[
        str,
        Meta(
            pattern=r"^(/[A-Za-z0-9._~-]+)*$",
            description="what all paths begin with, like '/broker' "
            "(RabbitMQ: management.path_prefix)",
        ),
    ] = ""
    hsts_s: Annotated[
        int,
        Meta(
            ge=0,
            description="how long browsers are to use TLS only (Strict-Transport-Security), "
            "on the TLS port; 0: they are not told",
        ),
    ] = 31_536_000
    headers: Annotated[
        dict[_HeaderName, _HeaderText],
        Meta(
            description="headers of every answer, instead of those that the broker gives it, like "
            "{X-Frame-Options = 'SAMEORIGIN'}; an empty text: none "
            "(management.headers.*, management.csp.policy, management.hsts.policy)"
        ),
    ] = {}
    allow_header: Annotated[
        bool,
        Meta(
            description="tell the methods of a path (Allow); false: only where one is refused "
            "(management.http.hide_allow_header)"
        ),
    ] = True
    cors_origins: Annotated[
        tuple[_Origin, ...],
        Meta(
            description="pages of these origins, like 'https://ops.example.com', may use the API, "
            "also with a browser's login; '*': everybody's, but never with one "
            "(management.cors.allow_origins)"
        ),
    ] = ()
    cors_max_age_s: Annotated[
        int,
        Meta(ge=0, description="how long browsers keep what they were allowed; 0: they choose "
             "(management.cors.max_age)"),
    ] = 1800  # fmt: skip
    basic_auth: Annotated[
        bool,
        Meta(
            description="logins with a user's password; false: with tokens only "
            "(management.disable_basic_auth)"
        ),
    ] = True
    login_session_s: Annotated[
        int,
        Meta(
            ge=60,
            description="how long a login of the web page holds "
            "(management.login_session_timeout, in minutes)",
        ),
    ] = 28_800
    max_body_bytes: Annotated[
        int,
        Meta(ge=1024, description="a larger body is refused (management.http.max_body_size)"),
    ] = 10_000_000
    operator_policy_changes: Annotated[
        bool,
        Meta(
            description="false: operator policies are neither shown one by one nor changed here "
            "(management.restrictions.operator_policy_changes.disabled)"
        ),
    ] = True
    quorum_replica_changes: Annotated[
        bool,
        Meta(
            description="false: no replicas of quorum queues are added or removed here "
            "(management.restrictions.quorum_queue_replica_operations.disabled)"
        ),
    ] = True
    definitions_json_only: Annotated[
        bool,
        Meta(
            description="true: a form's file of definitions must have a name that ends in .json "
            "(management.definitions.require_json_extension)"
        ),
    ] = False
    reference_needs_login: Annotated[
        bool,
        Meta(
            description="true: /api/index.html and openapi.json only for who is logged in "
            "(management.require_auth_for_api_reference)"
        ),
    ] = False
    local_socket: Annotated[
        bool,
        Meta(
            description="amqpd.sock in the data directory: the command line of this user and of "
            "root needs no password and no port"
        ),
    ] = True

    @property
    def login_session_minutes(self) -> int:
        """As RabbitMQ tells it."""
        return self.login_session_s // 60


class Metrics(Struct, frozen=True):
    """Metrics for Prometheus."""

    host: Annotated[str, Meta(description="address; empty: the one of [amqp]")] = ""
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 15692
    tls_port: Annotated[
        PortOrOff, Meta(description="TLS port, usually 15691; the certificate is that of [tls]")
    ] = "off"
    per_object: Annotated[
        bool,
        Meta(
            description="/metrics has a sample for each queue and connection, as "
            "/metrics/per-object has (RabbitMQ: prometheus.return_per_object_metrics)"
        ),
    ] = False
