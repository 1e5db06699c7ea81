"""Settings and where they come from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest

from amqpd import config, config_text
from amqpd.amqp.settings import AmqpSettings
from amqpd.config import ConfigError, Settings, load

if TYPE_CHECKING:
    from pathlib import Path


def file(folder: Path, text: str, name: str = "amqpd.toml") -> Path:
    """A configuration file."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


# -- order of sources -----------------------------------------------------------------------


def test_without_any_source_everything_is_a_default() -> None:
    assert load(None, {}, {})[:3] == (Settings(), {}, ())


def test_later_sources_win(tmp_path: Path) -> None:
    main = file(tmp_path, "[amqp]\nport = 1\nbacklog = 1\nheartbeat_s = 1\nchannel_max = 1\n")
    file(tmp_path, "[amqp]\nport = 2\nbacklog = 2\nheartbeat_s = 2\n", "conf.d/10.toml")
    file(tmp_path, "[amqp]\nport = 3\nbacklog = 3\n", "conf.d/20.toml")

    found = load(main, {"AMQPD_AMQP_PORT": "4"}, {})

    amqp = found.settings.amqp
    assert (amqp.channel_max, amqp.heartbeat_s, amqp.backlog, amqp.port) == (1, 2, 3, 4)
    assert [one.name for one in found.files] == [main.name, "10.toml", "20.toml"]
    assert load(main, {"AMQPD_AMQP_PORT": "4"}, {"amqp.port": "5"}).settings.amqp.port == 5


def test_the_same_sources_can_be_read_again(tmp_path: Path) -> None:
    main = file(tmp_path, "[amqp]\nbacklog = 1\n")
    found = load(main, {}, {"amqp.port": "5"})
    file(tmp_path, "[amqp]\nbacklog = 2\n")

    assert found.again is not None
    amqp = found.again().settings.amqp

    assert (amqp.backlog, amqp.port) == (2, 5)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("2 GiB", 2 << 30),
        ("512m", 512 << 20),
        ("1000kB", 1_000_000),
        ("7", 7),
    ],
)
def test_sizes_may_have_units(text: str, size: int) -> None:
    settings = load(None, {"AMQPD_RESOURCES_DISK_FREE_BYTES": text}, {}).settings

    assert settings.resources.disk_free_bytes == size


@pytest.mark.parametrize("text", ["2XB", "GB", "-1", "1.5GB"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"'resources\.disk_free_bytes' .* is not valid"):
        load(None, {"AMQPD_RESOURCES_DISK_FREE_BYTES": text}, {})


def test_every_value_remembers_its_source(tmp_path: Path) -> None:
    main = file(tmp_path, "[amqp]\nbacklog = 1\n")

    found = load(main, {"AMQPD_LOG_LEVEL": "debug"}, {"amqp.port": "0"})

    assert {key: origin.source for key, origin in found.origins.items()} == {
        "amqp.backlog": f"{main}, line 2",
        "log.level": "AMQPD_LOG_LEVEL",
        "amqp.port": "command line",
    }


def test_rabbitmqs_variables_are_understood_and_ours_win(tmp_path: Path) -> None:
    secret = file(tmp_path, "s3cret\n", "password")
    environment = {
        "RABBITMQ_DEFAULT_USER": "shop",
        "RABBITMQ_DEFAULT_PASS_FILE": str(secret),
        "RABBITMQ_DEFAULT_VHOST": "orders",
        "RABBITMQ_NODE_PORT": "5999",
        "AMQPD_AMQP_PORT": "6000",
    }

    settings = load(None, environment, {}).settings

    auth = settings.auth
    assert (auth.default_user, auth.default_password, auth.default_vhost) == (
        "shop",
        "s3cret",
        "orders",
    )
    assert settings.amqp.port == 6000


def test_a_folder_of_rabbitmqs_files_is_read_behind_its_file(tmp_path: Path) -> None:
    main = file(tmp_path, "heartbeat = 1\nchannel_max = 1\nframe_max = 5000\n", "rabbitmq.conf")
    file(tmp_path, "heartbeat = 2\nchannel_max = 2\n", "etc/10.conf")
    file(tmp_path, "heartbeat = 3\n", "etc/20.conf")
    file(tmp_path, "nonsense", "etc/readme.txt")
    environment = {
        "RABBITMQ_CONFIG_FILE": str(main),
        "RABBITMQ_CONFIG_FILES": str(tmp_path / "etc"),
    }

    amqp = load(None, environment, {}).settings.amqp

    assert (amqp.frame_max_bytes, amqp.channel_max, amqp.heartbeat_s) == (5000, 2, 3)
    one = {"RABBITMQ_CONFIG_FILES": str(tmp_path / "etc" / "10.conf")}
    assert load(None, one, {}).settings.amqp.heartbeat_s == 2
    none = {"RABBITMQ_CONFIG_FILES": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError, match="nowhere"):
        load(None, none, {})


def test_what_else_rabbitmqs_variables_ask_for_is_told_to_have_no_effect() -> None:
    environment = {
        "RABBITMQ_LOGS": "/var/log/rabbit.log",
        "RABBITMQ_PID_FILE": "/run/rabbit.pid",
        "RABBITMQ_SSL_CERTFILE": "x",
        "RABBITMQ_URL": "amqp://for.an.application",
    }

    assert load(None, environment, {}).warnings == (
        "RABBITMQ_LOGS has no effect: the log goes to standard error",
        "RABBITMQ_PID_FILE has no effect: run.json in the data directory has the process id",
        "RABBITMQ_SSL_CERTFILE has no effect: certificates are named in [tls]",
    )
    assert load(None, {"RABBITMQ_LOGS": "-"}, {}).warnings == ()


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = file(tmp_path, "s3cret\n", "password")

    found = load(None, {"AMQPD_AUTH_DEFAULT_PASSWORD_FILE": str(secret)}, {})

    assert found.settings.auth.default_password == "s3cret"


def test_systemds_directories_are_used(tmp_path: Path) -> None:
    file(tmp_path, "[amqp]\nport = 1\n")

    found = load(
        None, {"CONFIGURATION_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/amqpd"}, {}
    )

    assert found.settings.amqp.port == 1
    assert found.settings.store.path == "/var/lib/amqpd"


def test_a_missing_file_in_systemds_directory_is_no_error(tmp_path: Path) -> None:
    assert load(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}, {}).settings == Settings()


