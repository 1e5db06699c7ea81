"""Calls that define the state and calls that look at it, in the order in which they are made."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

Body: TypeAlias = "object"

#: What stands for a name that every broker gives itself.
NODE: Final = "{node}"


class Call(NamedTuple):
    """One request; `user` has its name as password, except guest's and nobody's."""

    method: str
    path: str
    body: Body = None
    user: str = "guest"
    #: Octets sent instead of a body in JSON.
    raw: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What the call is called in recordings."""
        said = f"{self.method} {self.path}"
        if self.user != "guest":
            said += f" as {self.user or 'nobody'}"
        if self.raw is not None:
            said += f" {self.raw!r}"
        elif self.body is not None and self.method != "GET":
            said += f" {self.body}"
        return said + "".join(f" {name}: {value}" for name, value in self.headers)


def get(*paths: str, user: str = "guest") -> list[Call]:
    return [Call("GET", path, user=user) for path in paths]


def put(path: str, body: Body, user: str = "guest") -> Call:
    return Call("PUT", path, body, user)


def post(path: str, body: Body, user: str = "guest") -> Call:
    return Call("POST", path, body, user)


def delete(*paths: str, user: str = "guest") -> list[Call]:
    return [Call("DELETE", path, user=user) for path in paths]


ALL: Final = {"configure": ".*", "write": ".*", "read": ".*"}
USERS: Final = {
    "admin": "administrator",
    "monitor": "monitoring",
    "maker": "policymaker",
    "manager": "management",
    "plain": "",
}

