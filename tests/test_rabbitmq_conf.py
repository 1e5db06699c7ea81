"""A rabbitmq.conf, read as settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd import config, config_text
from amqpd.config import SECTIONS, ConfigError
from amqpd.rabbitmq_conf import KEYS, entries, size

if TYPE_CHECKING:
    from pathlib import Path

TYPICAL = """
# the usual
listeners.tcp.default = 5673
listeners.ssl.1 = 0.0.0.0:5671
ssl_options.cacertfile = /etc/ca.pem
ssl_options.certfile   = /etc/cert.pem
ssl_options.keyfile    = /etc/key.pem
ssl_options.verify     = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
loopback_users.guest = false
default_user = shop
default_pass = 'it''s # secret'
default_vhost = shop
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_backends.1.authn = ldap
auth_backends.1.authz = internal
auth_backends.2 = rabbit_auth_backend_internal
heartbeat = 30
frame_max = 131072
channel_max = 128
quorum_queue.property_equivalence.relaxed_checks_on_redeclaration = true
message_interceptors.incoming.set_header_timestamp.overwrite = false
message_interceptors.incoming.set_header_routing_node.overwrite = true
max_message_size = 16MiB
vm_memory_high_watermark.relative = 0.5
disk_free_limit.absolute = 2GB
cluster_name = shop
log.console.level = warning
management.tcp.port = 15673
prometheus.tcp.port = 15693   # beside it
"""


def test_what_people_set_is_set() -> None:
    found, warnings = entries(TYPICAL)

    assert found == {
        "amqp.port": 5673,
        "amqp.stamp_time": "keep",
        "amqp.stamp_node": "overwrite",
        "queues.relaxed_redeclaration": True,
        "amqp.host": "::",
        "amqp.tls_port": 5671,
        "tls.ca": "/etc/ca.pem",
        "tls.certificate": "/etc/cert.pem",
        "tls.key": "/etc/key.pem",
        "tls.verify": "required",
        "tls.minimum_version": "1.2",
        "auth.loopback_users": [],
        "auth.default_user": "shop",
        "auth.default_password": "it''s # secret",
        "auth.default_vhost": "shop",
        "amqp.mechanisms": ["PLAIN", "AMQPLAIN"],
        "auth.backends": ["ldap/internal", "internal"],
        "amqp.heartbeat_s": 30,
        "amqp.frame_max_bytes": 131_072,
        "amqp.channel_max": 128,
        "amqp.max_message_size_bytes": 16 << 20,
        "resources.memory_watermark": 0.5,
        "resources.disk_free_bytes": 2_000_000_000,
        "node.cluster_name": "shop",
        "log.level": "warning",
        "http.port": 15673,
        "metrics.port": 15693,
    }
    assert warnings == []


def test_every_key_means_a_setting_that_there_is() -> None:
    for setting, _ in KEYS.values():
        section, _, key = setting.partition(".")
        assert key in SECTIONS[section].__struct_fields__, setting


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("listeners.tcp.local = 127.0.0.1:5672", {"amqp.port": 5672, "amqp.host": "127.0.0.1"}),
        ("listeners.tcp.six = [::1]:5672", {"amqp.port": 5672, "amqp.host": "::1"}),
        ("listeners.tcp = none", {"amqp.port": "off"}),
        ("loopback_users.guest = true", {"auth.loopback_users": ["guest"]}),
        ("loopback_users = none", {"auth.loopback_users": []}),
        ("ssl_options.verify = verify_none", {"tls.verify": "none"}),
        ("ssl_options.verify = verify_peer", {"tls.verify": "optional"}),
        ("ssl_options.versions.1 = tlsv1.3", {"tls.minimum_version": "1.3"}),
        ("auth_backends.1 = http", {"auth.backends": ["http"]}),
        ("definitions.import_backend = local_filesystem", {}),
        ("default_permissions.write = ^a", {"auth.default_write": "^a"}),
        (
            "default_user_tags.monitoring = true\ndefault_user_tags.administrator = false",
            {"auth.default_tags": ["monitoring"]},
        ),
        ("handshake_timeout = 2500", {"amqp.handshake_timeout_s": 2.5}),
        ("ssl_handshake_timeout = 5000", {"tls.handshake_timeout_s": 5.0}),
        ("tcp_listen_options.backlog = 64", {"amqp.backlog": 64}),
        ("prometheus.return_per_object_metrics = true", {"metrics.per_object": True}),
        ("proxy_protocol = false", {}),
        ("log.console = true\nlog.file = false", {}),
    ],
)
def test_keys_that_are_more_than_one_value(line: str, found: dict[str, object]) -> None:
    assert entries(line) == (found, [])


def test_nothing_is_passed_over_in_silence() -> None:
    found, warnings = entries("num_acceptors.tcp = 10\nno.such.key = 1\nlisteners.tcp.1 = 1\n"
                              "listeners.tcp.2 = 2\n")  # fmt: skip

    assert found == {"amqp.port": 1, "amqp.host": "::"}
    assert warnings == [
        "line 1: num_acceptors.tcp has no effect: there is nothing of that kind to set here",
        "line 2: no.such.key is not known and has no effect",
        "listener 2: one address for each protocol is served, not this one",
    ]


@pytest.mark.parametrize(
    ("line", "found", "warning"),
    [
        (
            "proxy_protocol = true",
            {"amqp.proxies": ["0.0.0.0/0", "::/0"]},
            "every address is taken for a load balancer, as by RabbitMQ; amqp.proxies names those",
        ),
        ("log.file = rabbit.log", {}, "has no effect: the log goes to standard error"),
        ("log.console = false", {}, "has no effect: the log goes to standard error"),
        ("log.file.level = debug", {}, "has no effect: the log goes to standard error"),
        ("default_users.a.tags = x", {}, "has no effect: definitions make users, policies and"),
        ("default_limits.vhosts.1.max_queues = 3", {}, "has no effect: definitions make users"),
        ("default_policies.operator.p.ha_mode = x", {}, "has no effect: definitions make users"),
    ],
)
def test_what_is_not_quite_the_same_here_is_told(
    line: str, found: dict[str, object], warning: str
) -> None:
    settings, (told,) = entries(line)

    assert settings == found
    assert told.startswith(f"line 1: {line.partition(' ')[0]}")
    assert warning in told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "line 1: must be key = value: nonsense"),
        ("proxy_protocol = 1", "line 1: proxy_protocol = 1: must be true or false"),
        ("\nheartbeat = soon", "line 2: heartbeat = soon: must be a number"),
        ("max_message_size = 1XB", "line 1: max_message_size = 1XB: a size is a number"),
        ("log.level = loud", "line 1: log.level = loud: must be one of debug"),
        ("vm_memory_high_watermark.relative = x", "must be a number like 0.6"),
        ("ssl_options.fail_if_no_peer_cert = maybe", "must be true or false"),
        ("definitions.import_backend = https", "definitions are read from files"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="line") as wrong:
        entries(text)

    assert reason in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "octets"), [("5", 5), ("5k", 5120), ("5kB", 5000), ("5MiB", 5 << 20), ("1 GB", 10**9)]
)
def test_sizes_have_units(text: str, octets: int) -> None:
    assert size(text) == octets


def test_it_is_a_source_of_settings_like_any_file(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("heartbeat = 30\nno.such = 1\n")

    for loaded in (
        config.load(file, {}, {}),
        config.load(None, {"RABBITMQ_CONFIG_FILE": str(tmp_path / "rabbitmq")}, {}),
    ):
        assert loaded.settings.amqp.heartbeat_s == 30
        assert loaded.origins["amqp.heartbeat_s"].source == str(file)
        assert loaded.warnings == (f"{file}: line 2: no.such is not known and has no effect",)


def test_a_wrong_one_is_refused_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("heartbeat = soon")

    with pytest.raises(ConfigError, match=r"rabbitmq.conf': line 1: heartbeat = soon"):
        config.load(file, {}, {})


def test_it_can_be_turned_into_a_file_of_ours(tmp_path: Path) -> None:
    file, ours = tmp_path / "rabbitmq.conf", tmp_path / "amqpd.toml"
    file.write_text("heartbeat = 30\nlisteners.tcp.1 = 127.0.0.1:5673\nloopback_users = none\n")
    loaded = config.load(file, {}, {})

    ours.write_text(config_text.changes_to_toml(loaded))

    assert config.load(ours, {}, {}).settings == loaded.settings
    assert ours.read_text().count("[") == 3


def test_watermarks_may_be_bytes_or_shares() -> None:
    found, warnings = entries(
        "vm_memory_high_watermark.absolute = 2GB\n"
        "total_memory_available_override_value = 4GiB\n"
        "disk_free_limit.relative = 1.5\n"
    )

    assert found == {
        "resources.memory_watermark_bytes": 2_000_000_000,
        "resources.memory_bytes": 4 << 30,
        "resources.disk_free_share": 1.5,
    }
    assert warnings == []


BACKENDS = """
auth_backends.1 = cache
auth_backends.2.authn = rabbit_auth_backend_ldap
auth_backends.2.authz = internal
auth_backends.10 = oauth
auth_cache.cached_backend = http
auth_cache.cache_ttl = 5000
auth_http.http_method = post
auth_http.user_path = https://auth.example.com/user
auth_http.request_timeout = 20000
auth_ldap.servers.1 = ldap1
auth_ldap.servers.2 = ldap2
auth_ldap.port = 636
auth_ldap.use_ssl = true
auth_ldap.timeout = infinity
auth_ldap.dn_lookup_attribute = none
auth_ldap.other_bind.user_dn = cn=broker,dc=example
auth_ldap.other_bind.password = secret
auth_ldap.queries.vhost_access = {in_group, "cn=${vhost},ou=groups"}
auth_ldap.queries.tags = \'\'\'
[{administrator, {in_group, "cn=adm}ins"}},
 {management, {'or', [{constant, true}, {constant, false}]}}]