# -- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("AMQPD_HTTP_PORT", "off", "http", "port", "off"),
        ("AMQPD_STORE_SYNC", "false", "store", "sync", False),
        ("AMQPD_TLS_HANDSHAKE_TIMEOUT_S", "2.5", "tls", "handshake_timeout_s", 2.5),
        ("AMQPD_AUTH_LOOPBACK_USERS", "a, b", "auth", "loopback_users", ("a", "b")),
        ("AMQPD_AUTH_LOOPBACK_USERS", "", "auth", "loopback_users", ()),
        ("AMQPD_AUTH_DEFAULT_USER", "123", "auth", "default_user", "123"),
    ],
)
def test_environment_variables_have_the_type_of_their_setting(
    variable: str, text: str, section: str, key: str, value: object
) -> None:
    settings = load(None, {variable: text}, {}).settings

    assert getattr(getattr(settings, section), key) == value


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"AMQPD_AMQP_PORT": "x"}, "'x' is not valid; a port is 0 to 65535 or 'off'"),
        ({"AMQPD_AMQP_PORT": "99999"}, "'99999' is not valid; a port is 0 to 65535 or 'off'"),
        ({"AMQPD_LOG_LEVEL": "loud"}, "it is one of 'debug', 'info', 'warning', 'error'"),
        ({"AMQPD_STORE_SYNC": "maybe"}, "it is true or false"),
        ({"AMQPD_AMQP_HEARTBEAT_S": "70000"}, "expected 'int' <= 65535"),
        ({"AMQPD_RESOURCES_MEMORY_WATERMARK": "7"}, "expected 'float' <= 1.0"),
    ],
)
def test_a_wrong_value_is_named_with_its_source(environment: dict[str, str], text: str) -> None:
    (variable,) = environment

    with pytest.raises(ConfigError) as caught:
        load(None, environment, {})

    assert text in str(caught.value)
    assert f"(from {variable})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    main = file(tmp_path, "[amqp]\nport = 1\n\n[http]\nport = -1\nprot = 3\n\n[htpt]\nx = 1\n")

    with pytest.raises(ConfigError) as caught:
        load(main, {}, {})

    assert [one.partition(")")[0] for one in caught.value.problems] == [
        f"setting 'http.prot' (from {main}, line 6",
        f"section 'htpt' (from {main}, line 8",
        f"setting 'http.port' (from {main}, line 5",
    ]


def test_a_file_has_types_of_its_own(tmp_path: Path) -> None:
    main = file(tmp_path, "[amqp]\nheartbeat_s = 1.5\n")

    with pytest.raises(ConfigError, match=r"amqp\.heartbeat_s"):
        load(main, {}, {})


