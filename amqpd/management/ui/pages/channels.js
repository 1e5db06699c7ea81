// Channels: what each of them does, and how far it is behind.
import { html } from "../lib.js";
import { segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Empty, Facts, Section, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { age, count, rate, time } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { ConsumerTable } from "./consumers.js";
import { RATES, Totals } from "./totals.js";

const mode = (row) => [
  row.confirm && html`<${Badge} title="publisher confirms">confirm<//>`,
  row.transactional && html`<${Badge} title="transactions">tx<//>`,
];

export const channelColumns = (more = []) => [
  { title: "Channel", sort: "name", leads: true, show: (row) => html`<span class="name">${row.connection_details?.user_provided_name || row.name}</span>
      ${row.connection_details?.user_provided_name && html`<small>${row.name}</small>`}` },
  ...more,
  { title: "State", show: (row) => html`<${Badge} kind=${row.state === "running" ? "good" : "warn"}
      title=${row.idle_since && `idle since ${time(Date.parse(row.idle_since))}`}>${row.state}<//>` },
  { title: "Mode", show: mode },
  { title: "Consumers", sort: "consumer_count", kind: "number", show: (row) => count(row.consumer_count) },
  { title: "Prefetch", sort: "prefetch_count", kind: "number",
    show: (row) => (row.prefetch_count || row.global_prefetch_count
      ? count(row.prefetch_count || row.global_prefetch_count) : "no limit") },
  { title: "Unacked", sort: "messages_unacknowledged", kind: "number",
    show: (row) => count(row.messages_unacknowledged) },
  { title: "Oldest unacked", kind: "number", means: "How long the client has had the oldest message that it has not acknowledged",
    show: (row) => age(row.oldest_unacked_since) },
  { title: "Unconfirmed", sort: "messages_unconfirmed", kind: "number",
    show: (row) => count(row.messages_unconfirmed) },
  { title: "In/s", sort: "message_stats.publish_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.publish_details?.rate ?? 0) },
  { title: "Out/s", sort: "message_stats.deliver_get_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0) },
  { title: "Ack/s", sort: "message_stats.ack_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.ack_details?.rate ?? 0) },
];

export function Channels() {
  const paged = usePaged("/channels", { inVhost: (vhost) => `/vhosts/${vhost}/channels` });
  const [found, error] = useLive(paged.path, 2, true);
  const more = [
    { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
    { title: "User", sort: "user", show: (row) => row.user },
  ];
  const [columns, choice] = useColumns("channel", channelColumns(more));
  return html`<${Section} title="Channels">
    <${Finder} paged=${paged} found=${found} noun="channel" columns=${columns} choice=${choice} />
    <${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Channels" columns=${columns} rows=${found.items}
          sort=${paged.sort} reverse=${paged.reverse} onSort=${paged.order}
          href=${(row) => link("channels", row.name)} />`
      : html`<${Empty}>${paged.name ? "None of that name." : "No channels are open. Clients open them within a connection, mostly one for each thread or consumer."}<//>`)}
  <//>`;
}

/** How many messages went where: one line for each exchange or queue. */
const Traffic = ({ title, rows, place }) => rows?.length > 0 && html`<${Section} title=${title}>
  <${Facts} rows=${rows.map((one) => [place(one), Object.entries(one.stats)
    .map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`).join(", ")])} /><//>`;

export function OneChannel({ name }) {
  const [range, choose] = useRange();
  const [row, error] = useLive(`/channels/${segment(name)}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1, true);
  if (!row) return error ? html`<${Section} title=${name}><${Empty}>This channel is closed.<//><//>` : null;
  const of = row.connection_details || {};
  const limit = (n) => (n ? count(n) : "no limit");
  return html`<${Section} title=${`Channel ${row.number} of ${of.user_provided_name || of.name}`}>
      <${Trouble} error=${error} />
      <${Facts} rows=${[
    ["Connection", html`<a href=${link("connections", of.name || "")}>${of.name}</a>`],
    ["Vhost", html`<a href=${link("vhosts", row.vhost)}>${row.vhost}</a>`],
    ["User", row.user && html`<a href=${link("users", row.user)}>${row.user}</a>`], ["State", html`<${Badge} kind=${row.state === "running" ? "good" : "warn"}>${row.state}<//>`],
    ["Mode", row.confirm ? "publisher confirms" : row.transactional ? "transactions" : "plain"],
    ["Prefetch of new consumers", limit(row.prefetch_count)], ["Prefetch of the channel", limit(row.global_prefetch_count)],
    ["Unacked", count(row.messages_unacknowledged)],
    ["Oldest unacked", row.oldest_unacked_since && `for ${age(row.oldest_unacked_since)}`],
    ["Unconfirmed", count(row.messages_unconfirmed)], ["Uncommitted", count(row.messages_uncommitted)],
    ["Uncommitted acks", count(row.acks_uncommitted)],
    ["Idle since", row.idle_since && time(Date.parse(row.idle_since))]]} /><//>
    <${Section} title="Messages" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      ${row.message_stats ? html`<${Chart} title="Per second" lines=${RATES(row.message_stats)} growing key=${range} />`
    : html`<${Empty}>No message went through it yet.<//>`}
      <${Totals} stats=${row.message_stats} /><//>
    <${Section} title="Consumers">${row.consumer_details?.length
    ? html`<${ConsumerTable} consumers=${row.consumer_details} vhost=${row.vhost} queues />`
    : html`<${Empty}>It consumes from no queue.<//>`}<//>
    <${Traffic} title="Published to" rows=${row.publishes} place=${(one) => html`<a
      href=${link("exchanges", one.exchange.vhost, one.exchange.name || "amq.default")}>${one.exchange.name || "(default)"}</a>`} />
    <${Traffic} title="Delivered from" rows=${row.deliveries} place=${(one) => html`<a
      href=${link("queues", one.queue.vhost, one.queue.name)}>${one.queue.name}</a>`} />`;
}
