// Exchanges: all of them, and one with what is bound to it.
import { html } from "../lib.js";
import { get, post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { rate, value } from "../format.js";
import { Bindings } from "./bindings.js";
import { PublishForm } from "./publish.js";
import { VhostChoice, features, parsed } from "./shared.js";

const shownName = (name) => name || "(default)";

const COLUMNS = [
  { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
  { title: "Name", sort: "name", leads: true, show: (row) => html`<span class="name">${shownName(row.name)}</span>` },
  { title: "Type", sort: "type", show: (row) => row.type },
  { title: "Features", show: (row) => features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`) },
  { title: "Policy", sort: "policy", show: (row) => row.policy || "" },
  { title: "In/s", sort: "message_stats.publish_in_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.publish_in_details?.rate ?? 0) },
  { title: "Out/s", sort: "message_stats.publish_out_details.rate", kind: "number",
    show: (row) => rate(row.message_stats?.publish_out_details?.rate ?? 0) },
];

function Add() {
  const [overview] = useLive("/overview", 30);
  const types = (overview?.exchange_types || [{ name: "direct" }]).map((one) => one.name);
  const add = async (form) => {
    await put(`/exchanges/${segment(form.vhost)}/${segment(form.name)}`, {
      type: form.type, durable: form.durable === "durable", auto_delete: form.auto === "yes",
      internal: form.internal === "yes", arguments: parsed(form.arguments, "Arguments"),
    });
    return `Exchange '${form.name}' is there.`;
  };
  return html`<details class="add"><summary>Add an exchange</summary>
    <${Form} label="Add exchange" action=${add}>
      <div class="row"><${VhostChoice} /><${Field} label="Name" name="name" required />
      <${Select} label="Type" name="type" options=${types} />
      <${Select} label="Durability" name="durable" options=${["durable", "transient"]} />
      <${Select} label="Auto-delete" name="auto" options=${["no", "yes"]} />
      <${Select} label="Internal" name="internal" options=${["no", "yes"]} /></div>
      <${Field} label="Arguments (JSON)" name="arguments" placeholder='{"alternate-exchange": "other"}' />
    <//></details>`;
}

export function Exchanges() {
  const paged = usePaged("/exchanges");
  const [found, error] = useLive(paged.path, 2, true);
  const [columns, choice] = useColumns("exchange", COLUMNS);
  return html`<${Section} title="Exchanges">
    <${Finder} paged=${paged} found=${found} noun="exchange" columns=${columns} choice=${choice} />
    <${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Exchanges" columns=${columns} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order}
          href=${(row) => link("exchanges", row.vhost, row.name || "amq.default")} />`
      : html`<${Empty}>None of that name.<//>`)}
    <${Add} />
  <//>`;
}

export function OneExchange({ vhost, name }) {
  const path = `/exchanges/${segment(vhost)}/${segment(name)}`;
  const [row, error] = useLive(path, 2);
  const [bindings] = useLive(row ? `${path}/bindings/source` : "", 2);
  if (!row) return error ? html`<${Section} title=${name}><${Trouble} error=${error} /><//>` : null;
  const isDefault = row.name === "";
  const bind = async (form) => {
    await get(`/${form.kind}s/${segment(vhost)}/${segment(form.destination)}`);
    await post(`/bindings/${segment(vhost)}/e/${segment(name)}/${form.kind[0]}/${segment(form.destination)}`, {
      routing_key: form.key, arguments: parsed(form.arguments, "Arguments"),
    });
    return `Bound to ${form.kind} '${form.destination}'.`;
  };
  return html`<${Section} title=${shownName(row.name)}>
      <${Facts} rows=${[
        ["Vhost", row.vhost], ["Type", row.type],
        ["Features", features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`)],
        ["Arguments", Object.keys(row.arguments || {}).length ? value(row.arguments) : ""],
        ["Policy", row.policy],
        ["In per second", rate(row.message_stats?.publish_in_details?.rate ?? 0)],
        ["Out per second", rate(row.message_stats?.publish_out_details?.rate ?? 0)],
      ]} /><//>
    <${Section} title="Bindings from here">
      ${isDefault
        ? html`<${Empty}>Every queue is bound to the default exchange by its own name.<//>`
        : html`<${Bindings} bindings=${bindings} from=${row.name} type=${row.type} />
          <${Form} label="Bind" action=${bind} kind="inline">
            <div class="row"><${Select} label="To" name="kind" options=${["queue", "exchange"]} />
            <${Field} label="Name" name="destination" required />
            <${Field} label="Routing key" name="key" />
            <${Field} label="Arguments (JSON)" name="arguments" /></div><//>`}
    <//>
    <${Section} title="Publish a message">
      <${PublishForm} vhost=${vhost} exchange=${name} /><//>
    ${!isDefault && !name.startsWith("amq.") && html`<${Section} title="Danger zone">
      <${Do} kind="danger" confirm=${`Delete exchange '${name}' and its bindings?`}
        action=${async () => { await remove(path); go("exchanges"); }}>Delete this exchange<//><//>`}`;
}
