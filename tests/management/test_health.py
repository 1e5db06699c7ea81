"""Health checks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority
from tests.management.served import served, short_of_disk

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Value
    from tests.management.served import Api

CHECKS = "/health/checks"
LEADERS = f"{CHECKS}/quorum-queues-without-elected-leaders"


@pytest.mark.parametrize(
    "path",
    [
        f"{CHECKS}/alarms",
        f"{CHECKS}/local-alarms",
        f"{CHECKS}/virtual-hosts",
        f"{CHECKS}/node-is-quorum-critical",
        f"{CHECKS}/is-in-service",
        f"{CHECKS}/below-node-connection-limit",
        f"{CHECKS}/ready-to-serve-clients",
        f"{CHECKS}/reached-target-cluster-size",
        f"{CHECKS}/metadata-store/initialized",
        f"{CHECKS}/metadata-store/initialized/with-data",
        f"{CHECKS}/certificate-expiration/10/years",
        f"{CHECKS}/protocol-listener/amqp",
        f"{CHECKS}/protocol-listener/AMQP091,http,prometheus",
        f"{LEADERS}/all-vhosts",
        f"{LEADERS}/all-vhosts/",
        f"{LEADERS}/all-vhosts/pattern/.*",
        f"{LEADERS}/vhost/%2F",
        f"{LEADERS}/vhost/%2F/pattern/.*",
        "/healthchecks/node",
        "/aliveness-test/%2F",
    ],
)
async def test_a_broker_that_is_well_says_so(api: Api, path: str) -> None:
    assert (await api.get(path))["status"] == "ok"


async def test_alarms_are_told(tmp_path: Path) -> None:
    async with short_of_disk(tmp_path) as api:
        failed = await api.get(f"{CHECKS}/alarms", 503)

        assert failed["status"] == "failed"
        assert [one["resource"] for one in failed["alarms"]] == ["disk"]
        assert (await api.get("/healthchecks/node"))["status"] == "failed"


async def test_ports_and_protocols_that_nobody_listens_on_are_told(api: Api) -> None:
    assert await api.get(f"{CHECKS}/port-listener/{api.broker.port}") == {
        "status": "ok",
        "port": api.broker.port,
    }
    failed = await api.get(f"{CHECKS}/port-listener/1", 503)
    assert (failed["missing"], api.broker.port in failed["ports"]) == (1, True)
    for wrong in ("x", "9" * 5000, "%C2%B2", "-1"):
        await api.get(f"{CHECKS}/port-listener/{wrong}", 400)
        await api.get(f"{CHECKS}/certificate-expiration/{wrong}/weeks", 400)
    failed = await api.get(f"{CHECKS}/protocol-listener/amqp,mqtt", 503)
    assert failed["missing"] == ["mqtt"]


async def test_a_broker_that_stops_is_not_ready(api: Api) -> None:
    api.broker.server.ready = False

    await api.get(f"{CHECKS}/ready-to-serve-clients", 503)


async def test_a_full_broker_is_told(api: Api) -> None:
    api.broker.server.room.most = 0

    await api.get(f"{CHECKS}/below-node-connection-limit", 503)
    await api.get(f"{CHECKS}/ready-to-serve-clients", 503)


@pytest.mark.parametrize(("left_days", "status"), [(5, 503), (20, 200), (-1, 503)])
async def test_a_certificate_that_ends_soon_is_told(
    api: Api, monkeypatch: pytest.MonkeyPatch, left_days: int, status: int
) -> None:
    ends_s = time.time() + left_days * 86_400
    monkeypatch.setattr("amqpd.server.tls.ends_s", lambda _settings: ends_s)

    await api.get(f"{CHECKS}/certificate-expiration/2/weeks", status)


@pytest.mark.parametrize("path", ["x/days", "-1/days", "1/fortnights"])
async def test_a_time_that_is_none_is_refused(api: Api, path: str) -> None:
    await api.get(f"{CHECKS}/certificate-expiration/{path}", 400)


async def test_a_broker_without_users_is_told(api: Api) -> None:
    broker = api.broker.server.broker
    users = broker.permissions.users
    broker.permissions.users = list  # type: ignore[method-assign]  # as if there were none

    await api.get(f"{CHECKS}/metadata-store/initialized/with-data", 503)
    broker.permissions.users = users  # type: ignore[method-assign]  # as it was


async def test_the_aliveness_test_needs_rights_in_the_vhost(api: Api) -> None:
    shop = await api.user("shop", "management", vhosts=("/",))
    rights = {"configure": "", "write": "", "read": ""}
    await api.put("/permissions/%2F/shop", rights, status=204)

    await shop.get("/aliveness-test/%2F", 401)
    await api.get("/aliveness-test/nowhere", 404)
    await api.get("/healthchecks/node/elsewhere", 404)


async def test_a_port_for_amqp_over_tls_is_known_by_rabbitmqs_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    files: dict[str, Value] = {"tls__certificate": str(certificate), "tls__key": str(key)}
    async with served(tmp_path, None, **files, amqp__port="off", amqp__tls_port=0) as api:
        assert "amqp/ssl" in {one["protocol"] for one in (await api.get("/overview"))["listeners"]}
        await api.get(f"{CHECKS}/protocol-listener/amqps")
        await api.get(f"{CHECKS}/ready-to-serve-clients")
        failed = await api.get(f"{CHECKS}/certificate-expiration/5000/years", 503)
        assert [one["protocol"] for one in failed["expired"]] == ["amqp/ssl"]
