"""`amqpd doctor`: looks at what brokers die of, and says what to do about it."""

from __future__ import annotations

import enum
import os
import platform
import resource
import ssl
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd import __version__
from amqpd.cli.answer import (
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    answer,
    answers,
    wants_json,
)
from amqpd.cli.options import load, settings_options
from amqpd.cli.reach import broker_options, place
from amqpd.cli.remote import Place, Remote, RemoteError, local_socket, run_file, segment
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.config import Settings

#: Syncs that are measured, of so many bytes each.
SYNCS: Final = 7
SYNC_BYTES: Final = 4096
#: Slower than this a disk is slow, and so slow that clients notice; faster is none.
SLOW_MS: Final = 20.0
VERY_SLOW_MS: Final = 200.0
NO_DISK_MS: Final = 0.02
#: Less than these is little.
FEW_FILES: Final = 4096
LITTLE_MEMORY: Final = 256 << 20
SOON_S: Final = 30 * 86_400
AHEAD_S: Final = 60.0
#: Queues that are looked at one by one.
LOOKED_AT: Final = 50


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing, and what to do next."""

    about: str
    level: Level
    text: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: settings, their data directory, and the broker if it answers."""

    settings: Settings
    remote: Remote | None = None

    @property
    def directory(self) -> Path:
        """Where the data are."""
        return Path(self.settings.store.path)


def _ok(about: str, text: str) -> Finding:
    return Finding(about, Level.OK, text)


def _warn(about: str, text: str, next_step: str) -> Finding:
    return Finding(about, Level.WARNING, text, next_step)


def _bad(about: str, text: str, next_step: str) -> Finding:
    return Finding(about, Level.FAILED, text, next_step)


# -- this machine ----------------------------------------------------------------------------


def version(patient: Patient) -> Iterator[Finding]:
    """What is installed."""
    from amqpd.amqp import codec
    from amqpd.server.tls import weakness
    from amqpd.store.driver import select
    from amqpd.store.versions import has_wal_reset_bug

    driver = select("auto")
    compiled = not str(codec.__file__).endswith(".py")
    text = (
        f"amqpd {__version__}, Python {platform.python_version()}, SQLite {driver.version} "
        f"({driver.name}), {' '.join(ssl.OPENSSL_VERSION.split()[:2])}"
    )
    if not compiled:
        step = "install python3-dev and gcc, then install amqpd again: 5 to 10 times faster"
        yield _warn("version", f"{text}, plain Python", step)
    elif has_wal_reset_bug(driver.version):
        yield _warn("version", f"{text}: this SQLite has a known bug", "pip install apsw")
    elif known := weakness():
        yield _warn("version", f"{text}: {known}", "bring OpenSSL up to date")
    else:
        yield _ok("version", text)


def data_directory(patient: Patient) -> Iterator[Finding]:
    """Whether the store can be where it is to be, and is of our version."""
    from amqpd.store import StoreDamaged, schema
    from amqpd.store.sqlite import FILE

    directory = patient.directory
    if not directory.exists():
        yield _ok("store", f"'{directory}' is made at the first start")
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        step = f"chown it to the user that runs the broker, or run this as {_owner(directory)}"
        yield _bad("store", f"'{directory}' may not be used by this user", step)
        return
    path = directory / FILE
    try:
        found = schema.version_of(path)
    except StoreDamaged as error:
        yield _bad("store", str(error), "amqpd check tells what is wrong")
        return
    if found > schema.VERSION:
        yield _bad("store", schema.newer(path, found), "install the newer amqpd again")
    elif not found:
        yield _ok("store", f"'{directory}' has no messages yet")
    else:
        older = "" if found == schema.VERSION else ", migrated at the next start"
        yield _ok("store", f"'{path}' is of version {found}{older}")
    mode = directory.stat().st_mode & 0o077
    if mode:
        yield _warn("store", f"'{directory}' is open to others", f"chmod 700 {directory}")


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user id {path.stat().st_uid}"


