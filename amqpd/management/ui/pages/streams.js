// Streams: what they hold, what they keep, and how far their readers are.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Section, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { bytes, count, rate, value } from "../format.js";
import { Nothing } from "./shared.js";
import { State } from "./connections.js";

const kept = (row) => {
  const all = { ...(row.effective_policy_definition || {}), ...(row.arguments || {}) };
  const age = all["x-max-age"] ?? all["max-age"];
  const size = all["x-max-length-bytes"] ?? all["max-length-bytes"];
  const found = [];
  if (age !== undefined) found.push(html`<${Badge} title="older messages go">${value(age)}<//>`);
  if (size !== undefined) found.push(html`<${Badge} title="older messages go above this size">${bytes(size)}<//>`);
  return found.length ? found : "everything";
};

const COLUMNS = [
  { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
  { title: "Name", sort: "name", leads: true, show: (row) => html`<span class="name">${row.name}</span>` },
  { title: "State", sort: "state", show: (row) => html`<${State} state=${row.state} />` },
  { title: "Messages", sort: "messages", kind: "number", show: (row) => count(row.messages) },
  { title: "Size", sort: "message_bytes", kind: "number", show: (row) => bytes(row.message_bytes) },
  { title: "Keeps", show: kept },
  { title: "Readers", sort: "consumers", kind: "number", show: (row) => count(row.consumers) },
  { title: "In/s", sort: "message_stats.publish_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.publish_details?.rate ?? 0) },
  { title: "Read/s", sort: "message_stats.deliver_get_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0) },
];

export function Streams() {
  const paged = usePaged("/queues", { extra: "&type=stream" });
  const [found, error] = useLive(paged.path, 2, true);
  const [columns, choice] = useColumns("stream", COLUMNS);
  return html`<${Section} title="Streams">
    <${Finder} paged=${paged} found=${found} noun="stream" columns=${columns} choice=${choice} />
    <${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Streams" columns=${columns} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order} href=${(row) => link("queues", row.vhost, row.name)} />`
      : html`<${Nothing}>${paged.name ? "None of that name."
        : html`No streams yet. A queue of type <i>stream</i> is one: add it on <a href=${link("queues")}>Queues</a>.`}<//>`)}
  <//>`;
}
