"""The keys of `rabbitmq.conf` for authentication backends: OAuth 2, HTTP, LDAP, and the cache.

KEYS                        keys with one meaning
Several()                   keys that make one setting together
    .take(key, value)       whether the key is one of these
    .settings()             what they mean
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Value: TypeAlias = "str | int | float | bool | list[str] | dict[str, str | list[str]]"

#: Backends by all their names.
BACKENDS: Final = {
    "rabbit_auth_backend_internal": "internal",
    "rabbit_auth_backend_ldap": "ldap",
    "rabbit_auth_backend_http": "http",
    "rabbit_auth_backend_oauth2": "oauth2",
    "rabbit_auth_backend_cache": "cache",
    "oauth": "oauth2",
}
#: Milliseconds for what has no limit.
_INFINITY_MS: Final = 600_000


def seconds(text: str) -> float:
    """Milliseconds, as RabbitMQ has them, in seconds."""
    if text == "infinity":
        return _INFINITY_MS / 1000
    if not text.isdecimal():
        raise ValueError("must be a number of milliseconds")
    return int(text) / 1000


def truth(text: str) -> bool:
    """true or false."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def number(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise ValueError("must be a number")
    return int(text)


def _or_nothing(text: str) -> str:
    return "" if text == "none" else text


#: Keys with one meaning: our setting, and how the value is read.
KEYS: Final[Mapping[str, tuple[str, Callable[[str], Value]]]] = {
    "auth_cache.cache_ttl": ("auth.cache_ttl_s", seconds),
    **{
        f"auth_http.{name}": (f"auth_http.{name}", str)
        for name in ("http_method", "user_path", "vhost_path", "resource_path", "topic_path")
    },
    "auth_http.request_timeout": ("auth_http.request_timeout_s", seconds),
    "auth_http.ssl_options.cacertfile": ("auth_http.ca", str),
    "auth_ldap.port": ("auth_ldap.port", number),
    "auth_ldap.timeout": ("auth_ldap.timeout_s", seconds),
    "auth_ldap.connection_pool_size": ("auth_ldap.connection_pool_size", number),
    "auth_ldap.use_ssl": ("auth_ldap.use_ssl", truth),
    "auth_ldap.use_starttls": ("auth_ldap.use_starttls", truth),
    "auth_ldap.ssl_options.cacertfile": ("auth_ldap.ca", str),
    "auth_ldap.user_dn_pattern": ("auth_ldap.user_dn_pattern", str),
    "auth_ldap.user_bind_pattern": ("auth_ldap.user_bind_pattern", _or_nothing),
    "auth_ldap.dn_lookup_attribute": ("auth_ldap.dn_lookup_attribute", _or_nothing),
    "auth_ldap.dn_lookup_base": ("auth_ldap.dn_lookup_base", _or_nothing),
    "auth_ldap.group_lookup_base": ("auth_ldap.group_lookup_base", _or_nothing),
    **{
        f"auth_ldap.{name}{ours}": (f"auth_ldap.{name}{mine}", str)
        for name in ("dn_lookup_bind", "other_bind")
        for ours, mine in (("", ""), (".user_dn", ""), (".password", "_password"))
    },
    **{
        f"auth_ldap.queries.{name}": (f"auth_ldap.{name}_query", str)
        for name in ("vhost_access", "resource_access", "topic_access")
    },
    **{
        f"auth_oauth2.{name}": (f"auth_oauth2.{name}", str)
        for name in (
            "resource_server_id", "issuer", "discovery_endpoint_path", "jwks_uri", "default_key",
            "scope_prefix", "additional_scopes_key",
        )
    },
    "auth_oauth2.jwks_url": ("auth_oauth2.jwks_uri", str),
    "auth_oauth2.verify_aud": ("auth_oauth2.verify_aud", truth),
    "auth_oauth2.require_exp": ("auth_oauth2.require_exp", truth),
    "auth_oauth2.https.cacertfile": ("auth_oauth2.ca", str),
}  # fmt: skip