DEFINE: Final = [
    put("/vhosts/shop", {"description": "a shop", "tags": "one,two"}),
    put("/vhosts/shop", {}),
    put("/vhosts/empty", None),
    *(put(f"/users/{user}", {"password": user, "tags": tags}) for user, tags in USERS.items()),
    put("/users/admin", {"password": "admin", "tags": ["administrator"]}),
    put("/users/hashed", {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"}),
    put("/users/nameless", {"password_hash": "", "tags": "management"}),
    put("/permissions/shop/guest", ALL),
    *(put(f"/permissions/shop/{user}", ALL) for user in USERS),
    put("/permissions/shop/plain", {"configure": "^p-", "write": "", "read": ".*"}),
    put("/topic-permissions/shop/plain", {"exchange": "t", "write": "^a", "read": "^b"}),
    put("/vhost-limits/shop/max-connections", {"value": 100}),
    put("/vhost-limits/shop/max-queues", {"value": 200}),
    put("/user-limits/plain/max-channels", {"value": 10}),
    put("/global-parameters/colour", {"value": {"red": 1}}),
    put("/global-parameters/colour", {"name": "colour", "value": {"red": 2}}),
    put(
        "/policies/shop/limited",
        {
            "pattern": "^limited",
            "definition": {"max-length": 10, "message-ttl": 3600000},
            "priority": 5,
            "apply-to": "queues",
        },
    ),
    put("/policies/shop/spare", {"pattern": "^with", "definition": {"alternate-exchange": "f"}}),
    put(
        "/operator-policies/shop/cap",
        {"pattern": "^limited", "definition": {"max-length": 5}, "apply-to": "queues"},
    ),
    put("/exchanges/shop/d", {"type": "direct", "durable": True}),
    put("/exchanges/shop/d", {"type": "direct", "durable": True}),
    put("/exchanges/shop/f", {"type": "fanout", "durable": False}),
    put("/exchanges/shop/t", {"type": "topic"}),
    put("/exchanges/shop/h", {"type": "headers", "arguments": {"alternate-exchange": "f"}}),
    put("/exchanges/shop/inner", {"type": "direct", "internal": True, "auto_delete": True}),
    put("/exchanges/shop/with-policy", {"type": "direct"}),
    put("/exchanges/shop/hash", {"type": "x-consistent-hash"}),
    put("/queues/shop/classic", {"durable": True}),
    put("/queues/shop/classic", {"durable": True}),
    put("/queues/shop/transient", {"durable": False}),
    put("/queues/shop/fleeting", {"auto_delete": True, "durable": False}),
    put("/queues/shop/limited", {"durable": True, "arguments": {"x-overflow": "reject-publish"}}),
    put("/queues/shop/levels", {"durable": True, "arguments": {"x-max-priority": 3}}),
    put(
        "/queues/shop/dying",
        {
            "durable": True,
            "arguments": {"x-dead-letter-exchange": "d", "x-expires": 3600000},
        },
    ),
    put("/queues/shop/single", {"arguments": {"x-single-active-consumer": True}}),
    put("/queues/shop/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}}),
    put("/queues/shop/stream", {"durable": True, "arguments": {"x-queue-type": "stream"}}),
    put("/queues/shop/a%2Fb", {}),
    post("/bindings/shop/e/d/q/classic", {"routing_key": "k"}),
    post("/bindings/shop/e/d/q/classic", {"routing_key": ""}),
    post("/bindings/shop/e/h/q/classic", {"arguments": {"x-match": "all", "a": 1}}),
    post("/bindings/shop/e/h/q/classic", {"routing_key": "k~", "arguments": {"b": "x"}}),
    post("/bindings/shop/e/t/e/f", {"routing_key": "a.#"}),
    post("/bindings/shop/e/f/q/transient", {}),
]

_QUEUES: Final = (
    "classic", "transient", "fleeting", "limited", "levels", "dying", "single", "quorum",
    "stream", "exclusive", "a%2Fb",
)  # fmt: skip
_EXCHANGES: Final = ("d", "f", "t", "h", "inner", "with-policy", "hash", "amq.default", "amq.topic")

LOOK: Final = [
    *get(
        "/overview",
        "/overview?columns=queue_totals,object_totals.queues",
        "/whoami",
        "/auth",
        "/extensions",
        "/cluster-name",
        "/nodes",
        f"/nodes/{NODE}",
        f"/nodes/{NODE}/memory",
        f"/nodes/{NODE}/memory/relative",
        "/nodes/nowhere",
        "/definitions",
        "/all-configuration",
        "/definitions/shop",
        "/definitions/nothing",
        "/connections",
        "/vhosts/shop/connections",
        "/vhosts/nothing/connections",
        "/connections/{consuming}",
        "/connections/nothing",
        "/connections/username/guest",
        "/connections/username/nobody",
        "/connections/{consuming}/channels",
        "/connections/nothing/channels",
        "/channels",
        "/vhosts/shop/channels",
        "/vhosts/nothing/channels",
        "/channels/{consuming} (1)",
        "/channels/{consuming} (2)",
        "/channels/{consuming} (3)",
        "/channels/{publishing} (1)",
        "/channels/{publishing} (2)",
        "/channels/nothing",
        "/consumers",
        "/consumers/shop",
        "/consumers/nothing",
        "/exchanges",
        "/exchanges/shop",
        "/exchanges/nothing",
        "/exchanges/shop/nothing",
        "/queues",
        "/queues/shop",
        "/queues/nothing",
        "/queues/shop/nothing",
        "/bindings",
        "/bindings/shop",
        "/bindings/nothing",
        "/bindings/shop/e/d/q/classic",
        "/bindings/shop/e/d/q/nothing",
        "/bindings/shop/e/nothing/q/classic",
        "/bindings/shop/e/t/e/f",
        "/bindings/shop/e/d/q/classic/k",
        "/bindings/shop/e/d/q/classic/~",
        "/bindings/shop/e/d/q/classic/nothing",
        "/bindings/shop/e/t/e/f/a.%23",
        "/bindings/shop/e//q/classic",
        "/bindings/shop/e/d/x/classic",
        "/vhosts",
        "/vhosts/shop",
        "/vhosts/nothing",
        "/vhosts/shop/permissions",
        "/vhosts/nothing/permissions",
        "/vhosts/shop/topic-permissions",
        "/users",
        "/users/",
        "/users/admin",
        "/users/hashed",
        "/users/nameless",
        "/users/nothing",
        "/users/without-permissions",
        "/users/plain/permissions",
        "/users/nothing/permissions",
        "/users/plain/topic-permissions",
        "/user-limits",
        "/user-limits/plain",
        "/user-limits/nothing",
        "/permissions",
        "/permissions/shop/plain",
        "/permissions/shop/nothing",
        "/permissions/nothing/plain",
        "/topic-permissions",
        "/topic-permissions/shop/plain",
        "/topic-permissions/shop/admin",
        "/parameters",
        "/parameters/policy",
        "/parameters/nothing",
        "/parameters/policy/shop",
        "/parameters/policy/nothing",
        "/parameters/policy/shop/nothing",
        "/parameters/vhost-limits/shop/limits",
        "/global-parameters",
        "/global-parameters/colour",
        "/global-parameters/nothing",
        "/policies",
        "/policies/shop",
        "/policies/nothing",
        "/policies/shop/limited",
        "/policies/shop/nothing",
        "/operator-policies",
        "/operator-policies/shop",
        "/operator-policies/shop/cap",
        "/operator-policies/shop/nothing",
        "/vhost-limits",
        "/vhost-limits/shop",
        "/vhost-limits/empty",
        "/vhost-limits/nothing",
        "/health/checks/alarms",
        "/health/checks/local-alarms",
        "/health/checks/virtual-hosts",
        "/health/checks/node-is-mirror-sync-critical",
        "/health/checks/node-is-quorum-critical",
        "/health/checks/port-listener/{amqp}",
        "/health/checks/port-listener/1",
        "/health/checks/port-listener/x",
        "/health/checks/protocol-listener/amqp",
        "/health/checks/protocol-listener/stomp",
        "/health/checks/protocol-listener/amqp091",
        "/health/checks/protocol-listener/http",
        "/health/checks/certificate-expiration/1/months",
        "/health/checks/certificate-expiration/1/moons",
        "/health/checks/certificate-expiration/x/days",
        "/healthchecks/node",
        f"/healthchecks/node/{NODE}",
        "/federation-links",
        "/federation-links/shop",
        f"/auth/attempts/{NODE}",
        f"/auth/attempts/{NODE}/source",
        "/auth/hash_password/secret",
        "/feature-flags",
        "/stream/connections",
        "/stream/connections/shop",
        "/stream/publishers",
        "/stream/consumers",
        "/stream/consumers/shop",
        "/nothing",
        "/queues/shop/classic/nothing",
    ),
    *get(*(f"/queues/shop/{queue}" for queue in _QUEUES)),
    *get(*(f"/exchanges/shop/{exchange}" for exchange in _EXCHANGES)),
    *get(
        *(
            f"/exchanges/shop/{exchange}/bindings/{end}"
            for exchange in ("d", "f", "amq.default")
            for end in ("source", "destination")
        ),
        "/exchanges/shop/nothing/bindings/source",
        "/queues/shop/classic/bindings",
        "/queues/shop/nothing/bindings",
        # How lists are asked for.
        "/queues?columns=name,messages_details.rate,arguments.x-max-priority",
        "/queues/shop?page=1&page_size=3&columns=name,vhost",
        "/queues/shop?page=2&page_size=3&sort=name&columns=name,vhost",
        "/queues/shop?page=2&page_size=3&sort=name&sort_reverse=true&columns=name,vhost",
        "/queues/shop?page=9&page_size=3",
        "/queues/shop?page=0",
        "/queues/shop?page=x",
        "/queues/shop?page=1&page_size=501",
        "/queues/shop?page=1&page_size=x",
        "/queues/shop?page=1&page_size=0",
        "/queues/shop?page=-1",
        "/queues/shop?page=1&name=cl&columns=name",
        "/queues/shop?page=1&name=^c.*c$&use_regex=true&columns=name",
        "/queues/shop?page=1&name=(&use_regex=true",
        "/queues/shop?name=cl&columns=name,vhost",
        "/queues/shop?page=1&name=nothing",
        "/queues/shop?sort=nothing&columns=name,vhost",
        "/queues/shop?sort=message_stats.publish&columns=name",
        "/queues/shop?disable_stats=true&enable_queue_totals=true",
        "/queues/shop?disable_stats=true",
        "/queues/shop/classic?lengths_age=60&lengths_incr=5",
        "/queues/shop/classic?msg_rates_age=60&msg_rates_incr=5",
        "/queues/shop/classic?lengths_age=x&lengths_incr=5",
        "/queues/shop/classic?lengths_age=60",
        "/overview?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5",
        f"/nodes/{NODE}?node_stats_age=60&node_stats_incr=5",
        "/channels?page=1&page_size=1",
        "/connections?page=1&page_size=1",
        "/exchanges?page=1&page_size=2",
        "/vhosts?page=1&page_size=1",
        "/users?page=1&page_size=1",
        "/bindings?page=1&page_size=2",
        "/consumers?page=1&page_size=1",
        "/channels?columns=name,number",
        "/connections?columns=name,client_properties.product",
        "/exchanges?sort=name&columns=name,vhost",
        "/vhosts?columns=name",
    ),
    # Who may look at what.
    *(
        Call("GET", path, user=user)
        for user in ("monitor", "maker", "manager", "plain", "")
        for path in (
            "/overview",
            "/whoami",
            "/nodes",
            "/connections?columns=name,vhost",
            "/queues?columns=name,vhost",
            "/exchanges?columns=name,vhost",
            "/users",
            "/vhosts",
            "/policies",
            "/permissions",
            "/parameters",
            "/definitions",
            "/definitions/shop",
            "/queues/empty",
            "/queues/shop/classic",
            "/vhosts/empty",
            "/global-parameters",
            "/vhost-limits",
            "/user-limits",
            "/operator-policies",
            "/consumers",
            "/cluster-name",
            "/extensions",
            "/feature-flags",
            "/auth",
            f"/auth/attempts/{NODE}",
            "/users/guest",
            "/permissions/shop/guest",
        )
    ),
    Call("GET", "/overview", user="stranger"),
    Call("GET", "/overview", user="", headers=(("Authorization", "Basic !"),)),
    Call("GET", "/overview", user="", headers=(("Authorization", "Bearer x"),)),
    Call("HEAD", "/overview"),
    Call("HEAD", "/queues/shop/classic"),
    Call("HEAD", "/queues/shop/nothing"),
    Call("OPTIONS", "/queues/shop/classic"),
    Call("OPTIONS", "/overview"),
]