def disk(patient: Patient) -> Iterator[Finding]:
    """Free space, and how long a sync takes."""
    directory = _existing(patient.directory)
    found = os.statvfs(directory)
    free, limit = found.f_bavail * found.f_frsize, patient.settings.resources.disk_free_bytes
    text = f"{free / 1e9:.1f} GB free where '{directory}' is"
    if free < limit:
        yield _bad("disk", f"{text}, below the limit: publishers are held", "make room")
    elif free < 2 * limit + (1 << 30):
        yield _warn("disk", f"{text}: publishers are held at {limit / 1e6:.0f} MB", "make room")
    else:
        yield _ok("disk", text)
    try:
        took_ms = _sync_ms(directory)
    except OSError as error:
        yield _bad("fsync", f"'{directory}': {error.strerror}", "see to it that it can be written")
        return
    text = f"a sync takes {took_ms:.2f} ms: that long a confirm takes at least"
    if took_ms > VERY_SLOW_MS:
        yield _bad("fsync", text, "put the data directory on a local disk, best an SSD")
    elif took_ms > SLOW_MS:
        yield _warn("fsync", text, "put the data directory on a faster disk")
    elif took_ms < NO_DISK_MS:
        step = "do not keep messages in memory (tmpfs), or on a disk that lies about syncs"
        yield _warn("fsync", f"a sync takes {took_ms:.3f} ms: this is no disk", step)
    else:
        yield _ok("fsync", text)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _sync_ms(directory: Path) -> float:
    """The median of some syncs."""
    path = directory / f"amqpd.doctor-{os.getpid()}"
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        took = []
        for _ in range(SYNCS):
            os.write(opened, bytes(SYNC_BYTES))
            began_s = time.perf_counter()
            os.fdatasync(opened)
            took.append((time.perf_counter() - began_s) * 1000)
        return statistics.median(took)
    finally:
        os.close(opened)
        path.unlink()


def files(patient: Patient) -> Iterator[Finding]:
    """How many connections there can be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if patient.remote is not None and (node := _node(patient.remote)):
        most = int(node["fd_total"])
    unlimited = most == resource.RLIM_INFINITY
    text = "no limit on open files" if unlimited else f"{most} files may be open"
    if not unlimited and most < FEW_FILES:
        step = "ulimit -n 65536 before the start, or LimitNOFILE= in the unit"
        yield _warn("descriptors", f"{text}: hardly more connections than that", step)
    else:
        yield _ok("descriptors", text)


def memory(patient: Patient) -> Iterator[Finding]:
    """What the broker may use before publishers are held."""
    from amqpd.server.resources import memory_available

    settings = patient.settings.resources
    available = settings.memory_bytes or memory_available()
    limit = settings.memory_watermark_bytes or int(available * settings.memory_watermark)
    text = f"publishers are held from {limit / 1e6:,.0f} MB on, of {available / 1e6:,.0f} MB"
    if limit > available:
        step = "lower resources.memory_watermark_bytes: the system kills the broker before"
        yield _bad("memory", text, step)
    elif limit < LITTLE_MEMORY:
        step = "give the container more memory, or raise resources.memory_watermark"
        yield _warn("memory", text, step)
    else:
        yield _ok("memory", text)


def clock(patient: Patient) -> Iterator[Finding]:
    """Whether time goes on: TTLs, certificates and tokens are measured by it."""
    now_s = time.time()
    newest_s = 0.0
    if patient.directory.exists() and os.access(patient.directory, os.R_OK | os.X_OK):
        times = [one.stat().st_mtime for one in patient.directory.iterdir()]
        newest_s = max(times, default=0.0)
    built_s = Path(__file__).stat().st_mtime
    if max(newest_s, built_s) > now_s + AHEAD_S:
        text = "files here are from the future: the clock was set back"
        yield _bad("clock", text, "synchronise it (timedatectl set-ntp true)")
    else:
        yield _ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))


def ports(patient: Patient) -> Iterator[Finding]:
    """Whether the ports are ours, free, or somebody else's."""
    import socket

    settings = patient.settings
    if local_socket({}, patient.directory):
        for one in run_file({}, patient.directory).get("listeners", ()):
            yield _ok("ports", f"{one['port']} is open and the broker's ({one['protocol']})")
        return
    listening = _listening(patient.remote)
    for name, host, port in (
        ("--port", settings.amqp.host, settings.amqp.port),
        ("--tls-port", settings.amqp.host, settings.amqp.tls_port),
        ("--http-port", settings.http.host or settings.amqp.host, settings.http.port),
        ("--metrics-port", settings.metrics.host or settings.amqp.host, settings.metrics.port),
    ):
        if port == "off" or port == 0:
            continue
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, port))
            except OSError as error:
                if port in listening:
                    yield _ok("ports", f"{port} is open and the broker's ({listening[port]})")
                    continue
                step = f"see who has it (ss -ltnp 'sport = :{port}'), or choose another: {name}"
                yield _bad("ports", f"{port} on {host}: {error.strerror}", step)
            else:
                yield _ok("ports", f"{port} on {host} is free")


