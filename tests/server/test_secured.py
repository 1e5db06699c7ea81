"""What is told of a connection's TLS, as RabbitMQ 3.10.8 on Erlang 25 tells it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from amqpd.server.secured import suite_of
from tests.certificates import Authority
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_CERTIFICATE = {"peer_cert_subject": "", "peer_cert_issuer": "", "peer_cert_validity": ""}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("TLS_AES_256_GCM_SHA384", ("any", "aes_256_gcm", "aead")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("any", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES256-GCM-SHA384", ("ecdhe_rsa", "aes_256_gcm", "aead")),
        ("ECDHE-RSA-AES256-SHA384", ("ecdhe_rsa", "aes_256_cbc", "sha384")),
        ("ECDHE-ECDSA-AES128-SHA", ("ecdhe_ecdsa", "aes_128_cbc", "sha")),
        ("ECDHE-RSA-AES128-GCM-SHA256", ("ecdhe_rsa", "aes_128_gcm", "aead")),
        ("ECDHE-RSA-CHACHA20-POLY1305", ("ecdhe_rsa", "chacha20_poly1305", "aead")),
        ("ECDHE-ECDSA-AES256-CCM8", ("ecdhe_ecdsa", "aes_256_ccm8", "aead")),
        ("AES256-SHA256", ("rsa", "aes_256_cbc", "sha256")),
        ("SOMETHING-NEW", ("", "something-new", "")),
    ],
)
def test_suites_have_the_names_that_rabbitmq_gives_them(
    name: str, parts: tuple[str, str, str]
) -> None:
    assert suite_of(name) == parts


async def test_events_and_lists_say_how_a_client_is_secured_and_who_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(*authority.sign("client"))
    flags: dict[str, Any] = {
        "amqp__tls_port": 0,
        "tls__certificate": str(certificate),
        "tls__key": str(key),
        "tls__ca": str(authority.file),
    }
    async with served(tmp_path, **flags) as api:
        plain, over_tls = api.broker.server.ports.amqp
        uri = f"127.0.0.1:{plain.port}/"
        async with await aio_pika.connect(f"amqp://guest:guest@{uri}") as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("told", exclusive=True)
            for key_of in ("connection.created", "user.authentication.success"):
                await queue.bind("amq.rabbitmq.event", key_of)
            got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
            await queue.consume(got.put, no_ack=True)

            secure = f"amqps://guest:guest@127.0.0.1:{over_tls.port}/"
            async with await aio_pika.connect(secure, ssl_context=context):
                login, created = await got.get(), await got.get()
                listed = {one["ssl"]: one for one in await api.get("/connections")}
            await aio_pika.connect(f"amqp://guest:guest@{uri}")
            login_in_plain, created_in_plain = await got.get(), await got.get()

    row = listed[True]
    assert (row["ssl_protocol"], row["ssl_key_exchange"]) == ("tlsv1.3", "any")
    assert (row["ssl_cipher"], row["ssl_hash"]) == ("aes_256_gcm", "aead")
    assert row["peer_cert_subject"] == "CN=client,OU=tests,O=Example"
    assert "O=" in row["peer_cert_issuer"]
    assert " - " in row["peer_cert_validity"]
    assert len(row["peer_cert_validity"]) == len("2026-11-27T18:47:33Z - 2026-12-17T18:47:33Z")
    assert listed[False]["ssl_cipher"] is None
    facts = {name: value for name, value in row.items() if name.startswith(("ssl_", "peer_cert_"))}
    assert {name: created.headers[name] for name in facts} == facts
    some = {name: facts[name] for name in facts if "hash" not in name and "key" not in name}
    assert {name: login.headers.get(name) for name in some} == some
    assert {name: created_in_plain.headers[name] for name in WITHOUT_CERTIFICATE} == (
        WITHOUT_CERTIFICATE
    )
    assert not {"ssl_cipher", *WITHOUT_CERTIFICATE} & set(login_in_plain.headers)
