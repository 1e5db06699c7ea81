"""The keys that a provider signs tokens with: from files, or fetched and kept.

    Keys(settings)
        await .find(kid) -> Key | None      fetched anew when it is not known, or old
        await .close()

A provider that cannot be reached keeps its last keys. A key id that nobody knows makes the
keys be fetched again, but not more often than every `LEAST_S`: whoever sends tokens with made
up ids must not turn the broker against the provider.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import jwt

from amqpd.text import masked

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys

    from amqpd.auth.settings import OAuth2

log = logging.getLogger(__name__)

#: Between two fetches that unknown key ids cause.
LEAST_S: Final = 10.0
#: More of an answer is not read, nor more keys taken.
ANSWER_BYTES: Final = 1_048_576
MOST_KEYS: Final = 100


class Key(NamedTuple):
    """A public key, as PyJWT takes it, and the one algorithm it is for, if it says so."""

    public: AllowedPublicKeys
    algorithm: str = ""


class ProviderError(Exception):
    """The provider has no keys for us."""


#: What a fetch can end with; so does JSON within JSON without end.
_FAILED: Final = (ProviderError, aiohttp.ClientError, TimeoutError, ValueError, RecursionError)


class Keys:
    """The keys of one provider, by key id."""

    def __init__(self, settings: OAuth2) -> None:
        self._settings = settings
        self._keys = {kid: _from_file(kid, path) for kid, path in settings.signing_keys.items()}
        self._is_fetching = bool(settings.jwks_uri or settings.issuer)
        self._fetched_s = float("-inf")
        self._lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def find(self, kid: str) -> Key | None:
        """The key of that id, or without one the default or the only one."""
        age_s = time.monotonic() - self._fetched_s
        known = self._known(kid)
        if known is None or age_s > self._settings.keys_max_age_s:
            await self._refresh(self._settings.keys_max_age_s if known else LEAST_S)
        return self._known(kid)

    async def close(self) -> None:
        """Close what is open to the provider."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _known(self, kid: str) -> Key | None:
        kid = kid or self._settings.default_key
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _refresh(self, max_age_s: float) -> None:
        if not self._is_fetching:
            return
        async with self._lock:
            if time.monotonic() - self._fetched_s < max_age_s:
                return  # somebody else has just done it
            try:
                keys = _parsed(await self._fetch(await self._uri()))
            except _FAILED as error:
                log.error("auth backend 'oauth2': keys cannot be fetched: %s", _text(error))
                return
            finally:
                # From the end of the fetch on, for those who have waited for a slow provider.
                self._fetched_s = time.monotonic()
            log.info("auth backend 'oauth2': fetched %d keys", len(keys))
            # Those from files stay; those that the provider does not have any more go.
            files = self._settings.signing_keys
            self._keys = {kid: key for kid, key in self._keys.items() if kid in files} | keys

    async def _uri(self) -> str:
        settings = self._settings
        if settings.jwks_uri:
            return settings.jwks_uri
        issuer = settings.issuer.rstrip("/")
        found = await self._fetch(f"{issuer}/{settings.discovery_endpoint_path.lstrip('/')}")
        if found.get("issuer", issuer) not in (settings.issuer, issuer):
            raise ProviderError(f"it calls itself '{found.get('issuer')}', not '{issuer}'")
        uri = found.get("jwks_uri")
        if not isinstance(uri, str):
            raise ProviderError("its configuration names no jwks_uri")
        # Keys over plain HTTP are as good as none, unless that is how it was configured.
        if urlsplit(uri).scheme != "https" and urlsplit(issuer).scheme == "https":
            raise ProviderError(f"jwks_uri '{uri}' is not https")
        return uri

    async def _fetch(self, uri: str) -> dict[str, object]:
        async with self._open().get(uri) as response:
            # Keys over plain HTTP are as good as none, wherever it was asked to go.
            hops = [one.url.scheme for one in (*response.history, response)]
            if hops[0] == "https" and "http" in hops:
                raise ProviderError(f"'{uri}' led away from https")
            if response.status != 200:
                raise ProviderError(f"'{uri}' answered {response.status}")
            octets = bytearray()
            async for piece in response.content.iter_any():
                octets += piece
                if len(octets) > ANSWER_BYTES:
                    raise ProviderError(f"'{uri}' answered more than {ANSWER_BYTES} octets")
        found = json.loads(octets)
        if not isinstance(found, dict):
            raise ProviderError(f"'{uri}' did not answer with an object")
        return found

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._settings.ca or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=2),
                timeout=aiohttp.ClientTimeout(total=self._settings.request_timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A few octets can stand for gigabytes.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session


def _parsed(found: dict[str, object]) -> dict[str, Key]:
    """The signing keys of a key set; those that cannot be understood are left out."""
    listed = found.get("keys")
    if not isinstance(listed, list):
        raise ProviderError("its key set has no keys")
    keys: dict[str, Key] = {}
    for one in listed[:MOST_KEYS]:
        # A symmetric key in a public place is no secret, so it signs nothing.
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use") == "enc":
            continue
        try:
            keys[str(one.get("kid", ""))] = Key(jwt.PyJWK(one).key, str(one.get("alg", "")))
        except jwt.exceptions.PyJWTError as error:
            log.warning("auth backend 'oauth2': key '%s': %s", one.get("kid", ""), error)
    return keys


def _from_file(kid: str, path: str) -> Key:
    """A public key, as PEM.

    Raises:
        ProviderError: it is not one.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ProviderError(f"key '{kid}' in '{path}': {error}") from error
    if isinstance(
        public,
        (
            rsa.RSAPublicKey,
            ec.EllipticCurvePublicKey,
            ed25519.Ed25519PublicKey,
            ed448.Ed448PublicKey,
        ),
    ):
        return Key(public)
    raise ProviderError(f"key '{kid}' in '{path}': neither RSA nor an elliptic curve")


def _text(error: Exception) -> str:
    return masked(str(error)) or type(error).__name__
