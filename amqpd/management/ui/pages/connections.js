// Connections: who is there, and one of them closely.
import { html, useContext } from "../lib.js";
import { remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Empty, Facts, Field, Form, Section, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { bytes, count, plural, time, value } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
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
  { title: "Protocol", show: (row) => html`<span class="moment">${row.protocol}</span>` },
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
  const [range, choose] = useRange();
  const [row, error] = useLive(`${path}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1, true);
  const me = useContext(Me);
  const [channels] = useLive(row ? `${path}/channels` : "", 2);
  if (!row) {
    return error ? html`<${Section} title=${name}><${Empty}>This connection is gone.<//><//>` : null;
  }
  const close = async (form) => {
    // A header has no characters beyond Latin-1.
    await remove(path, { "X-Reason": form.reason.replace(/[^\x20-\xff]/g, "?") || "Closed by an operator" });
    go("connections");
  };
  return html`${/^block/.test(row.state) && html`<${Blocked}>What this client publishes waits.<//>`}
    <${Section} title=${row.user_provided_name || row.name}>
      <${Facts} rows=${[
        ["Connection", row.name], ["State", html`<${State} state=${row.state} />`],
        ["Vhost", html`<a href=${link("vhosts", row.vhost)}>${row.vhost}</a>`],
    ["User", row.user && html`<a href=${link("users", row.user)}>${row.user}</a>`], ["Protocol", row.protocol],
        ["Logged in with", row.auth_mechanism], ["Since", time(row.connected_at)],
        ["TLS", row.ssl ? [row.ssl_protocol, row.ssl_cipher].filter(Boolean).join(", ") || "yes" : "no"],
        ["Certificate of", row.peer_cert_subject], ["Certificate by", row.peer_cert_issuer], ["Certificate valid", row.peer_cert_validity], ["Heartbeat", `${row.timeout} s`],
        ["Largest frame", bytes(row.frame_max)], ["Channels", `${count(row.channels)} of ${count(row.channel_max)}`],
        ["From the client", `${bytes(row.recv_oct)}, ${bytes(row.recv_oct_details?.rate ?? 0)}/s`],
        ["To the client", `${bytes(row.send_oct)}, ${bytes(row.send_oct_details?.rate ?? 0)}/s`],
      ]} />
    <//>
    <${Section} title="Octets" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <${Chart} title="Per second" growing key=${range} show=${(n) => `${bytes(n)}/s`} tick=${bytes} lines=${[
    { label: "from the client", colour: "--in", details: row.recv_oct_details },
    { label: "to the client", colour: "--out", details: row.send_oct_details }]} /><//>
    <${Section} title="Channels">${channels?.length
      ? html`<${Table} label="Channels" columns=${channelColumns()} rows=${channels}
          href=${(one) => link("channels", one.name)} />`
      : html`<${Empty}>No channels are open.<//>`}<//>
    <${Section} title="What the client says of itself">
      <${Facts} rows=${Object.entries(row.client_properties || {})
        .filter(([key]) => key !== "capabilities").map(([key, one]) => [key, value(one)])} />
    <//>
    ${(may(me, "administrator") || row.user === me?.name) && html`<${Section} title="Danger zone">
      <${Form} label="Close this connection" danger action=${close}
        confirm=${[`Close the connection '${row.user_provided_name || row.name}'?`,
      `It is of user '${row.user}', with ${plural(row.channels, "channel")}; what was not acknowledged returns to its queues. The client may connect again at once.`]}>
        <${Field} label="Reason, which the client is told" name="reason" placeholder="Closed by an operator" /><//><//>`}`;
}