# -- what does not exist --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[amqp]\nprot = 1\n", "setting 'amqp.prot' .* did you mean 'amqp.port'"),
        ("[ampq]\nport = 1\n", "section 'ampq' .* did you mean 'amqp'"),
        ("port = 1\n", "section 'port'"),
        ("amqp = 1\n", r"written \[amqp\]"),
        ("[amqp\n", "amqpd.toml"),
    ],
)
def test_a_key_that_does_not_exist_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    main = file(tmp_path, text)

    with pytest.raises(ConfigError, match=message):
        load(main, {}, {})


def test_a_variable_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"AMQPD_AMQP_PROT.*did you mean 'amqp\.port'"):
        load(None, {"AMQPD_AMQP_PROT": "1"}, {})


def test_variables_that_kubernetes_sets_are_left_alone() -> None:
    environment = {"AMQPD_PORT": "tcp://10.0.0.1:5672", "AMQPD_SERVICE_HOST": "10.0.0.1"}

    assert load(None, environment, {}).warnings == ()


def test_a_variable_of_an_unknown_section_is_a_warning() -> None:
    assert "'amqpp'" in load(None, {"AMQPD_AMQPP_PORT": "1"}, {}).warnings[0]


@pytest.mark.parametrize("name", ["AMQPD_CONFIG_FILE", "RABBITMQ_DEFAULT_PASS_FILE"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    missing = tmp_path / "missing"

    with pytest.raises(ConfigError, match=str(missing)):
        load(None, {name: str(missing)}, {})


# -- settings that need each other ----------------------------------------------------------


def test_a_tls_port_needs_a_certificate() -> None:
    with pytest.raises(ConfigError, match="--tls-cert"):
        load(None, {}, {"amqp.tls_port": "5671"})


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "cert.pem")
    flags = {"amqp.tls_port": "0", "tls.certificate": missing, "tls.key": missing}

    with pytest.raises(ConfigError, match=missing):
        load(None, {}, flags)


def test_required_client_certificates_need_a_ca() -> None:
    with pytest.raises(ConfigError, match="--tls-ca"):
        load(None, {"AMQPD_TLS_VERIFY": "required"}, {})


# -- as a file ------------------------------------------------------------------------------


def test_settings_written_as_a_file_are_read_back_equal(tmp_path: Path) -> None:
    written = load(None, {}, {"amqp.port": 0, "http.port": "off", "log.format": "json"}).settings

    for comments in (False, True):
        main = file(tmp_path, config_text.to_toml(written, comments=comments, show_secrets=True))
        assert load(main, {}, {}).settings == written


def test_secrets_are_not_shown_unless_asked_for() -> None:
    settings = load(None, {}, {"auth.default_password": "s3cret"}).settings

    assert "s3cret" not in config_text.to_toml(settings)
    assert "s3cret" in config_text.to_toml(settings, show_secrets=True)


@pytest.mark.parametrize("section", list(config.SECTIONS))
def test_every_setting_is_described(section: str) -> None:
    cls = config.SECTIONS[section]

    described = dict(config_text.describe(cls))

    assert all(described.values()), described
    assert len(described) == len(msgspec.structs.fields(cls))


def test_the_sessions_defaults_are_the_same_as_ours() -> None:
    ours = Settings().amqp

    for field in dataclasses.fields(AmqpSettings):
        if hasattr(ours, field.name):
            assert getattr(ours, field.name) == field.default, field.name


def test_the_node_has_a_name() -> None:
    assert config.node_name(load(None, {}, {"node.name": "amqpd@a"}).settings) == "amqpd@a"
    assert config.node_name(Settings()).startswith("rabbit@")


@pytest.mark.parametrize(
    ("section", "text", "said"),
    [
        ("amqp", 'heartbeat_s = "60s"', "seconds: a number without a unit"),
        ("store", 'reserve_bytes = "10 apples"', "a size: bytes, or with a unit"),
        ("store", 'sync = "yes"', "it is true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_what_it_may_be(
    tmp_path: Path, section: str, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(file(tmp_path, f"[{section}]\n{text}"), {}, {})


def test_variables_of_the_command_line_are_no_settings() -> None:
    names = ("URL", "AMQP_URL", "USERNAME", "PASSWORD", "CONTEXT", "CONTEXTS")

    loaded = config.load(None, {f"AMQPD_{name}": "x" for name in names}, {})

    assert not loaded.warnings
    assert not loaded.origins
