"""Metrics as Prometheus reads them, of a broker that works, through the official parser."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import aio_pika
from prometheus_client.parser import text_string_to_metric_families

import amqpd
from amqpd.management.exposition import CONTENT_TYPE
from amqpd.management.families import FAMILIES
from tests.management.served import ignore, name, publish, served
from tests.server.waiting import until

if TYPE_CHECKING:
    from tests.management.served import Api

#: What the dashboards RabbitMQ-Overview, RabbitMQ-Queue and RabbitMQ-Stream ask for of what there
#: is here (Erlang's and Raft's own figures are not).
DASHBOARD = (
    "rabbitmq_build_info",
    "rabbitmq_identity_info",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_queue_messages_unacked",
    "rabbitmq_queue_messages",
    "rabbitmq_connections",
    "rabbitmq_channels",
    "rabbitmq_consumers",
    "rabbitmq_queues",
    "rabbitmq_global_publishers",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_routed_total",
    "rabbitmq_global_messages_received_confirm_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_delivered_consume_auto_ack_total",
    "rabbitmq_global_messages_delivered_consume_manual_ack_total",
    "rabbitmq_global_messages_delivered_get_auto_ack_total",
    "rabbitmq_global_messages_delivered_get_manual_ack_total",
    "rabbitmq_global_messages_get_empty_total",
    "rabbitmq_global_messages_acknowledged_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_consumers",
    "rabbitmq_queues_created_total",
    "rabbitmq_queues_declared_total",
    "rabbitmq_queues_deleted_total",
    "rabbitmq_channels_opened_total",
    "rabbitmq_channels_closed_total",
    "rabbitmq_connections_opened_total",
    "rabbitmq_connections_closed_total",
    "rabbitmq_resident_memory_limit_bytes",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_process_max_fds",
    "rabbitmq_process_open_fds",
    "rabbitmq_message_size_bytes_bucket",
    "rabbitmq_queue_messages_bytes",
    "rabbitmq_queue_consumers",
    "rabbitmq_channel_messages_published_total",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_file_descriptor_limit",
    "rabbitmq_global_messages_dead_lettered_expired_total",
    "rabbitmq_global_messages_dead_lettered_maxlen_total",
    "rabbitmq_global_messages_dead_lettered_rejected_total",
    "rabbitmq_auth_attempts_total",
    "rabbitmq_connection_incoming_bytes_total",
    "rabbitmq_connection_outgoing_packets_total",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_erlang_uptime_seconds",
    "rabbitmq_message_size_bytes_count",
    "rabbitmq_message_size_bytes_sum",
)


#: Prometheus' own words in expressions, and labels.
LANGUAGE = frozenset({"increase", "instance", "max", "min", "rate", "reason", "sum", "time"})


class Sample(NamedTuple):
    """One line."""

    labels: dict[str, str]
    value: float


class Scrape:
    """What one look brought."""

    def __init__(self, text: str) -> None:
        self.counters: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation
            for one in family.samples:
                self.samples.setdefault(one.name, []).append(Sample(one.labels, one.value))
                if family.type == "counter":
                    key = one.name, tuple(sorted(one.labels.items()))
                    assert key not in self.counters, f"twice: {key}"
                    self.counters[key] = one.value

    def one(self, name: str, **labels: str) -> float:
        """The one value with this name and these labels, whatever others it has."""
        found = [
            one.value for one in self.samples.get(name, ()) if labels.items() <= one.labels.items()
        ]
        assert len(found) == 1, (name, labels, self.samples.get(name))
        return found[0]


async def scrape(api: Api, path: str = "", status: int = 200) -> Scrape:
    """Look at the metrics once, as Prometheus does."""
    async with api.client.get(f"{api.metrics}/metrics{path}") as answer:
        text = await answer.text()
        assert answer.status == status, text
        if status == 200:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
        return Scrape(text if status == 200 else "")


async def use(api: Api, queue_name: str) -> None:
    """Publish three messages, one of them to nowhere, and get all but one back."""
    async with api.channel() as channel:
        await channel.declare_queue(queue_name, durable=True)
        await publish(channel, b"x" * 50, queue_name, delivery_mode=2)
        await publish(channel, b"x" * 5000, queue_name, timestamp=1_700_000_000)
        await publish(channel, b"", "nowhere")
        queue = await channel.get_queue(queue_name)
        message = await queue.get()
        await message.ack()


async def test_the_dashboards_of_rabbitmq_find_what_they_ask_for(api: Api) -> None:
    await use(api, "q")

    found = await scrape(api)

    assert [name for name in DASHBOARD if name not in found.samples] == []


async def test_the_aggregate_sums_up_all_queues(api: Api) -> None:
    await use(api, "q1")
    await use(api, "q2")

    found = await scrape(api)

    assert found.one("rabbitmq_queue_messages_ready") == 2
    assert found.one("rabbitmq_queue_messages_ready_bytes") == 10_000
    assert found.one("rabbitmq_queue_get_ack_total") == 2
    assert found.one("rabbitmq_queue_messages_published_total") == 4
    assert found.one("rabbitmq_channel_messages_unroutable_dropped_total") == 2
    assert found.one("rabbitmq_identity_info", rabbitmq_endpoint="aggregated") == 1
    assert "rabbitmq_queue_head_message_timestamp" not in found.samples


async def test_messages_are_counted_by_what_became_of_them(api: Api) -> None:
    await use(api, "q")

    found = await scrape(api)

    def count(name: str, **labels: str) -> float:
        return found.one(f"rabbitmq_global_messages_{name}_total", protocol="amqp091", **labels)

    assert count("received") == count("received_confirm") == count("confirmed") == 3
    assert count("routed") == 2
    assert count("unroutable_dropped") == 1
    classic = {"queue_type": "rabbit_classic_queue"}
    assert count("delivered_get_manual_ack", **classic) == count("acknowledged", **classic) == 1
    assert count("delivered_get_manual_ack", queue_type="rabbit_stream_queue") == 0


async def test_sizes_of_messages_are_a_histogram(api: Api) -> None:
    await use(api, "q")

    found = await scrape(api)

    buckets = {
        one.labels["le"]: one.value for one in found.samples["rabbitmq_message_size_bytes_bucket"]
    }
    # As the queries of RabbitMQ's dashboard name them.
    assert list(buckets) == [
        "100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf"
    ]  # fmt: skip
    assert list(buckets.values()) == [2, 2, 3, 3, 3, 3, 3, 3, 3]
    assert found.one("rabbitmq_message_size_bytes_sum") == 5050
    assert found.one("rabbitmq_message_size_bytes_count") == 3


async def test_no_counter_goes_back_when_things_go(api: Api) -> None:
    await api.put("/vhosts/v")
    await use(api, "q")
    async with api.channel(vhost="v") as channel:
        exchange = await channel.declare_exchange("e", aio_pika.ExchangeType.FANOUT)
        queue = await channel.declare_queue("q")
        await queue.bind(exchange)
        await publish(channel, b"x", "", "e")
        await (await queue.get()).ack()
        before = await scrape(api)
        await exchange.delete()
        await queue.delete()
    await api.delete("/queues/%2F/q")
    await api.delete("/vhosts/v")
    await until(lambda: not api.broker.server.broker.presence.guests())
    after = await scrape(api)

    gone_back = {
        key: (value, after.counters.get(key, -1))
        for key, value in before.counters.items()
        if after.counters.get(key, -1) < value
    }
    # Those of a vhost are gone with it.
    assert {name for name, labels in gone_back} <= {"amqpd_messages_dropped_total"}


async def test_each_object_has_its_own_samples(api: Api) -> None:
    await use(api, "q1")
    # Through HTTP: the client does not take such a name.
    await api.put("/queues/%2F/" + name('a "q"\\2'))
    async with api.channel() as channel:
        queue = await channel.declare_queue("q3")
        await queue.consume(ignore)
        await publish(channel, b"x", "q3")

        found = await scrape(api, "/per-object")

        [guest] = [guest.name for guest in api.broker.server.broker.presence.guests()]
        q1 = {"vhost": "/", "queue": "q1"}
        assert found.one("rabbitmq_queue_messages_ready", **q1) == 1
        assert found.one("rabbitmq_queue_messages_ready", vhost="/", queue='a "q"\\2') == 0
        assert found.one("rabbitmq_queue_get_ack_total", **q1) == 1
        assert found.one("rabbitmq_queue_head_message_timestamp", **q1) == 1_700_000_000
        assert found.one("rabbitmq_queue_info", queue_type="rabbit_classic_queue", **q1) == 1
        assert found.one("rabbitmq_connection_channels", connection=guest) == 1
        one = f"{guest} (1)"
        assert found.one("rabbitmq_channel_consumers", channel=one) == 1
        assert found.one("rabbitmq_channel_messages_unacked", channel=one) == 1
        assert found.one("rabbitmq_channel_messages_published_total", channel=one) == 1
        moved = "rabbitmq_queue_exchange_messages_published_total"
        assert found.one(moved, queue="q3", exchange="", exchange_vhost="/") == 1
        exchange = "rabbitmq_exchange_messages_unroutable_dropped_total"
        assert found.one(exchange, vhost="/", exchange="") == 1
        assert (
            found.one("rabbitmq_auth_attempts_detailed_total", username="guest", protocol="amqp091")
            > 0
        )
        # The whole broker's are there, too.
        assert found.one("rabbitmq_queues") == 3


async def test_a_sample_for_each_object_is_at_the_usual_path_where_that_is_set(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, metrics__per_object=True) as api:
        await api.put("/queues/%2F/q1")

        found = await scrape(api, "")

    assert found.one("rabbitmq_queue_messages_ready", vhost="/", queue="q1") == 0


async def test_of_a_stream_the_last_consumer_shows_how_far_it_is_behind(api: Api) -> None:
    async with api.channel() as channel:
        await channel.set_qos(prefetch_count=1)
        stream = await channel.declare_queue(
            "s", durable=True, arguments={"x-queue-type": "stream"}
        )
        for _ in range(3):
            await publish(channel, b"x", "s")
        await stream.consume(ignore, arguments={"x-stream-offset": "first"})
        stored = api.broker.server.broker.vhosts["/"].queues["s"]
        await until(lambda: stored.unacked == 1)

        found = await scrape(api, "/per-object")

        assert found.one("rabbitmq_stream_consumer_max_offset_lag", queue="s") == 2
        assert found.one("rabbitmq_queue_messages", queue="s") == 3
        assert found.one("rabbitmq_queue_info", queue_type="rabbit_stream_queue") == 1


async def test_in_detail_there_is_what_is_asked_for_and_no_more(api: Api) -> None:
    await api.put("/vhosts/v")
    for vhost, queue in (("v", "a1"), ("v", "b1"), ("%2F", "a2")):
        await api.put(f"/queues/{vhost}/{queue}")

    found = await scrape(api, "/detailed?family=queue_coarse_metrics&vhost=v&queue=%5Ea")
    everywhere = await scrape(api, "/detailed?family=queue_consumer_count&vhost=v&vhost=/")
    nothing = await scrape(api, "/detailed")

    ready = found.samples["rabbitmq_detailed_queue_messages_ready"]
    assert [one.labels for one in ready] == [{"vhost": "v", "queue": "a1"}]
    assert len(found.samples["rabbitmq_detailed_queue_info"]) == 1
    assert set(found.samples) == {
        "rabbitmq_identity_info",
        "rabbitmq_build_info",
        "rabbitmq_detailed_queue_info",
        "rabbitmq_detailed_queue_messages",
        "rabbitmq_detailed_queue_messages_ready",
        "rabbitmq_detailed_queue_messages_unacked",
    }
    assert len(everywhere.samples["rabbitmq_detailed_queue_consumers"]) == 3
    assert set(nothing.samples) == {"rabbitmq_identity_info", "rabbitmq_build_info"}


async def test_families_of_the_node_and_the_cluster_are_there_in_detail(api: Api) -> None:
    families = [
        "connection_churn_metrics",
        "node_coarse_metrics",
        "node_metrics",
        "node_persister_metrics",
        "vhost_status",
        "exchange_bindings",
        "exchange_names",
        "queue_metrics",
        "queue_consumer_count",
        "channel_process_metrics",
    ]
    await api.put("/queues/%2F/q")

    found = await scrape(api, "/detailed?" + "&".join(f"family={one}" for one in families))

    assert found.one("rabbitmq_detailed_queues_created_total") == 1
    assert found.one("rabbitmq_detailed_process_open_fds") > 0
    assert found.one("rabbitmq_detailed_erlang_uptime_seconds") > 0
    assert found.one("rabbitmq_detailed_io_sync_ops_total") > 0
    assert found.one("rabbitmq_cluster_vhost_status", vhost="/") == 1
    assert found.one("rabbitmq_cluster_exchange_bindings", exchange="amq.topic", type="topic") == 0
    assert found.one("rabbitmq_cluster_exchange_name", exchange="amq.topic", type="topic") == 1
    assert found.one("rabbitmq_detailed_queue_consumers", queue="q") == 0


async def test_a_filter_that_is_no_pattern_is_refused(api: Api) -> None:
    await scrape(api, "/detailed?family=queue_metrics&queue=%28", status=400)


async def test_memory_is_broken_down(api: Api) -> None:
    await api.broker.server.alarming.look_once()

    found = await scrape(api, "/memory-breakdown")

    assert found.one("rabbitmq_memory_other_system_bytes") > 0
    assert found.one("rabbitmq_memory_code_module_bytes") > 0
    assert found.one("rabbitmq_memory_binary_heap_bytes") == 0


async def test_the_sums_are_on_the_port_of_the_api_and_names_are_not(api: Api) -> None:
    async with api.client.get(f"{api.uri}/metrics") as answer:
        assert answer.status == 200
    async with api.client.get(f"{api.uri}/metrics/per-object") as answer:
        assert answer.status == 404


async def test_logins_are_counted_by_protocol(api: Api) -> None:
    async with api.channel():
        await api.get("/whoami")
        await api.as_user("guest", "wrong").get("/whoami", 401)
        found = await scrape(api)

    for protocol, failed in (("amqp091", 0), ("http", 1)):
        assert found.one("rabbitmq_auth_attempts_succeeded_total", protocol=protocol) == 1
        assert found.one("rabbitmq_auth_attempts_failed_total", protocol=protocol) == failed


async def test_dead_letters_are_counted_by_queue_type_and_what_became_of_them(api: Api) -> None:
    await api.put("/vhosts/v")
    await api.put("/queues/v/dead")
    sent = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    sure = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    for queue, more in (
        ("classic", sent),
        ("quorum", {"x-queue-type": "quorum"}),
        ("sure", {"x-queue-type": "quorum", **sent, **sure}),
    ):
        body = {"durable": True, "arguments": {"x-message-ttl": 0, **more}}
        await api.put(f"/queues/v/{queue}", body)
    async with api.channel(vhost="v") as channel:
        for queue in ("classic", "quorum", "sure"):
            await publish(channel, b"x", queue)
        while (await api.get("/queues/v/dead"))["messages"] < 2:
            pass
    await api.delete("/vhosts/v")

    found = await scrape(api)

    kinds = {kind: f"rabbit_{kind}_queue" for kind in ("classic", "quorum")}
    counts = {
        (sample.labels["queue_type"], sample.labels["dead_letter_strategy"]): sample.value
        for sample in found.samples["rabbitmq_global_messages_dead_lettered_expired_total"]
    }
    assert counts == {
        (kinds["classic"], "at_most_once"): 1,
        (kinds["classic"], "disabled"): 0,
        (kinds["quorum"], "at_least_once"): 1,
        (kinds["quorum"], "at_most_once"): 0,
        (kinds["quorum"], "disabled"): 1,
    }
    assert found.one("rabbitmq_global_messages_dead_lettered_confirmed_total") == 1
    began = found.one("process_start_time_seconds")
    assert 0 <= datetime.now(UTC).timestamp() - began < 600


async def test_the_manual_has_every_metric(api: Api) -> None:
    manual = (Path(amqpd.__file__).parent / "docs" / "metrics.md").read_text()
    rows = {tuple(cell.strip() for cell in row.split("|")[1:5]) for row in manual.splitlines()}
    families = {
        ("rabbitmq_cluster_" if family.of_cluster else "rabbitmq_") + metric.name: name
        for name, family in FAMILIES.items()
        for metric in family.metrics
    }
    cluster = "&".join(f"family={name}" for name, one in FAMILIES.items() if one.of_cluster)

    for path in ("", "/per-object", f"/detailed?{cluster}", "/memory-breakdown"):
        async with api.client.get(f"{api.metrics}/metrics{path}") as answer:
            text = await answer.text()
        for metric, kind, about in re.findall(r"# TYPE (\S+) (\S+)\n# HELP \S+ (.*)\n", text):
            assert (f"`{metric}`", kind, families.get(metric, ""), about) in rows


async def test_every_metric_of_our_own_dashboard_is_there(api: Api) -> None:
    file = Path(amqpd.__file__).parents[1] / "conf" / "grafana" / "amqpd.json"
    panels = json.loads(file.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    words = {
        word
        for text in expressions
        for word in re.findall(r"[a-z_]{3,}", re.sub(r"\[[^]]*\]|\"[^\"]*\"", "", text))
    }
    async with api.client.get(f"{api.metrics}/metrics") as answer:
        exposed = set(re.findall(r"^# TYPE (\S+)", await answer.text(), re.MULTILINE))

    assert len(words - LANGUAGE) > 30
    assert words - LANGUAGE <= exposed


async def test_more_queues_than_fit_into_one_piece_are_all_there(api: Api) -> None:
    vhost = api.broker.server.broker.vhosts["/"]
    async with api.channel() as channel:
        for number in range(300):
            await channel.declare_queue(f"q{number}")

        found = await scrape(api, "/per-object")

        assert len(vhost.queues) == 300
        assert len(found.samples["rabbitmq_queue_messages"]) == 300
        assert len(found.samples["rabbitmq_queue_info"]) == 300
