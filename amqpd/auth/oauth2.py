"""The OAuth 2 backend: the password is a JSON Web Token, and the token says everything.

    OAuth2Backend(settings)
        await .login(name, token, host)     the name that was sent does not matter

The signature must be that of one of the provider's keys, by an algorithm that was configured
and that fits the key; audience, issuer and times must be right. The user's name and tags come
from the claims, the rights from the scopes (`scopes`). A connection ends with its token,
unless a new one of the same user comes in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jwt

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.keys import Keys
from amqpd.auth.scopes import Rules, ScopeAuthority, TooManyScopes, normalized, tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.auth.around import Around
    from amqpd.auth.chain import Login
    from amqpd.auth.keys import Key
    from amqpd.auth.settings import OAuth2

#: Longer ones are not looked at.
TOKEN_BYTES: Final = 65_536
UNKNOWN: Final = "unknown"
#: What a token can cause by what is in it; a key that does not fit an algorithm is a TypeError.
_NOT_VALID: Final = (
    jwt.exceptions.PyJWTError,
    TooManyScopes,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
)


class OAuth2Backend:
    """Takes tokens of one provider for passwords."""

    name = "oauth2"

    def __init__(self, settings: OAuth2, remember_s: float) -> None:
        self.remember_s = remember_s
        self._settings = settings
        self._keys = Keys(settings)
        prefix = settings.scope_prefix
        if prefix == "default":
            prefix = f"{settings.resource_server_id}." if settings.resource_server_id else ""
        self._rules = Rules(
            settings.resource_server_id,
            prefix,
            settings.scope_aliases,
            settings.additional_scopes_key,
        )

    async def login(self, name: str, password: str | None, host: str) -> Login:
        """Accept a valid token; without one there is nothing to go by."""
        if password is None:
            return Refused("there is no token")
        if len(password) > TOKEN_BYTES:
            return Refused("the token is too long")
        try:
            algorithm, key = await self._key_of(password)
            claims = self._verified(password, algorithm, key)
            scopes = normalized(claims, self._rules)
        except _NOT_VALID as error:
            return Refused(f"the token is not valid: {error}")
        expires = claims.get("exp")
        return Accepted(
            self._username(claims),
            tags(scopes),
            ScopeAuthority(scopes, claims),
            float(expires) if isinstance(expires, (int, float)) else None,
        )

    async def close(self) -> None:
        """Close what is open to the provider."""
        await self._keys.close()

    async def _key_of(self, token: str) -> tuple[str, Key]:
        """The algorithm and the key that a token names.

        Raises:
            PyJWTError: it is no token, or they are not among ours.
        """
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid", "")
        if algorithm not in self._settings.algorithms:
            raise jwt.exceptions.InvalidAlgorithmError("its algorithm is not allowed")
        key = await self._keys.find(kid if isinstance(kid, str) else "")
        if key is None:
            raise jwt.exceptions.InvalidKeyError("it is signed with a key that nobody knows")
        if key.algorithm not in ("", algorithm):
            raise jwt.exceptions.InvalidAlgorithmError("its algorithm is not that of the key")
        return algorithm, key

    def _verified(self, token: str, algorithm: str, key: Key) -> Mapping[str, object]:
        settings = self._settings
        required = ["exp"] if settings.require_exp else []
        audience = settings.resource_server_id if settings.verify_aud else None
        claims: dict[str, object] = jwt.decode(
            token,
            key.public,
            algorithms=[algorithm],
            audience=audience,
            options={
                "require": required + (["aud"] if settings.verify_aud else []),
                "verify_aud": settings.verify_aud,
                # The issuer is where the keys come from; many providers have several names.
                "verify_iss": False,
                # Of the provider's clock only the end and the beginning matter.
                "verify_iat": False,
                "verify_sub": False,
            },
        )
        return claims

    def _username(self, claims: Mapping[str, object]) -> str:
        for claim in self._settings.preferred_username_claims:
            value = claims.get(claim)
            if isinstance(value, str) and value:
                return value
        return UNKNOWN


def make(around: Around) -> OAuth2Backend:
    """The backend of these settings."""
    return OAuth2Backend(around.oauth2, around.cache_ttl_s)
