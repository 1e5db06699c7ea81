// Channels: what each of them does, and how far it is behind.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Empty, Section, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { age, count, rate } from "../format.js";

const mode = (row) => [
  row.confirm && html`<${Badge} title="publisher confirms">confirm<//>`,
  row.transactional && html`<${Badge} title="transactions">tx<//>`,
];

export const channelColumns = (more = []) => [
  { title: "Channel", sort: "name", leads: true, show: (row) => html`<span class="name">${row.connection_details?.user_provided_name || row.name}</span>
      ${row.connection_details?.user_provided_name && html`<small>${row.name}</small>`}` },
  ...more,
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
  const paged = usePaged("/channels");
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
          href=${(row) => link("connections", row.connection_details?.name || "")} />`
      : html`<${Empty}>${paged.name ? "None of that name." : "No channels are open."}<//>`)}
  <//>`;
}
