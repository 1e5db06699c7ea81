"""What is in conf/: the dashboard, the manifest, the unit and the image, as far as it runs here."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from amqpd import config

CONF = Path(__file__).resolve().parents[1] / "conf"
DASHBOARD = json.loads((CONF / "grafana" / "amqpd.json").read_text())
MANIFEST = {one["kind"]: one for one in yaml.safe_load_all((CONF / "kubernetes.yaml").read_text())}
#: The image's own user.
USER = 5672


def test_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in DASHBOARD["panels"]:
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


# -- Kubernetes --------------------------------------------------------------------------


def container() -> dict[str, Any]:
    """The broker's."""
    found: list[dict[str, Any]] = MANIFEST["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert len(found) == 1
    return found[0]


def test_the_manifests_settings_are_ones(tmp_path: Path) -> None:
    file = tmp_path / "amqpd.toml"
    file.write_text(MANIFEST["ConfigMap"]["data"]["amqpd.toml"])
    environment = {one["name"]: "text" for one in container()["env"]}

    settings = config.load(file, environment, {}).settings

    assert settings.store.path == "/var/lib/amqpd"
    assert settings.amqp.host == "0.0.0.0"  # noqa: S104
    assert settings.auth.loopback_users == ()
    assert settings.auth.default_user == settings.auth.default_password == "text"
    assert settings.node.name == "text"


def test_the_manifests_ports_are_those_of_the_settings() -> None:
    settings = config.Settings()
    wanted = {
        "amqp": settings.amqp.port, "http": settings.http.port, "metrics": settings.metrics.port
    }  # fmt: skip

    assert {one["name"]: one["containerPort"] for one in container()["ports"]} == wanted
    assert {
        one["targetPort"]: one["port"] for one in MANIFEST["Service"]["spec"]["ports"]
    } == wanted


def test_the_broker_runs_without_rights_in_kubernetes() -> None:
    pod = MANIFEST["StatefulSet"]["spec"]["template"]["spec"]
    own = container()["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_what_the_broker_writes_to_is_mounted() -> None:
    state = MANIFEST["StatefulSet"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in container()["volumeMounts"]}
    volumes = {one["name"] for one in state["template"]["spec"]["volumes"]}
    claims = {one["metadata"]["name"] for one in state["volumeClaimTemplates"]}

    assert mounts["data"] == "/var/lib/amqpd"
    assert set(mounts) == volumes | claims
    assert claims == {"data"}
    assert state["replicas"] == 1
    assert f"{mounts['config']}/amqpd.toml" in container()["args"]


def test_the_probes_ask_what_the_broker_answers() -> None:
    asked = {
        kind: container()[f"{kind}Probe"]["httpGet"]
        for kind in ("startup", "liveness", "readiness")
    }

    assert {kind: one["path"] for kind, one in asked.items()} == {
        "startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"
    }  # fmt: skip
    assert {one["port"] for one in asked.values()} == {"http"}


def test_labels_select_what_they_should() -> None:
    state = MANIFEST["StatefulSet"]["spec"]
    labels = state["template"]["metadata"]["labels"]

    assert state["selector"]["matchLabels"].items() <= labels.items()
    assert MANIFEST["Service"]["spec"]["selector"].items() <= labels.items()
    assert state["serviceName"] == MANIFEST["Service"]["metadata"]["name"]


# -- systemd and the image ---------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    """The unit's values by key."""
    found: dict[str, list[str]] = {}
    for line in (CONF / "amqpd.service").read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_is_hardened() -> None:
    said = unit()

    for key, value in {
        "Type": "notify", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
        "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "DynamicUser": "yes",
        "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes", "StateDirectoryMode": "0700",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077",
    }.items():  # fmt: skip
        assert said[key] == [value], key
    assert "~@privileged @resources" in said["SystemCallFilter"]


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        # Without systemd at least nothing in it may be twice, but for what is a list.
        assert all(len(values) == 1 for key, values in unit().items() if key != "SystemCallFilter")
        return
    # What it starts has to be there.
    text = (
        (CONF / "amqpd.service")
        .read_text()
        .replace("/opt/amqpd/bin/amqpd", shutil.which("true") or "")
    )
    file = tmp_path / "amqpd.service"
    file.write_text(text)

    found = subprocess.run(
        [verify, "--man=no", "verify", str(file)], capture_output=True, text=True, check=False
    )

    mine = [line for line in found.stderr.splitlines() if "amqpd.service" in line]
    assert mine == []


def instructions() -> list[tuple[str, str]]:
    """The instructions of the image's file."""
    text = (CONF / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_images_environment_is_of_settings_that_exist() -> None:
    settings = [shlex.split(rest) for word, rest in instructions() if word == "ENV"]
    environment = dict(pair.split("=", 1) for pairs in settings for pair in pairs)

    loaded = config.load(None, environment, {}).settings

    assert loaded.store.path == "/var/lib/amqpd"
    assert loaded.auth.loopback_users == ()


def test_the_image_runs_as_its_own_user_and_exposes_what_it_listens_on() -> None:
    said = instructions()
    last = max(place for place, (word, _) in enumerate(said) if word == "FROM")
    final = dict(said[last:])

    assert final["USER"] == "amqpd"
    assert any(f"--uid {USER}" in rest for word, rest in said if word == "RUN")
    settings = config.Settings()
    for port in (settings.amqp.port, settings.http.port, settings.metrics.port):
        assert str(port) in final["EXPOSE"].split()
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["HEALTHCHECK"].removeprefix("CMD "))[1:] == ["ping"]


def test_the_image_exposes_the_usual_ports_of_tls() -> None:
    exposed = dict(instructions())["EXPOSE"].split()

    assert {"5671", "15671", "15691"} <= set(exposed)