def _listening(remote: Remote | None) -> dict[object, str]:
    """The ports of a broker that answers, with their protocols."""
    if remote is None:
        return {}
    return {one["port"]: one["protocol"] for one in remote.get("/overview").get("listeners", ())}


def certificates(patient: Patient) -> Iterator[Finding]:
    """When TLS ends."""
    from amqpd.server import tls
    from amqpd.server.process import StartError

    settings = patient.settings
    if settings.amqp.tls_port == "off":
        yield _ok("TLS", "off")
        return
    try:
        tls.context(settings.tls)
        ends_s = tls.ends_s(settings.tls)
    except (StartError, OSError) as error:
        yield _bad("TLS", str(error), "amqpd tls self-signed makes certificates for a trial")
        return
    left_s = ends_s - time.time()
    text = f"the first certificate ends {time.strftime('%Y-%m-%d', time.gmtime(ends_s))}"
    if left_s <= 0:
        yield _bad("TLS", f"{text}: it has expired", "renew it, then amqpd ctl reload")
    elif left_s < SOON_S:
        yield _warn("TLS", text, "renew it, then amqpd ctl reload")
    else:
        yield _ok("TLS", text)


# -- the broker ------------------------------------------------------------------------------


def _node(remote: Remote) -> dict[str, Any]:
    nodes = remote.get("/nodes")
    return dict(nodes[0]) if nodes else {}


def health(patient: Patient) -> Iterator[Finding]:
    """Whether the broker is there and well."""
    remote = patient.remote
    if remote is None:
        return
    overview, node = remote.get("/overview"), _node(remote)
    where = f"{overview['node']} at {remote.place.uri}"
    if not node.get("running", True):
        yield _bad("broker", f"{where}: stopped by stop_app", "amqpd ctl start_app")
        return
    yield _ok("broker", f"{where} runs, amqpd {overview['amqpd_version']}")
    if overview["amqpd_version"] != __version__:
        text = f"the broker is of version {overview['amqpd_version']}, this command of another"
        yield _warn("broker", text, "start the broker again")
    if not overview["sync"]:
        text = "syncs are off: a power cut loses confirmed messages"
        yield _bad("broker", text, "start it without --no-sync (store.sync)")
    if held := node.get("store_held_by"):
        text = (
            f"the WAL is {node['store_wal_bytes'] / 1e6:,.0f} MB and grows, because "
            f"{', '.join(held)} reads the store"
        )
        yield _bad("store", text, "end that program, or its transaction")
    if aside := node.get("messages_quarantined"):
        text = f"{aside} damaged messages were set aside"
        step = "amqpd check names them; think of a new disk, and of amqpd backup"
        yield _bad("store", text, step)
    for key, name in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
        if node.get(key):
            text = f"the alarm for {name} is on: publishers are held"
            yield _bad(
                "alarms", text, f"make room, or raise the limit: amqpd ctl status shows {name}"
            )


def default_user(patient: Patient) -> Iterator[Finding]:
    """Whether everybody knows the password of somebody whom everybody may be."""
    settings = patient.settings
    is_open = not _is_loopback(settings.amqp.host)
    restricted = "guest" in settings.auth.loopback_users
    if not is_open or restricted:
        why = "only from this machine" if restricted else "the broker listens on this machine only"
        yield _ok("guest", f"guest / guest: {why}")
        return
    step = "amqpd ctl change_password guest, or take guest into auth.loopback_users"
    if _may_log_in(patient.remote):
        text = f"guest / guest is let in from anywhere ({settings.amqp.host})"
        yield _bad("guest", text, step)
    elif patient.remote is None:
        text = (
            "the user guest may come from anywhere; whether with its default password is not known"
        )
        yield _warn("guest", text, step)
    else:
        yield _ok("guest", "the user guest has another password, or there is none")


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _may_log_in(remote: Remote | None) -> bool:
    if remote is None:
        return False
    place = remote.place
    guest = Remote(Place(place.uri, "guest", "guest", place.timeout_s, place.ca, place.socket))
    try:
        guest.get("/whoami")
    except RemoteError as error:
        return "Not management user" in error.reason
    finally:
        guest.close()
    return True


