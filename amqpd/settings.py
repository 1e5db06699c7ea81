"""Settings: what can be set, one struct a section; units are in the names.

Where the values come from is in `config`. What a field means is its description, which the
sample file, the documentation and `amqpd config show --comments` print.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from amqpd.auth.settings import HttpAuth, Ldap, OAuth2
from amqpd.management.settings import Http, Metrics, PortOrOff

Seconds = Annotated[float, Meta(gt=0)]


class Node(Struct, frozen=True):
    """Who this broker is."""

    name: Annotated[str, Meta(description="node name; empty: rabbit@ and the host's name")] = ""
    cluster_name: Annotated[str, Meta(description="told to clients; empty: the node name")] = ""
    tags: Annotated[
        dict[str, str], Meta(description="what operators call it: region, rack (node_tags.*)")
    ] = {}
    cluster_tags: Annotated[
        dict[str, str], Meta(description="the same of the cluster (cluster_tags.*)")
    ] = {}
    uvloop: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="event loop of the extra 'speed'; auto: if it is installed"),
    ] = "off"


class Amqp(Struct, frozen=True):
    """AMQP 0-9-1 listeners and what is agreed with clients."""

    host: Annotated[str, Meta(description="address to listen on; 0.0.0.0 or :: for all")] = (
        "127.0.0.1"
    )
    port: Annotated[PortOrOff, Meta(description="TCP port; 0: any free one; or 'off'")] = 5672
    tls_port: Annotated[PortOrOff, Meta(description="TLS port, usually 5671")] = "off"
    backlog: Annotated[int, Meta(ge=1, description="connections waiting to be accepted")] = 1024
    max_connections: Annotated[
        int, Meta(ge=0, description="0: as many as the limit on open files allows")
    ] = 0
    stamp_time: Annotated[
        Literal["off", "keep", "overwrite"],
        Meta(
            description="when a message came in, in its header timestamp_in_ms and its timestamp; "
            "keep: where there is none "
            "(message_interceptors.incoming.set_header_timestamp.overwrite)"
        ),
    ] = "off"
    stamp_node: Annotated[
        Literal["off", "keep", "overwrite"],
        Meta(
            description="where a message came in, in its header x-routed-by "
            "(message_interceptors.incoming.set_header_routing_node.overwrite)"
        ),
    ] = "off"
    max_unauthenticated: Annotated[
        int, Meta(ge=0, description="connections that have not logged in; 0: no limit")
    ] = 1000
    max_unauthenticated_per_source: Annotated[
        int, Meta(ge=0, description="the same for each address but this machine's")
    ] = 100
    handshake_timeout_s: Annotated[Seconds, Meta(description="from accept to connection.open")] = 10
    heartbeat_s: Annotated[int, Meta(ge=0, le=65_535, description="proposed to clients")] = 60
    frame_max_bytes: Annotated[int, Meta(ge=4096, description="proposed to clients")] = 131_072
    channel_max: Annotated[int, Meta(ge=1, le=65_535, description="channels a connection")] = 2047
    max_message_size_bytes: Annotated[
        int, Meta(ge=0, le=536_870_912, description="larger messages are refused at their header")
    ] = 16_777_216
    max_transaction_bytes: Annotated[
        int, Meta(ge=0, description="memory of one transaction (tx); 0: no limit")
    ] = 268_435_456
    product: Annotated[str, Meta(description="told to clients, which choose behaviour by it")] = (
        "RabbitMQ"
    )
    version: Annotated[str, Meta(description="told to clients, likewise")] = "4.2.0"
    mechanisms: Annotated[
        tuple[Literal["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL", "RABBIT-CR-DEMO"], ...],
        Meta(description="SASL; EXTERNAL needs a client's certificate"),
    ] = ("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")
    passwords_over_tls_only: Annotated[bool, Meta(description="no PLAIN, AMQPLAIN on TCP")] = False
    proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses and networks of load balancers that announce clients "
            "(PROXY protocol 1 and 2)"
        ),
    ] = ()
    anonymous_user: Annotated[str, Meta(description="who ANONYMOUS is; empty: nobody")] = "guest"


class Tls(Struct, frozen=True):
    """Certificates of the TLS listeners."""

    certificate: Annotated[str, Meta(description="PEM file: certificate and its chain")] = ""
    key: Annotated[str, Meta(description="PEM file: private key")] = ""
    sni: Annotated[
        dict[str, str],
        Meta(description="other host names ('*.example.com', too): PEM files, key included"),
    ] = {}
    ca: Annotated[str, Meta(description="PEM file: who may sign client certificates")] = ""
    crl: Annotated[
        str,
        Meta(description="PEM file: what 'ca' has revoked; there must be a list of each signer"),
    ] = ""
    verify: Annotated[
        Literal["none", "optional", "required"],
        Meta(description="client certificates; needs 'ca' unless none"),
    ] = "optional"
    login_from: Annotated[
        Literal["distinguished_name", "common_name", "subject_alternative_name"],
        Meta(description="the part of a client's certificate that EXTERNAL takes for the user"),
    ] = "distinguished_name"
    minimum_version: Annotated[Literal["1.2", "1.3"], Meta(description="oldest TLS")] = "1.2"
    handshake_timeout_s: Annotated[Seconds, Meta(description="a slower peer is cut off")] = 5
    max_handshakes: Annotated[
        int, Meta(ge=1, description="unfinished handshakes; each costs 300 KiB")
    ] = 200


class Store(Struct, frozen=True):
    """Where messages and definitions are kept."""

    path: Annotated[str, Meta(description="the data directory")] = "./amqpd-data"
    sync: Annotated[
        bool, Meta(description="false: a power cut loses confirmed messages; for tests only")
    ] = True
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="disk space kept back, so that consuming goes on when the disk is full",
        ),
    ] = 67_108_864
    accept_older: Annotated[
        bool,
        Meta(
            description="true, for one start by hand: take a store that lacks what was in it before"
        ),
    ] = False
    rescue: Annotated[
        bool,
        Meta(description="true: start without what cannot be read of a damaged store; it is kept"),
    ] = False


class Definitions(Struct, frozen=True):
    """Definitions that are added to those that there are, at every start."""

    path: Annotated[
        str, Meta(description="RabbitMQ's definitions.json, or a folder of such files; empty: none")
    ] = ""
    skip_if_unchanged: Annotated[
        bool, Meta(description="not again what was read at the last start")
    ] = False


class Log(Struct, frozen=True):
    """Log lines on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least to be logged")
    ] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="one line per event")] = "text"


