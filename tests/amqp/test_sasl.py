"""SASL mechanisms: responses to credentials, and nothing that gives a secret away."""

from __future__ import annotations

import pytest

from amqpd.amqp import sasl
from amqpd.amqp.sasl import AmqPlain, Challenge, Credentials, Demo, Known, Peer, Plain
from amqpd.amqp.settings import AmqpSettings
from amqpd.errors import CommandInvalid, SyntaxError
from amqpd.fields import encode_table, table

TCP = Peer("10.0.0.1", 50_000)
TLS = Peer("10.0.0.1", 50_000, tls=True, certificate_user="alice")


def amqplain(**fields: str | bytes | int) -> bytes:
    """A response: a table without its length."""
    return encode_table(table(fields))[4:]


@pytest.mark.parametrize("response", [b"\0user\0secret", b"user\0user\0secret"])
def test_plain_takes_user_and_password(response: bytes) -> None:
    assert Plain().respond(response) == Credentials("PLAIN", "user", b"secret")


def test_a_password_may_be_any_octets() -> None:
    assert Plain().respond(b"\0user\0\xff\xfe").password == b"\xff\xfe"
    response = amqplain(LOGIN="user", PASSWORD=b"\xff\xfe")
    assert AmqPlain().respond(response).password == b"\xff\xfe"


@pytest.mark.parametrize(
    "response",
    [b"", b"user", b"\0user", b"\0user\0secret\0", b"admin\0user\0secret", b"\0\xff\0secret"],
)
def test_plain_refuses_anything_else(response: bytes) -> None:
    with pytest.raises(SyntaxError) as caught:
        Plain().respond(response)

    assert caught.value.explanation == "response of mechanism PLAIN is invalid"


def test_amqplain_takes_user_and_password() -> None:
    response = amqplain(LOGIN="user", PASSWORD="secret")

    assert AmqPlain().respond(response) == Credentials("AMQPLAIN", "user", b"secret")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\x05LOGIN",
        amqplain(LOGIN="user"),
        amqplain(LOGIN="user", PASSWORD=1),
        amqplain(LOGIN=b"\xff", PASSWORD="secret"),
    ],
)
def test_amqplain_refuses_anything_else(response: bytes) -> None:
    with pytest.raises(SyntaxError) as caught:
        AmqPlain().respond(response)

    assert caught.value.explanation == "response of mechanism AMQPLAIN is invalid"


def test_external_and_anonymous_do_not_believe_the_response() -> None:
    assert Known("EXTERNAL", "alice").respond(b"bob") == Credentials("EXTERNAL", "alice", None)


def test_the_demo_asks_for_the_password() -> None:
    mechanism = Demo()
    assert mechanism.respond(b"user") == Challenge(b"Please tell me your password")

    credentials = mechanism.respond(b"My password is secret")

    assert credentials == Credentials("RABBIT-CR-DEMO", "user", b"secret")


def test_the_demo_wants_it_said_properly() -> None:
    mechanism = Demo()
    mechanism.respond(b"user")

    with pytest.raises(SyntaxError):
        mechanism.respond(b"secret")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("PLAIN", "user", b"secret"))


def test_external_is_for_peers_with_a_certificate() -> None:
    settings = AmqpSettings()

    assert sasl.offered(settings, TCP) == ("PLAIN", "AMQPLAIN", "ANONYMOUS")
    assert sasl.offered(settings, TLS) == ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")


def test_passwords_can_be_limited_to_tls() -> None:
    settings = AmqpSettings(passwords_over_tls_only=True)

    assert sasl.offered(settings, TCP) == ("ANONYMOUS",)
    assert sasl.offered(settings, TLS) == ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")


def test_anonymous_can_be_turned_off() -> None:
    settings = AmqpSettings(anonymous_user="", mechanisms=("ANONYMOUS", "NOT-KNOWN", "PLAIN"))

    assert sasl.offered(settings, TCP) == ("PLAIN",)
    with pytest.raises(CommandInvalid) as caught:
        sasl.choose("ANONYMOUS", settings, TCP)
    assert caught.value.explanation == "invalid authentication mechanism 'ANONYMOUS'"


def test_a_mechanism_is_made_anew_for_each_client() -> None:
    settings = AmqpSettings(mechanisms=("RABBIT-CR-DEMO",))

    first = sasl.choose("RABBIT-CR-DEMO", settings, TCP)

    assert first is not sasl.choose("RABBIT-CR-DEMO", settings, TCP)


def test_a_mechanism_that_was_not_offered_is_refused() -> None:
    with pytest.raises(CommandInvalid) as caught:
        sasl.choose("RABBIT-CR-DEMO", AmqpSettings(), TCP)
    assert caught.value.explanation == "invalid authentication mechanism 'RABBIT-CR-DEMO'"
    with pytest.raises(CommandInvalid) as caught:
        sasl.choose("GSSAPI", AmqpSettings(), TCP)
    assert caught.value.explanation == "unknown authentication mechanism 'GSSAPI'"


def test_a_peer_shows_both_ends() -> None:
    assert str(Peer("::1", 2, local_host="::", local_port=5672)) == "::1:2 -> :::5672"
