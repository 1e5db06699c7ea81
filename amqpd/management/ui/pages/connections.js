// Connections: who is there, and one of them closely.
import { html, useContext } from "../lib.js";
import { remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Section, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { bytes, count, time, value } from "../format.js";
import { channelColumns } from "./channels.js";
import { Blocked } from "./shared.js";
import { Me, may } from "../me.js";

const STATES = { running: "good", blocked: "bad", blocking: "warn", flow: "warn", paused: "warn" };
export const State = ({ state }) => html`<${Badge} kind=${STATES[state] || ""}>${state}<//>`;

const clientOf = (row) => {
  const known = row.client_properties || {};
  return [known.product, known.version].filter(Boolean).join(" ");
};

const COLUMNS = [
  {
    title: "Name", sort: "name", leads: true,
    show: (row) => html`<span class="name">${row.user_provided_name || row.name}</span>
      ${row.user_provided_name && html`<small>${row.name}</small>`}`,
  },
  { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
  { title: "User", sort: "user", show: (row) => row.user },
  { title: "State", sort: "state", show: (row) => html`<${State} state=${row.state} />` },
  { title: "TLS", show: (row) => (row.ssl ? "yes" : "no") },
  { title: "Client", show: clientOf },
  { title: "Channels", sort: "channels", kind: "number", show: (row) => count(row.channels) },
  { title: "From client", sort: "recv_oct_details.rate", kind: "number",
    show: (row) => `${bytes(row.recv_oct_details?.rate ?? 0)}/s` },
  { title: "To client", sort: "send_oct_details.rate", kind: "number",
    show: (row) => `${bytes(row.send_oct_details?.rate ?? 0)}/s` },
];

export function Connections() {
  const me = useContext(Me);
  const paged = usePaged("/connections", { inVhost: (vhost) => `/vhosts/${vhost}/connections` });
  const [found, error] = useLive(paged.path, 2, true);
  const [columns, choice] = useColumns("connection", COLUMNS);
  return html`<${Section} title="Connections">
    <${Finder} paged=${paged} found=${found} noun="connection" columns=${columns} choice=${choice} />
    <${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Connections" columns=${columns} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order} href=${(row) => link("connections", row.name)} />`
      : html`<${Empty}>${paged.name ? "None of that name."
        : may(me, "monitoring") ? "Nobody is connected. Clients connect to the AMQP port on the overview."
          : "None of your own is open. Those of others are seen with the tag monitoring."}<//>`)}
  <//>`;
}

export function OneConnection({ name }) {
  const path = `/connections/${segment(name)}`;
  const [row, error] = useLive(path, 1);
  const me = useContext(Me);
  const [channels] = useLive(row ? `${path}/channels` : "", 2);
  if (!row) {
    return error ? html`<${Section} title=${name}><${Empty}>This connection is gone.<//><//>` : null;
  }
  const close = async () => {
    await remove(path, { "X-Reason": "Closed by an operator" });
    go("connections");
  };
  return html`${/^block/.test(row.state) && html`<${Blocked}>What this client publishes waits.<//>`}
    <${Section} title=${row.user_provided_name || row.name}>
      <${Facts} rows=${[
        ["Connection", row.name], ["State", html`<${State} state=${row.state} />`],
        ["Vhost", row.vhost], ["User", row.user], ["Protocol", row.protocol],
        ["Logged in with", row.auth_mechanism], ["Since", time(row.connected_at)],
        ["TLS", row.ssl ? row.ssl_protocol || "yes" : "no"], ["Heartbeat", `${row.timeout} s`],
        ["Largest frame", bytes(row.frame_max)], ["Channels", `${count(row.channels)} of ${count(row.channel_max)}`],
        ["From the client", `${bytes(row.recv_oct)}, ${bytes(row.recv_oct_details?.rate ?? 0)}/s`],
        ["To the client", `${bytes(row.send_oct)}, ${bytes(row.send_oct_details?.rate ?? 0)}/s`],
      ]} />
    <//>
    <${Section} title="Channels">${channels?.length
      ? html`<${Table} label="Channels" columns=${channelColumns()} rows=${channels}
          href=${(one) => link("channels", one.name)} />`
      : html`<${Empty}>No channels are open.<//>`}<//>
    <${Section} title="What the client says of itself">
      <${Facts} rows=${Object.entries(row.client_properties || {})
        .filter(([key]) => key !== "capabilities").map(([key, one]) => [key, value(one)])} />
    <//>
    ${(may(me, "administrator") || row.user === me?.name) && html`<${Section} title="Danger zone">
      <${Do} kind="danger" action=${close}
        confirm=${`Close the connection ${row.name}? The client may connect again at once.`}>
        Close this connection<//><//>`}`;
}