class Auth(Struct, frozen=True):
    """Users and logins. The default_ settings apply only to an empty data directory."""

    default_user: Annotated[str, Meta(description="the first user")] = "guest"
    default_password: Annotated[str, Meta(description="its password")] = "guest"  # noqa: S105
    default_tags: Annotated[tuple[str, ...], Meta(description="its tags")] = ("administrator",)
    default_vhost: Annotated[str, Meta(description="the first vhost, where it has rights")] = "/"
    default_configure: Annotated[str, Meta(description="what it may configure there")] = ".*"
    default_write: Annotated[str, Meta(description="what it may write to")] = ".*"
    default_read: Annotated[str, Meta(description="what it may read from")] = ".*"
    loopback_users: Annotated[
        tuple[str, ...], Meta(description="may log in from this machine only")
    ] = ("guest",)
    backends: Annotated[
        tuple[str, ...],
        Meta(
            description="asked in this order: internal, oauth2, http, ldap; 'ldap/internal': "
            "passwords by the first, rights by the second, or by several: 'ldap/internal+http'"
        ),
    ] = ("internal",)
    cache_ttl_s: Annotated[
        float, Meta(ge=0, description="how long answers of other backends than internal count")
    ] = 15
    failure_delay_s: Annotated[
        float, Meta(ge=0, description="first answer to a wrong password; doubles up to 30 s")
    ] = 1
    password_min_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="shorter new passwords are refused; 0: any "
            "(credential_validator.min_length)",
        ),
    ] = 0
    password_pattern: Annotated[
        str,
        Meta(
            description="a regular expression that new passwords must match; empty: any "
            "(credential_validator.regexp)"
        ),
    ] = ""