#: What makes lists (by number) and maps (by name).
_LISTS: Final = {
    "auth_ldap.servers": "auth_ldap.servers",
    "auth_oauth2.algorithms": "auth_oauth2.algorithms",
    "auth_oauth2.preferred_username_claims": "auth_oauth2.preferred_username_claims",
}
_KEYS_OF: Final = "auth_oauth2.signing_keys"
_ALIASES: Final = "auth_oauth2.scope_aliases"
_TAGS: Final = "auth_ldap.queries.tags"
_BACKENDS_OF: Final = "auth_backends"
_CACHED: Final = "auth_cache.cached_backend"
_TAG: Final = re.compile(r"\{\s*'?([a-z_]+)'?\s*,\s*")


class Several:
    """Keys that are given one by one and make one setting together."""

    def __init__(self) -> None:
        self._given: dict[str, dict[str, str]] = {}

    def take(self, key: str, value: str) -> bool:
        """Whether the key is one of these."""
        for prefix in (*_LISTS, _KEYS_OF, _ALIASES, _TAGS, _BACKENDS_OF, _CACHED):
            if key == prefix or key.startswith(f"{prefix}."):
                self._given.setdefault(prefix, {})[key[len(prefix) + 1 :]] = value
                return True
        return False

    def settings(self) -> Iterator[tuple[str, Value]]:
        """What they mean."""
        given = self._given
        for prefix, setting in _LISTS.items():
            if prefix in given:
                yield setting, [value for _, value in sorted(given[prefix].items(), key=_place)]
        if _KEYS_OF in given:
            yield _KEYS_OF, dict(given[_KEYS_OF])
        if _ALIASES in given:
            yield _ALIASES, {name: scopes.split() for name, scopes in self._aliases()}
        if _TAGS in given:
            yield "auth_ldap.tag_queries", dict(_tags(given[_TAGS].get("", "")))
        if _BACKENDS_OF in given:
            cached = given.get(_CACHED, {}).get("", "internal")
            yield "auth.backends", _backends(given[_BACKENDS_OF], BACKENDS.get(cached, cached))

    def _aliases(self) -> Iterator[tuple[str, str]]:
        """`scope_aliases.NAME = scopes`, or `.1.alias` and `.1.scope` for names with dots."""
        given = self._given[_ALIASES]
        for name, value in given.items():
            place, _, part = name.rpartition(".")
            if place.isdecimal() and part == "alias":
                yield value, given.get(f"{place}.scope", "")
            elif not (place.isdecimal() and part == "scope"):
                yield name, value


def _place(pair: tuple[str, str]) -> tuple[int, str]:
    """Numbers by their value."""
    return (int(pair[0]), "") if pair[0].isdecimal() else (1 << 30, pair[0])


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """`[{administrator, QUERY}, {management, QUERY}]`: the queries as they are written."""
    at = 0
    while (found := _TAG.search(text, at)) is not None:
        depth, end, quoted = 1, found.end(), False
        while depth and end < len(text):
            if text[end] == '"':
                quoted = not quoted
            elif not quoted:
                depth += (text[end] in "{[") - (text[end] in "}]")
            end += 1
        yield found[1], text[found.end() : end - 1].strip()
        at = end


def _backends(given: Mapping[str, str], cached: str) -> list[str]:
    """`auth_backends.1 = ldap`, or `.1.authn` and `.1.authz`; the cache is always there."""
    whole: dict[str, str] = {}
    rights: dict[str, list[str]] = {}
    for name, value in given.items():
        place, _, part = name.partition(".")
        backend = BACKENDS.get(value, value)
        if backend == "cache":
            backend = cached
        if part.startswith("authz"):
            rights.setdefault(place, []).append(backend)
        else:
            whole[place] = backend
    return [
        f"{backend}/{'+'.join(rights[place])}" if place in rights else backend
        for place, backend in sorted(whole.items(), key=_place)
    ]
