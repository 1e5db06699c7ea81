// Queues and streams: all of them, a page at a time.
import { html } from "../lib.js";
import { put, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Empty, Field, Finder, Form, Section, Select, Table, Trouble, usePaged } from "../widgets.js";
import { count, rate } from "../format.js";
import { VhostChoice, features, parsed } from "./shared.js";
import { State } from "./connections.js";

const COLUMNS = [
  { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
  { title: "Name", sort: "name", show: (row) => html`<span class="name">${row.name}</span>` },
  { title: "Type", sort: "type", show: (row) => row.type },
  { title: "Features", show: (row) => [
    ...features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`),
    row.policy && html`<${Badge} kind="policy" title="policy">${row.policy}<//>`,
    row.operator_policy && html`<${Badge} kind="policy" title="operator policy">${row.operator_policy}<//>`,
  ] },
  { title: "State", sort: "state", show: (row) => html`<${State} state=${row.state} />` },
  { title: "Ready", sort: "messages_ready", kind: "number", show: (row) => count(row.messages_ready) },
  { title: "Unacked", sort: "messages_unacknowledged", kind: "number",
    show: (row) => count(row.messages_unacknowledged) },
  { title: "Consumers", sort: "consumers", kind: "number", show: (row) => count(row.consumers) },
  { title: "In/s", sort: "message_stats.publish_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.publish_details?.rate ?? 0) },
  { title: "Out/s", sort: "message_stats.deliver_get_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0) },
  { title: "Ack/s", sort: "message_stats.ack_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.ack_details?.rate ?? 0) },
];

function Add() {
  const add = async (form) => {
    const queue = {
      durable: form.durable === "durable", auto_delete: form.auto === "yes",
      arguments: { "x-queue-type": form.type, ...parsed(form.arguments, "Arguments") },
    };
    await put(`/queues/${segment(form.vhost)}/${segment(form.name)}`, queue);
    return `Queue '${form.name}' is there.`;
  };
  return html`<details class="add"><summary>Add a queue</summary>
    <${Form} label="Add queue" action=${add}>
      <div class="row"><${VhostChoice} />
      <${Field} label="Name" name="name" required />
      <${Select} label="Type" name="type" options=${["classic", "quorum", "stream"]} />
      <${Select} label="Durability" name="durable" options=${["durable", "transient"]} />
      <${Select} label="Auto-delete" name="auto" options=${["no", "yes"]} /></div>
      <${Field} label="Arguments (JSON)" name="arguments"
        placeholder='{"x-message-ttl": 60000, "x-dead-letter-exchange": "dead"}' />
    <//></details>`;
}

export function Queues() {
  const paged = usePaged("/queues");
  const [found, error] = useLive(paged.path, 2);
  return html`<${Section} title="Queues and streams">
    <${Finder} paged=${paged} found=${found} noun="queue" />
    <${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Queues" columns=${COLUMNS} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order}
          href=${(row) => link("queues", row.vhost, row.name)} />`
      : html`<${Empty}>${paged.name ? "None of that name."
        : html`No queues yet. <code>amqpd publish --queue orders hello</code> makes one.`}<//>`)}
    <${Add} />
  <//>`;
}