class Queues(Struct, frozen=True):
    """Queues, where neither their arguments nor a policy say otherwise."""

    delivery_count_header: Annotated[
        Literal["auto", "always"],
        Meta(
            description="x-acquired-count and x-delivery-count of messages that came back; auto: "
            "on quorum queues and where returns are limited or delayed"
        ),
    ] = "auto"
    consumer_timeout_ms: Annotated[
        int,
        Meta(
            ge=-1,
            description="how long a client may keep a message without acknowledging it; "
            "0: for ever, -1: 30 minutes on quorum queues and for ever on others",
        ),
    ] = -1
    default_type: Annotated[
        Literal["classic", "quorum", "stream"],
        Meta(
            description="of queues declared without a type, where their vhost has no default and "
            "they may be of this one (RabbitMQ: default_queue_type)"
        ),
    ] = "classic"
    transient_nonexclusive: Annotated[
        bool,
        Meta(
            description="queues that are neither durable nor exclusive; false: refused with 541 "
            "(deprecated_features.permit.transient_nonexcl_queues)"
        ),
    ] = True
    relaxed_redeclaration: Annotated[
        bool,
        Meta(
            description="who declares a quorum queue as the classic one that it was gets it, if "
            "expiry, dead letters, length and single active consumer agree "
            "(quorum_queue.property_equivalence.relaxed_checks_on_redeclaration)"
        ),
    ] = False
    max_queues: Annotated[
        int, Meta(ge=0, description="in all vhosts together; 0: no limit (cluster_queue_limit)")
    ] = 0
    max_exchanges: Annotated[
        int, Meta(ge=0, description="in all vhosts together; 0: no limit (cluster_exchange_limit)")
    ] = 0
    max_topic_wildcards: Annotated[
        int,
        Meta(
            ge=-1,
            description="words `#` in one binding key of a topic exchange; -1: no limit "
            "(RabbitMQ 4.3 allows 2)",
        ),
    ] = -1
    consumer_timeout_mode: Annotated[
        Literal["cancel", "close_channel"],
        Meta(
            description="what it loses then: its consumer, or its channel; always the channel "
            "where it has no consumer to lose or does not understand it"
        ),
    ] = "cancel"


class DeadLetter(Struct, frozen=True):
    """Dead letters."""

    trust_client_x_death: Annotated[
        bool,
        Meta(
            description="an x-death header of a message that a client publishes is counted on, "
            "as by RabbitMQ before 4; false: it is overwritten when the message dies, as by "
            "RabbitMQ 4, and so is that of a dead letter from before this setting"
        ),
    ] = True


class Audit(Struct, frozen=True):
    """The audit log, `audit.log` in the data directory."""

    enabled: Annotated[bool, Meta(description="who did what from where")] = True
    max_file_bytes: Annotated[
        int, Meta(ge=0, description="a larger file is put aside; 0: never")
    ] = 100_000_000
    files: Annotated[int, Meta(ge=2, le=1000, description="that are kept")] = 10


class Events(Struct, frozen=True):
    """What the broker tells of itself, as messages."""

    vhost: Annotated[
        str,
        Meta(
            description="where amq.rabbitmq.event and amq.rabbitmq.log are; empty: nowhere "
            "(event_exchange.vhost)"
        ),
    ] = "/"


class Resources(Struct, frozen=True):
    """When publishers are held back."""

    memory_watermark: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of the memory this process may use "
            "(RabbitMQ: vm_memory_high_watermark.relative)",
        ),
    ] = 0.6
    memory_watermark_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="the same in bytes, instead of the share; 0: the share counts "
            "(vm_memory_high_watermark.absolute)",
        ),
    ] = 0
    memory_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="memory this process may use; 0: what the control group or the machine "
            "has (total_memory_available_override_value)",
        ),
    ] = 0
    disk_free_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="free space that is kept on the data directory's disk "
            "(disk_free_limit.absolute)",
        ),
    ] = 50_000_000
    disk_free_share: Annotated[
        float,
        Meta(
            ge=0,
            description="the same as a multiple of the memory, instead of bytes; 0: bytes count "
            "(disk_free_limit.relative)",
        ),
    ] = 0
    check_interval_s: Annotated[Seconds, Meta(description="time between two looks")] = 1


class Settings(Struct, frozen=True):
    """Everything that can be set, one field per section."""

    node: Node = Node()
    amqp: Amqp = Amqp()
    tls: Tls = Tls()
    http: Http = Http()
    metrics: Metrics = Metrics()
    store: Store = Store()
    definitions: Definitions = Definitions()
    log: Log = Log()
    auth: Auth = Auth()
    auth_oauth2: OAuth2 = OAuth2()
    auth_http: HttpAuth = HttpAuth()
    auth_ldap: Ldap = Ldap()
    queues: Queues = Queues()
    dead_letter: DeadLetter = DeadLetter()
    audit: Audit = Audit()
    events: Events = Events()
    resources: Resources = Resources()
