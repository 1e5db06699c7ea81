"""The OAuth 2 backend, against a provider with keys of its own."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest

from amqpd.auth import keys
from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.keys import ProviderError
from amqpd.auth.oauth2 import TOKEN_BYTES, OAuth2Backend
from amqpd.auth.settings import OAuth2
from amqpd.broker.access import Question, Verdict
from tests.auth.issuer import AUDIENCE, Issuer, an_issuer
from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with an_issuer() as made:
        yield made


@pytest.fixture
async def backend(issuer: Issuer) -> AsyncIterator[OAuth2Backend]:
    made = OAuth2Backend(OAuth2(resource_server_id=AUDIENCE, issuer=issuer.url), 15)
    yield made
    await made.close()


async def login(backend: OAuth2Backend, token: str | None) -> Accepted | Refused:
    return await backend.login("ignored", token, "192.0.2.1")


async def accepted(backend: OAuth2Backend, token: str) -> Accepted:
    found = await login(backend, token)
    assert isinstance(found, Accepted), found
    return found


async def reason(backend: OAuth2Backend, token: str | None) -> str:
    found = await login(backend, token)
    assert isinstance(found, Refused), found
    return found.reason


async def test_a_token_says_who_it_is_and_what_may_be_done(
    issuer: Issuer, backend: OAuth2Backend
) -> None:
    token = issuer.token("rabbitmq.read:*/q*", "rabbitmq.tag:monitoring", "openid", exp=4e9)

    found = await accepted(backend, token)

    assert (found.name, set(found.tags), found.expires_s) == ("alice", {"monitoring"}, 4e9)
    assert found.authority is not None
    rights = found.authority.rights("/")
    assert rights.verdict(Question("read", "queue", "q1")) is Verdict.YES
    assert rights.verdict(Question("write", "queue", "q1")) is Verdict.NO


async def test_no_token_no_login(backend: OAuth2Backend) -> None:
    assert await reason(backend, None) == "there is no token"
    assert "not valid" in await reason(backend, "guest")
    assert "not valid" in await reason(backend, "a.b.c")
    assert "not valid" in await reason(backend, "ü.ü.\udc80")
    assert "too long" in await reason(backend, "x" * (TOKEN_BYTES + 1))


async def test_times_must_be_right(issuer: Issuer, backend: OAuth2Backend) -> None:
    now = int(time.time())

    assert "expired" in await reason(backend, issuer.token(exp=now - 1))
    assert "not yet valid" in await reason(backend, issuer.token(nbf=now + 60))
    assert 'missing the "exp"' in await reason(backend, issuer.token(without=("exp",)))


async def test_an_end_is_required_unless_the_settings_say_otherwise(issuer: Issuer) -> None:
    backend = OAuth2Backend(
        OAuth2(resource_server_id=AUDIENCE, issuer=issuer.url, require_exp=False), 15
    )

    assert (await accepted(backend, issuer.token(without=("exp",)))).expires_s is None
    await backend.close()


async def test_the_audience_must_name_this_broker(issuer: Issuer, backend: OAuth2Backend) -> None:
    await accepted(backend, issuer.token(aud=["other", AUDIENCE]))

    assert "Audience" in await reason(backend, issuer.token(aud="other"))
    assert "aud" in await reason(backend, issuer.token(without=("aud",)))


async def test_the_audience_need_not_be_verified(issuer: Issuer) -> None:
    backend = OAuth2Backend(OAuth2(issuer=issuer.url, verify_aud=False), 15)

    await accepted(backend, issuer.token(aud="other"))
    await backend.close()


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"user_name": "bob"}, "bob"),
        ({"user_name": "", "sub": "carl"}, "carl"),
        ({"user_name": 7, "sub": None}, "unknown"),
    ],
)
async def test_the_name_comes_from_the_claims_of_the_settings(
    issuer: Issuer, claims: dict[str, object], name: str
) -> None:
    settings = OAuth2(
        resource_server_id=AUDIENCE,
        issuer=issuer.url,
        preferred_username_claims=("user_name", "sub"),
    )
    backend = OAuth2Backend(settings, 15)

    assert (await accepted(backend, issuer.token(**claims))).name == name  # type: ignore[arg-type]  # claims
    await backend.close()


# -- signatures -----------------------------------------------------------------------------


async def test_a_changed_token_is_refused(issuer: Issuer, backend: OAuth2Backend) -> None:
    head, body, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "admin"

    assert "ignature" in await reason(backend, f"{head}.{_part(claims)}.{signature}")


async def test_another_key_under_a_known_name_is_refused(
    issuer: Issuer, backend: OAuth2Backend
) -> None:
    await accepted(backend, issuer.token())
    issuer.new_key("second")

    assert "ignature" in await reason(backend, issuer.token(kid="first", signed_by="second"))


async def test_no_signature_and_shared_secrets_are_refused(
    issuer: Issuer, backend: OAuth2Backend, tmp_path: Path
) -> None:
    claims = {"sub": "admin", "aud": AUDIENCE, "exp": int(time.time()) + 60}
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "first"})
    # The public key as the secret of HMAC: everybody knows it (CVE-2016-10555 and others).
    head = _part({"alg": "HS256", "kid": "first"}) + "." + _part(claims)
    secret = issuer.pem("first", tmp_path).read_bytes()
    forged = f"{head}.{_encoded(hmac.digest(secret, head.encode(), 'sha256'))}"

    assert "algorithm is not allowed" in await reason(backend, unsigned)
    assert "algorithm is not allowed" in await reason(backend, forged)


def _part(content: dict[str, object]) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


@pytest.mark.parametrize(
    "claims", [b'{"exp":1e999}', b'{"exp":NaN}', b'{"exp":"x"}', b"[]", b"7", b"[" * 40_000]
)
async def test_claims_that_make_no_sense_are_refused(
    issuer: Issuer, backend: OAuth2Backend, claims: bytes
) -> None:
    signed = jwt.api_jws.PyJWS().encode(
        claims, issuer.private("first"), "RS256", headers={"kid": "first"}
    )

    assert "not valid" in await reason(backend, signed)


async def test_the_algorithm_must_fit_the_key(issuer: Issuer, backend: OAuth2Backend) -> None:
    issuer.new_key("curve", "EC")
    issuer.new_key("only", alg="RS512")

    await accepted(backend, issuer.token(kid="curve", algorithm="ES256"))
    await accepted(backend, issuer.token(kid="only", algorithm="RS512"))
    assert "not valid" in await reason(
        backend, issuer.token(kid="curve", signed_by="first", algorithm="RS256")
    )
    assert "not valid" in await reason(backend, issuer.token(kid="only", algorithm="RS256"))


# -- keys -----------------------------------------------------------------------------------


async def test_keys_are_fetched_once(issuer: Issuer, backend: OAuth2Backend) -> None:
    for _ in range(3):
        await accepted(backend, issuer.token())

    assert issuer.asked == 1


async def test_new_keys_are_found_and_withdrawn_ones_are_gone(
    issuer: Issuer, backend: OAuth2Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LEAST_S", 0.0)
    old = issuer.token()
    await accepted(backend, old)

    issuer.new_key("second")
    issuer.withdraw("first")

    await accepted(backend, issuer.token(kid="second"))
    assert "nobody knows" in await reason(backend, old)


async def test_made_up_key_ids_do_not_turn_the_broker_against_the_provider(
    issuer: Issuer, backend: OAuth2Backend
) -> None:
    await accepted(backend, issuer.token())

    for number in range(20):
        assert "nobody knows" in await reason(
            backend, issuer.token(kid=f"x{number}", signed_by="first")
        )

    assert issuer.asked == 1


async def test_a_provider_that_is_down_keeps_its_last_keys(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = OAuth2(resource_server_id=AUDIENCE, issuer=issuer.url, keys_max_age_s=1e-6)
    backend = OAuth2Backend(settings, 15)
    await accepted(backend, issuer.token())

    issuer.is_down = True

    await accepted(backend, issuer.token())
    assert "keys cannot be fetched" in caplog.text
    await backend.close()


async def test_a_slow_provider_is_asked_once_for_all_who_wait(
    issuer: Issuer, backend: OAuth2Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LEAST_S", 0.4)
    issuer.takes_s = 0.5

    tokens = [issuer.token(kid=f"x{number}", signed_by="first") for number in range(20)]
    await asyncio.gather(*(reason(backend, token) for token in tokens))

    assert issuer.asked == 1


@pytest.mark.parametrize("packed", [gzip.compress(bytes(50_000_000)), gzip.compress(b"{}")])
async def test_keys_are_not_unpacked(issuer: Issuer, backend: OAuth2Backend, packed: bytes) -> None:
    issuer.octets = packed

    assert "nobody knows" in await reason(backend, issuer.token())


@pytest.mark.parametrize("octets", [b"[" * 1_000_000, b" " * 50_000_000, b"\xff", b'{"keys": 1}'])
async def test_what_is_no_key_set_lets_nobody_in(
    issuer: Issuer, backend: OAuth2Backend, octets: bytes
) -> None:
    issuer.octets = octets

    assert "nobody knows" in await reason(backend, issuer.token())


async def test_keys_come_by_https_all_the_way(
    issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    async with issuer.over_tls(authority) as url:
        settings = OAuth2(
            resource_server_id=AUDIENCE, jwks_uri=f"{url}/away", ca=str(authority.file)
        )
        backend = OAuth2Backend(settings, 15)

        assert "nobody knows" in await reason(backend, issuer.token())

        await backend.close()
    assert issuer.asked == 1
    assert "led away from https" in caplog.text


async def test_a_provider_with_another_name_is_not_believed(
    issuer: Issuer, backend: OAuth2Backend, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.configuration["issuer"] = "http://127.0.0.1/evil"

    assert "nobody knows" in await reason(backend, issuer.token())
    assert "it calls itself" in caplog.text


@pytest.mark.parametrize(
    "configuration", [{"jwks_uri": None}, {"jwks_uri": "http://127.0.0.1:1/x"}]
)
async def test_a_provider_without_keys_lets_nobody_in(
    issuer: Issuer, backend: OAuth2Backend, configuration: dict[str, object]
) -> None:
    issuer.configuration = configuration

    assert "nobody knows" in await reason(backend, issuer.token())


async def test_keys_that_are_no_use_are_left_out(issuer: Issuer, backend: OAuth2Backend) -> None:
    issuer.published += [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "new", "kid": "unknown"},
        {"kid": "empty"},
    ]

    await accepted(backend, issuer.token())
    for kid in ("shared", "unknown", "empty"):
        assert "nobody knows" in await reason(backend, issuer.token(kid=kid, signed_by="first"))


async def test_a_token_without_a_key_id_is_of_the_default_or_the_only_key(
    issuer: Issuer, backend: OAuth2Backend
) -> None:
    await accepted(backend, issuer.token(kid=None))
    issuer.new_key("second")
    chosen = OAuth2Backend(
        OAuth2(resource_server_id=AUDIENCE, jwks_uri=f"{issuer.url}/keys", default_key="first"), 15
    )

    await accepted(chosen, issuer.token(kid=None))
    await chosen.close()


async def test_keys_may_come_from_files(issuer: Issuer, tmp_path: Path) -> None:
    issuer.new_key("curve", "EC")
    files = {kid: str(issuer.pem(kid, tmp_path)) for kid in ("first", "curve")}
    backend = OAuth2Backend(OAuth2(resource_server_id=AUDIENCE, signing_keys=files), 15)

    await accepted(backend, issuer.token())
    await accepted(backend, issuer.token(kid="curve", algorithm="ES256"))
    assert issuer.asked == 0
    await backend.close()


def test_a_key_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("nothing")

    with pytest.raises(ProviderError, match="key 'k'"):
        OAuth2Backend(OAuth2(signing_keys={"k": str(tmp_path / "k.pem")}), 15)


async def test_a_key_that_is_not_understood_is_told_and_the_others_count(
    issuer: Issuer, backend: OAuth2Backend, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.published.insert(0, {"kty": "RSA", "kid": "odd", "n": "!", "e": "!"})

    await accepted(backend, issuer.token())

    assert "auth backend 'oauth2': key 'odd': " in caplog.text