\'\'\'
auth_oauth2.resource_server_id = rabbitmq
auth_oauth2.jwks_url = https://id.example.com/keys
auth_oauth2.preferred_username_claims.1 = user_name
auth_oauth2.preferred_username_claims.2 = sub
auth_oauth2.signing_keys.id1 = /etc/key.pem
auth_oauth2.scope_aliases.admin = rabbitmq.tag:administrator rabbitmq.read:*/*
auth_oauth2.scope_aliases.1.alias = api://read
auth_oauth2.scope_aliases.1.scope = rabbitmq.read:*/*
auth_oauth2.verify_aud = false
"""


def test_authentication_backends_are_set(tmp_path: Path) -> None:
    found, warnings = entries(BACKENDS)

    assert warnings == []
    assert found["auth.backends"] == ["http", "ldap/internal", "oauth2"]
    assert found["auth.cache_ttl_s"] == 5.0
    assert found["auth_ldap.servers"] == ["ldap1", "ldap2"]
    assert found["auth_ldap.tag_queries"] == {
        "administrator": '{in_group, "cn=adm}ins"}',
        "management": "{'or', [{constant, true}, {constant, false}]}",
    }
    assert found["auth_oauth2.scope_aliases"] == {
        "admin": ["rabbitmq.tag:administrator", "rabbitmq.read:*/*"],
        "api://read": ["rabbitmq.read:*/*"],
    }
    file = tmp_path / "rabbitmq.conf"
    file.write_text(BACKENDS)
    settings = config.load(file, {}, {}).settings
    assert settings.auth_ldap.other_bind == "cn=broker,dc=example"
    assert settings.auth_ldap.other_bind_password == "secret"
    assert settings.auth_ldap.dn_lookup_attribute == ""
    assert settings.auth_http.request_timeout_s == 20
    assert settings.auth_oauth2.signing_keys == {"id1": "/etc/key.pem"}
    assert not settings.auth_oauth2.verify_aud


@pytest.mark.parametrize(
    "line",
    ["auth_ldap.port = many", "auth_http.request_timeout = soon", "auth_ldap.use_ssl = maybe",
     "auth_ldap.queries.tags = \'\'\'[{a, b}"],
)  # fmt: skip
def test_wrong_values_of_backends_are_told(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        entries(line)


def test_what_is_set_of_the_management_api_is_set() -> None:
    found, warnings = entries(
        """
        management.path_prefix = ops/broker/
        management.tcp.max_connections = 50
        management.cors.allow_origins.1 = https://a.example
        management.cors.allow_origins.2 = https://b.example
        management.cors.max_age = 60
        management.login_session_timeout = 30
        management.disable_basic_auth = true
        management.http.max_body_size = 2000000
        management.http.hide_allow_header = true
        management.restrictions.operator_policy_changes.disabled = true
        management.restrictions.quorum_queue_replica_operations.disabled = false
        management.definitions.require_json_extension = true
        management.require_auth_for_api_reference = true
        management.headers.frame_options = SAMEORIGIN
        management.csp.policy = default-src 'self'
        management.hsts.policy = max-age=31536000; includeSubDomains
        node_tags.rack = 7
        cluster_tags.region = north
        credential_validator.validation_backend = rabbit_credential_validator_password_regexp
        credential_validator.regexp = ^[a-z]{8}
        """
    )

    assert warnings == []
    assert found == {
        "http.path_prefix": "/ops/broker",
        "http.max_connections": 50,
        "http.cors_origins": ["https://a.example", "https://b.example"],
        "http.cors_max_age_s": 60,
        "http.login_session_s": 1800,
        "http.basic_auth": False,
        "http.max_body_bytes": 2_000_000,
        "http.allow_header": False,
        "http.operator_policy_changes": False,
        "http.quorum_replica_changes": True,
        "http.definitions_json_only": True,
        "http.reference_needs_login": True,
        "http.headers": {
            "X-Frame-Options": "SAMEORIGIN",
            "Content-Security-Policy": "default-src 'self'",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        },
        "node.tags": {"rack": "7"},
        "node.cluster_tags": {"region": "north"},
        "auth.password_pattern": "^[a-z]{8}",
    }


def test_nobody_is_let_in_by_an_empty_list_of_origins() -> None:
    assert entries("management.cors.allow_origins = none") == ({"http.cors_origins": []}, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("validation_backend = rabbit_credential_validator_min_password_length", 5),
        (
            "min_length = 9\ncredential_validator.validation_backend = "
            "rabbit_credential_validator_min_password_length",
            9,
        ),
        ("validation_backend = rabbit_credential_validator_accept_everything", None),
        ("min_length = 9", None),
    ],
)
def test_passwords_are_as_long_as_the_validator_that_was_chosen_asks(
    text: str, found: int | None
) -> None:
    settings, _ = entries(f"credential_validator.{text}")

    assert settings.get("auth.password_min_bytes") == found


@pytest.mark.parametrize(
    "text",
    [
        "credential_validator.validation_backend = mine",
        "credential_validator.validation_backend = rabbit_credential_validator_password_regexp",
        "management.headers.server = x",
        "management.login_session_timeout = soon",
    ],
)
def test_what_cannot_be_kept_of_the_management_api_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"management|credential_validator"):
        entries(text)
