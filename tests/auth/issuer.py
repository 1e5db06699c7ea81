"""A small OpenID provider: keys that it makes and changes, discovery, and tokens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import time
from typing import TYPE_CHECKING

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.certificates import Authority

AUDIENCE = "rabbitmq"


class Issuer:
    """Signs tokens; `asked` counts how often its keys were fetched."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.is_down = False
        #: How long keys take, and what comes in their place.
        self.takes_s = 0.0
        self.octets = b""
        self.published: list[dict[str, object]] = []
        self.configuration: dict[str, object] = {}
        self._private: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self.new_key("first")

    @property
    def url(self) -> str:
        """The issuer's name."""
        return f"http://127.0.0.1:{self.port}/realm"

    def new_key(self, kid: str, kind: str = "RSA", **more: object) -> None:
        """Make a key and publish it."""
        private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
        if kind == "RSA":
            private = _rsa(kid)
            public = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            private = ec.generate_private_key(ec.SECP256R1())
            public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        self._private[kid] = private
        self.published.append({**public, "kid": kid, "use": "sig", **more})

    def withdraw(self, kid: str) -> None:
        """Publish a key no longer."""
        self.published = [one for one in self.published if one.get("kid") != kid]

    def private(self, kid: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        """What a key signs with."""
        return self._private[kid]

    def pem(self, kid: str, folder: Path) -> Path:
        """The public key as a file."""
        octets = (
            self._private[kid]
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        path = folder / f"{kid}.pem"
        path.write_bytes(octets)
        return path

    def token(
        self,
        *scopes: str,
        kid: str | None = "first",
        signed_by: str = "",
        algorithm: str = "RS256",
        without: tuple[str, ...] = (),
        **claims: object,
    ) -> str:
        """A token of user alice that ends in a minute."""
        now = int(time.time())
        content: dict[str, object] = {
            "sub": "alice",
            "aud": AUDIENCE,
            "iss": self.url,
            "exp": now + 60,
            "scope": " ".join(scopes),
            **claims,
        }
        for name in without:
            del content[name]
        return jwt.encode(
            content,
            self._private[signed_by or kid or "first"],
            algorithm=algorithm,
            headers={} if kid is None else {"kid": kid},
        )

    async def serve_configuration(self, request: web.Request) -> web.Response:
        """The discovery document."""
        return web.json_response(
            {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.configuration}
        )

    async def serve_keys(self, request: web.Request) -> web.Response:
        """The key set."""
        self.asked += 1
        if self.is_down:
            return web.Response(status=503)
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        if self.octets:
            packed = self.octets.startswith(b"\x1f\x8b")
            headers = {"Content-Encoding": "gzip"} if packed else {}
            return web.Response(body=self.octets, headers=headers)
        return web.json_response({"keys": self.published})

    @contextlib.asynccontextmanager
    async def over_tls(self, authority: Authority) -> AsyncIterator[str]:
        """An address with a certificate, which leads to one without."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.sign("issuer"))
        app = web.Application()

        async def away(request: web.Request) -> web.Response:
            raise web.HTTPFound(f"{self.url}/keys")

        app.router.add_get("/away", away)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        try:
            yield f"https://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@functools.cache
def _rsa(kid: str) -> rsa.RSAPrivateKey:
    """Made once for all tests: it takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


@contextlib.asynccontextmanager
async def an_issuer() -> AsyncIterator[Issuer]:
    """The provider, on a port of its own."""
    made = Issuer()
    app = web.Application()
    app.router.add_get("/realm/.well-known/openid-configuration", made.serve_configuration)
    app.router.add_get("/realm/keys", made.serve_keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()
