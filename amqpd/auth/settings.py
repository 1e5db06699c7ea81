"""What can be set about authentication backends; the names are RabbitMQ's.

The sections `[auth_oauth2]`, `[auth_http]` and `[auth_ldap]`; which backends are asked, and in
which order, is `auth.backends`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]


class OAuth2(Struct, frozen=True):
    """OAuth 2: the password is a JSON Web Token."""

    resource_server_id: Annotated[str, Meta(description="this broker, as tokens name it")] = ""
    issuer: Annotated[
        str, Meta(description="URL of the provider; its keys are found by discovery")
    ] = ""
    discovery_endpoint_path: Annotated[str, Meta(description="below the issuer")] = (
        ".well-known/openid-configuration"
    )
    jwks_uri: Annotated[str, Meta(description="URL of the keys, instead of an issuer")] = ""
    signing_keys: Annotated[
        dict[str, str], Meta(description="PEM files of public keys by key id, instead of a URL")
    ] = {}
    default_key: Annotated[str, Meta(description="key id for tokens that name none")] = ""
    algorithms: Annotated[tuple[str, ...], Meta(description="of signatures; never 'none'")] = (
        "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
    )  # fmt: skip
    verify_aud: Annotated[bool, Meta(description="the audience must name the resource server")] = (
        True
    )
    require_exp: Annotated[bool, Meta(description="tokens must have an end")] = True
    preferred_username_claims: Annotated[
        tuple[str, ...], Meta(description="the first one that is there is the user's name")
    ] = ("sub", "client_id")
    scope_prefix: Annotated[
        str, Meta(description="of scopes for this broker; 'default': resource_server_id and a dot")
    ] = "default"
    scope_aliases: Annotated[
        dict[str, str | tuple[str, ...]], Meta(description="scopes that a scope stands for")
    ] = {}
    additional_scopes_key: Annotated[
        str, Meta(description="claims with more scopes, as paths with dots, separated by spaces")
    ] = ""
    ca: Annotated[str, Meta(description="PEM file: who signs the provider's certificate")] = ""
    request_timeout_s: Annotated[Seconds, Meta(description="for the provider's answers")] = 10
    keys_max_age_s: Annotated[
        Seconds, Meta(description="keys are fetched again after; or when one is unknown")
    ] = 3600


class HttpAuth(Struct, frozen=True):
    """Authentication and rights by an HTTP service."""

    http_method: Annotated[Literal["get", "post"], Meta(description="how it is asked")] = "get"
    user_path: Annotated[str, Meta(description="URL: who may log in, with which tags")] = (
        "http://localhost:8000/auth/user"
    )
    vhost_path: Annotated[str, Meta(description="URL: who may enter a vhost")] = (
        "http://localhost:8000/auth/vhost"
    )
    resource_path: Annotated[str, Meta(description="URL: who may use a queue or exchange")] = (
        "http://localhost:8000/auth/resource"
    )
    topic_path: Annotated[str, Meta(description="URL: who may use a routing key")] = (
        "http://localhost:8000/auth/topic"
    )
    ca: Annotated[str, Meta(description="PEM file: who signs the service's certificate")] = ""
    request_timeout_s: Annotated[Seconds, Meta(description="for an answer")] = 15


class Ldap(Struct, frozen=True):
    """Authentication and rights by an LDAP directory. Queries are RabbitMQ's, as Erlang terms."""

    servers: Annotated[tuple[str, ...], Meta(description="tried in their order")] = ()
    port: Annotated[int, Meta(ge=1, le=65_535, description="of all servers")] = 389
    use_ssl: Annotated[bool, Meta(description="TLS from the first octet, usually port 636")] = False
    use_starttls: Annotated[bool, Meta(description="TLS by StartTLS")] = False
    ca: Annotated[str, Meta(description="PEM file: who signs the servers' certificates")] = ""
    timeout_s: Annotated[Seconds, Meta(description="to connect, and for an answer")] = 10
    connection_pool_size: Annotated[
        int, Meta(ge=1, le=64, description="connections, each with a thread")
    ] = 4
    user_dn_pattern: Annotated[str, Meta(description="of a user's entry")] = "${username}"
    user_bind_pattern: Annotated[
        str, Meta(description="the name to log in with; empty: user_dn_pattern")
    ] = ""
    dn_lookup_attribute: Annotated[
        str, Meta(description="find a user's entry by this attribute; empty: do not")
    ] = ""
    dn_lookup_base: Annotated[str, Meta(description="below this entry")] = ""
    dn_lookup_bind: Annotated[
        str, Meta(description="who looks: 'as_user', 'anon' or the DN of an entry")
    ] = "as_user"
    dn_lookup_bind_password: Annotated[str, Meta(description="of that entry")] = ""
    other_bind: Annotated[
        str, Meta(description="who asks the queries: 'as_user', 'anon' or the DN of an entry")
    ] = "as_user"
    other_bind_password: Annotated[str, Meta(description="of that entry")] = ""
    group_lookup_base: Annotated[
        str, Meta(description="for nested groups; empty: dn_lookup_base")
    ] = ""
    vhost_access_query: Annotated[str, Meta(description="who may enter a vhost")] = (
        "{constant, true}"
    )
    resource_access_query: Annotated[
        str, Meta(description="who may use a queue or an exchange")
    ] = "{constant, true}"
    topic_access_query: Annotated[str, Meta(description="who may use a routing key")] = (
        "{constant, true}"
    )
    tag_queries: Annotated[
        dict[str, str], Meta(description="a query for each tag that users may have")
    ] = {}
