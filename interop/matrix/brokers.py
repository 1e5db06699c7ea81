"""How the broker under test is started: amqpd, or RabbitMQ for comparison; ports as default,
TLS on 5671, EXTERNAL by the common name of the client's certificate.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
PLUGINS = "[rabbitmq_auth_mechanism_ssl, rabbitmq_management]."


def amqpd(
    command: str, work: Path, certificates: Path, settings: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Its command and environment."""
    data = work / "data" / "amqpd"
    tls = [
        *("--tls-port", "5671", "--tls-ca", str(certificates / "ca.pem")),
        *("--tls-cert", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "server.key")),
    ]
    environment = {"AMQPD_TLS_LOGIN_FROM": "common_name"}
    for key, value in settings.items():
        environment[f"AMQPD_{key.replace('.', '_').upper()}"] = value
    return [*shlex.split(command), "--data-dir", str(data), *tls], environment


def rabbitmq(work: Path, certificates: Path) -> tuple[list[str], dict[str, str]]:
    """The same for the RabbitMQ of this machine."""
    (work / "plugins").write_text(f"{PLUGINS}\n", encoding="utf-8")
    lines = [
        "listeners.ssl.default = 5671",
        f"ssl_options.cacertfile = {certificates / 'ca.pem'}",
        f"ssl_options.certfile = {certificates / 'server.pem'}",
        f"ssl_options.keyfile = {certificates / 'server.key'}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = false",
        "ssl_cert_login_from = common_name",
        "auth_mechanisms.1 = PLAIN",
        "auth_mechanisms.2 = AMQPLAIN",
        "auth_mechanisms.3 = EXTERNAL",
    ]
    (work / "rabbitmq.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return [RABBITMQ], {
        "HOME": str(work),
        "RABBITMQ_CONFIG_FILE": str(work / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(work / "data" / "mnesia"),
        "RABBITMQ_LOG_BASE": str(work / "log"),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(work / "plugins"),
        "RABBITMQ_PID_FILE": str(work / "pid"),
    }