def queues(patient: Patient) -> Iterator[Finding]:
    """Queues that do not move, and why."""
    remote = patient.remote
    if remote is None:
        return
    page = remote.get(
        "/queues", page=1, page_size=LOOKED_AT, sort="messages", sort_reverse="true",
        columns="vhost,name,messages",
    )  # fmt: skip
    stuck = 0
    for one in page["items"]:
        if not one.get("messages"):
            break
        path = f"/queues/{segment(one['vhost'])}/{segment(one['name'])}"
        try:
            why = remote.get(path).get("why_waiting", "")
        except RemoteError as error:
            if error.status != 404:  # it is gone by now
                raise
            continue
        if why:
            stuck += 1
            text = f"'{one['name']}' in vhost '{one['vhost']}', {_messages(one)}: {why}"
            yield _warn("queues", text, f"amqpd queue show {one['name']} -p {one['vhost']}")
    if not stuck:
        yield _ok("queues", f"{page['total_count']}, none of the longest stands still")


def _messages(one: dict[str, Any]) -> str:
    return "1 message" if one["messages"] == 1 else f"{one['messages']} messages"


CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    version, data_directory, disk, files, memory, clock, ports, certificates, health,
    default_user, queues,
)  # fmt: skip
MARKS: Final = {
    Level.OK: ("ok  ", "green"), Level.WARNING: ("warn", "yellow"), Level.FAILED: ("FAIL", "red"),
}  # fmt: skip


@click.command()
@settings_options
@broker_options
@answers(says="a list of {about, level, text, next_step}")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
def doctor(
    file: Path | None,
    strict: bool,
    **options: object,
) -> None:
    """Look at disk, limits, ports, certificates, users and queues; 70 if something is wrong.

    Takes the options of start; the broker is asked if it answers.
    """
    settings = load(file, options).settings
    remote, finding = _reach(settings)
    found = [finding] if finding else []
    try:
        patient = Patient(settings, remote)
        for check in CHECKS:
            try:
                found += check(patient)
            except RemoteError as error:
                found.append(_bad(check.__name__, error.reason, "see the broker's log"))
    finally:
        if remote is not None:
            remote.close()
    if wants_json():
        answer([asdict(one) for one in found])
    else:
        _tell(found)
    worst = {one.level for one in found}
    if Level.FAILED in worst or (strict and Level.WARNING in worst):
        raise SystemExit(EX_SOFTWARE)


def _reach(settings: Settings) -> tuple[Remote | None, Finding | None]:
    """The broker that is meant, if it answers; what is to be said if not."""
    where = place(timeout_s=10.0, directory=Path(settings.store.path))
    remote = Remote(where)
    try:
        remote.get("/overview")
    except RemoteError as error:
        remote.close()
        if error.code == EX_UNAVAILABLE:
            text = f"does not answer at {where.uri}; what it would tell is left out"
            return None, _warn("broker", text, "amqpd starts it; --url names another")
        return None, _bad("broker", error.reason, "--username and --password, or the local socket")
    return remote, None


def _tell(found: list[Finding]) -> None:
    width = max(len(one.about) for one in found)
    for one in found:
        mark, colour = MARKS[one.level]
        line = f"{one.about:<{width}}  {one.text}"
        click.echo(f"{click.style(mark, fg=colour)}  {printable(line)}")
        if one.next_step:
            click.echo(printable(f"{'':<{width + 6}}  -> {one.next_step}"))
    failed = sum(one.level is Level.FAILED for one in found)
    warned = sum(one.level is Level.WARNING for one in found)
    click.echo(f"{failed} failed, {warned} warnings, {len(found) - failed - warned} ok")
