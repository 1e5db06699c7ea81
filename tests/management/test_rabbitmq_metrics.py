"""Our metrics beside RabbitMQ's: names, types and labels, as they are in a list of them."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families

import amqpd
from amqpd.management.families import FAMILIES
from tests.management.served import name
from tests.management.test_metrics import use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.management.served import Api

MANUAL = (Path(amqpd.__file__).parent / "docs" / "metrics.md").read_text()
#: In two metrics that a query of RabbitMQ-Overview adds or subtracts the labels are the same.
TOGETHER = (
    ("rabbitmq_resident_memory_limit_bytes", "rabbitmq_process_resident_memory_bytes"),
    ("rabbitmq_disk_space_available_bytes", "rabbitmq_disk_space_available_limit_bytes"),
    ("rabbitmq_process_max_fds", "rabbitmq_process_open_fds"),
    (
        "rabbitmq_global_messages_received_confirm_total",
        "rabbitmq_global_messages_confirmed_total",
    ),
    (
        "rabbitmq_global_messages_delivered_consume_auto_ack_total",
        "rabbitmq_global_messages_delivered_consume_manual_ack_total",
    ),
)


class Fact(NamedTuple):
    """A metric of RabbitMQ."""

    name: str
    kind: str
    labels: frozenset[str]


def facts() -> Iterator[Fact]:
    """All of them."""
    for line in Path(__file__).with_name("rabbitmq_metrics.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, kind, _, *labels = line.split("\t")
            yield Fact(name, kind, frozenset(" ".join(labels).split()))


def table(title: str) -> list[str]:
    """The patterns in the first column of a table of the manual."""
    rows = MANUAL.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [one for row in rows for one in re.findall(r"`([a-z_*]+)`", row.split("|")[1])]


def matches(name: str, patterns: list[str]) -> bool:
    """Whether it is one of these."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Shown:
    """What we show: types, and the labels of samples."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.labels: dict[str, list[dict[str, str]]] = {}

    async def look(self, api: Api, path: str) -> Shown:
        """Add what a path has."""
        async with api.client.get(f"{api.metrics}/metrics{path}") as answer:
            text = await answer.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name
                if family.type == "histogram":
                    name = family.name
                self.kinds[name] = family.type
                labels = {key: value for key, value in sample.labels.items() if key != "le"}
                self.labels.setdefault(name, []).append(labels)
        return self


async def test_all_that_rabbitmq_shows_is_there_or_named_as_missing(api: Api) -> None:
    await use(api, "q")
    shown = Shown()
    cluster = "&".join(f"family={name}" for name, one in FAMILIES.items() if one.of_cluster)
    async with api.channel() as channel:
        await channel.declare_queue("s", durable=True, arguments={"x-queue-type": "stream"})
        for path in ("/per-object", f"/detailed?{cluster}", "/memory-breakdown"):
            await shown.look(api, path)
    absent, different = table("not here"), table("other labels")
    assert len(absent) > 10
    assert len(different) == 4

    for metric, kind, labels in facts():
        if metric not in shown.kinds:
            assert matches(metric, absent), metric
            continue
        ours = shown.kinds[metric]
        assert ours == kind or (ours, kind) == ("gauge", "untyped"), metric
        if not matches(metric, different):
            assert all(labels <= one.keys() for one in shown.labels[metric]), metric


async def test_what_is_named_as_missing_is_missing(api: Api) -> None:
    known = [fact.name for fact in facts()]

    assert len(known) == len(set(known)) > 200
    unused = [
        pattern
        for pattern in (*table("not here"), *table("other labels"))
        if not any(fnmatchcase(name, pattern) for name in known)
    ]
    assert unused == []


async def test_the_queries_of_the_overview_find_what_they_join(api: Api) -> None:
    await use(api, "q")
    shown = await Shown().look(api, "")

    (who,) = shown.labels["rabbitmq_identity_info"]
    assert who["rabbitmq_cluster"]
    assert who["rabbitmq_node"]
    assert who["rabbitmq_endpoint"] == "aggregated"
    (build,) = shown.labels["rabbitmq_build_info"]
    assert build["rabbitmq_version"]
    # Set by Prometheus: a label of ours would be called exported_….
    reserved = {"instance", "job", "namespace"}
    assert not any(reserved & one.keys() for found in shown.labels.values() for one in found)
    for one, other in TOGETHER:
        assert shown.labels[one] == shown.labels[other]
    # What is there once for each broker must not be there twice.
    for metric, found in shown.labels.items():
        if metric.startswith("rabbitmq_") and not found[0]:
            assert len(found) == 1, metric


@pytest.mark.parametrize("path", ["/per-object", "/detailed?family=queue_coarse_metrics"])
async def test_names_of_any_kind_come_through_the_parser(api: Api, path: str) -> None:
    names = [
        'quote"s',
        "back\\slash",
        "\\n is not",
        "ünïcödé ☃ 𝄞",
        "{a=b} 1",
        "#",
        " x ",
    ]
    vhost = api.broker.server.broker.vhosts["/"]
    for each in names:
        await api.put(f"/queues/%2F/{name(each)}")

    shown = await Shown().look(api, path)

    assert set(vhost.queues) == set(names)
    for metric, found in shown.labels.items():
        if metric.endswith("queue_messages"):
            assert [one["queue"] for one in found] == names


#: What Prometheus asks for, and who takes one format only.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
ODD = 'q"\\☃'
OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.mark.parametrize("path", ["", "/per-object", "/memory-breakdown"])
async def test_both_formats_say_the_same_to_the_official_parsers(api: Api, path: str) -> None:
    await use(api, "q")
    await api.put(f"/queues/%2F/{name(ODD)}")
    found = []

    for accept, kind, parse in (
        (PROMETHEUS, "text/plain", text_string_to_metric_families),
        ("*/*", "text/plain", text_string_to_metric_families),
        (OPEN, "application/openmetrics-text", open_families),
    ):
        headers = {"Accept": accept}
        async with api.client.get(f"{api.metrics}/metrics{path}", headers=headers) as answer:
            assert answer.content_type == kind
            text = await answer.text()
        found.append(
            [
                (family.name, family.type, family.documentation, one.name, one.labels)
                for family in parse(text)
                for one in family.samples
            ]
        )

    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 2


#: Prometheus' own words in expressions, and labels in them.
WORDS = frozenset(
    {
        "and", "by", "changes", "deriv", "increase", "instance", "min_over_time", "rate", "reason",
        "sum", "time", "vhost",
    }
)  # fmt: skip


async def test_all_that_alerts_ask_for_is_there(api: Api) -> None:
    file = Path(amqpd.__file__).parents[1] / "conf" / "prometheus" / "alerts.yaml"
    (group,) = yaml.safe_load(file.read_text())["groups"]
    rules = group["rules"]
    await use(api, "q")
    shown = await Shown().look(api, "")

    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names) > 15
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        expression = re.sub(r"\[[^]]*\]", "", rule["expr"])
        asked = set(re.findall(r"[a-z_]{2,}", expression)) - WORDS
        assert asked, rule
        # Of what died there is nothing before the first.
        assert asked <= shown.kinds.keys() | {"amqpd_messages_dead_lettered_total"}, rule
        assert "$labels.instance" in rule["annotations"]["summary"]
        for counter in re.findall(r"(?:rate|increase)\(([a-z_]+)", expression):
            assert counter.endswith("_total")
