"""The user name in certificates, as a real TLS handshake gives them to us."""

from __future__ import annotations

import ssl

import pytest
import trustme

from amqpd.auth.certificate import LoginFrom, SanType, distinguished_name, user_name

CN, DN = LoginFrom.COMMON_NAME, LoginFrom.DISTINGUISHED_NAME
SAN = LoginFrom.SUBJECT_ALTERNATIVE_NAME
AUTHORITY = trustme.CA()


def certificate_of(leaf: trustme.LeafCert, *, verify: bool = True) -> dict[str, object]:
    """What a server learns from a client that shows this certificate."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    AUTHORITY.configure_trust(server_context)
    AUTHORITY.issue_cert("broker.example").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(client_context)
    leaf.configure_cert(client_context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(up, down, server_side=True)
    client = client_context.wrap_bio(down, up, server_hostname="broker.example")
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(server.getpeercert() or {})


@pytest.fixture(scope="module")
def certificate() -> dict[str, object]:
    leaf = AUTHORITY.issue_cert(
        "one.example",
        "two.example",
        "10.0.0.1",
        "client@example.com",
        common_name="client",
        organization_name="Ex\N{LATIN SMALL LETTER A WITH DIAERESIS}mple, Inc",
        organization_unit_name="#1 <unit> ~ ",
    )
    return certificate_of(leaf)


def test_the_distinguished_name_begins_with_the_most_specific_part(
    certificate: dict[str, object],
) -> None:
    expected = r"CN=client,OU=\#1 \<unit\> \7E\ ,O=Ex\C3\A4mple\, Inc"

    assert distinguished_name(certificate) == expected
    assert user_name(certificate) == user_name(certificate, DN) == expected


def test_the_common_name_is_bare(certificate: dict[str, object]) -> None:
    assert user_name(certificate, CN) == "client"


@pytest.mark.parametrize(
    ("san_type", "index", "name"),
    [
        (SanType.DNS, 0, "one.example"),
        (SanType.DNS, 1, "two.example"),
        (SanType.DNS, 2, None),
        (SanType.DNS, -1, None),
        (SanType.IP, 0, "10.0.0.1"),
        (SanType.EMAIL, 0, "client@example.com"),
        (SanType.URI, 0, None),
    ],
)
def test_alternative_names_are_found_by_type_and_place(
    certificate: dict[str, object], san_type: SanType, index: int, name: str | None
) -> None:
    assert user_name(certificate, SAN, san_type=san_type, san_index=index) == name


def test_a_certificate_that_was_not_verified_names_nobody() -> None:
    certificate = certificate_of(AUTHORITY.issue_cert("one.example"), verify=False)

    assert certificate == {}
    for login_from in LoginFrom:
        assert user_name(certificate, login_from) is None


def test_several_common_names_are_joined() -> None:
    subject = ((("commonName", "a"),), (("commonName", "b"),), (("organizationName", "o"),))

    assert user_name({"subject": subject}, CN) == "a,b"
    assert user_name({"subject": subject}, DN) == "O=o,CN=b,CN=a"


def test_parts_of_one_rank_and_unknown_parts_are_written_out() -> None:
    subject = ((("commonName", " a+b "), ("userId", "u")), (("1.2.3", "\n"),))

    assert distinguished_name({"subject": subject}) == r"1.2.3=\0A,CN=\ a\+b\ +UID=u"


@pytest.mark.parametrize("login_from", list(LoginFrom))
def test_a_certificate_without_that_name_names_nobody(login_from: LoginFrom) -> None:
    assert user_name({"subject": (), "subjectAltName": ()}, login_from) is None
    assert user_name({"subject": None}, login_from) is None
