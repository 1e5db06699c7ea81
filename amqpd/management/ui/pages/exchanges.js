// Exchanges: all of them, and one with what is bound to it.
import { html } from "../lib.js";
import { get, post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Hints, Section, Select, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { count, plural, rate, value } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { can } from "../me.js";
import { Bindings } from "./bindings.js";
import { PublishForm } from "./publish.js";
import { Adding, Nothing, VhostChoice, features, parsed, useWithin } from "./shared.js";

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
  return html`<${Adding} what="an exchange">
    <${Form} label="Add exchange" action=${add}>
      <div class="row"><${VhostChoice} right="configure" /><${Field} label="Name" name="name" required />
      <${Select} label="Type" name="type" options=${types} />
      <${Select} label="Durability" name="durable" options=${["durable", "transient"]} />
      <${Select} label="Auto-delete" name="auto" options=${["no", "yes"]} />
      <${Select} label="Internal" name="internal" options=${["no", "yes"]} /></div>
      <${Field} label="Arguments (JSON)" name="arguments" placeholder='{"alternate-exchange": "other"}' />
      <${Hints} field="arguments" known=${[["alternate-exchange", "", "where messages go that no binding wants"]]} />
    <//><//>`;
}

export function Exchanges() {
  const paged = usePaged("/exchanges", { own: true, inVhost: (vhost) => `/exchanges/${vhost}` });
  const [found, error] = useLive(paged.path, 2, true);
  const [columns, choice] = useColumns("exchange", COLUMNS);
  return html`<${Section} title="Exchanges">
    <${Finder} paged=${paged} found=${found} noun="exchange" columns=${columns} choice=${choice} />
    <${Add} /><${Trouble} error=${error} />
    ${found && (found.items.length
      ? html`<${Table} label="Exchanges" columns=${columns} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order}
          href=${(row) => link("exchanges", row.vhost, row.name || "amq.default")} />`
      : html`<${Nothing}>None of that name.<//>`)}
  <//>`;
}

export function OneExchange({ vhost, name }) {
  const path = `/exchanges/${segment(vhost)}/${segment(name)}`;
  const [range, choose] = useRange();
  const [row, error] = useLive(`${path}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 2, true);
  const [bindings] = useLive(row ? `${path}/bindings/source` : "", 2);
  // A binding is written into what it leads to, and read from where it comes.
  const writes = useWithin(vhost, "write");
  const reads = useWithin(vhost, "read");
  const [inbound] = useLive(row ? `${path}/bindings/destination` : "", 5);
  if (!row) return error ? html`<${Section} title=${name}><${Trouble} error=${error} /><//>` : null;
  const isDefault = row.name === "";
  const stats = row.message_stats;
  const bind = async (form) => {
    await get(`/${form.kind}s/${segment(vhost)}/${segment(form.destination)}`);
    await post(`/bindings/${segment(vhost)}/e/${segment(name)}/${form.kind[0]}/${segment(form.destination)}`, {
      routing_key: form.key, arguments: parsed(form.arguments, "Arguments"),
    });
    return `Bound to ${form.kind} '${form.destination}'.`;
  };
  return html`<${Section} title=${`Exchange ${shownName(row.name)}`}>
      <${Facts} rows=${[
        ["Vhost", html`<a href=${link("vhosts", row.vhost)}>${row.vhost}</a>`], ["Type", row.type],
        ["Features", features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`)],
        ["Arguments", Object.keys(row.arguments || {}).length ? value(row.arguments) : ""],
        ["Policy", row.policy],
        ["In", `${count(stats?.publish_in ?? 0)}, ${rate(stats?.publish_in_details?.rate ?? 0)}/s`],
        ["Out", `${count(stats?.publish_out ?? 0)}, ${rate(stats?.publish_out_details?.rate ?? 0)}/s`],
      ]} /><//>
    ${stats && html`<${Section} title="Messages" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <${Chart} title="Per second" growing key=${range} lines=${[
    { label: "in", colour: "--in", details: stats.publish_in_details },
    { label: "out", colour: "--out", details: stats.publish_out_details }]} /><//>`}
    ${inbound?.length > 0 && html`<${Section} title="Bindings to here">
      <${Bindings} bindings=${inbound} may=${can(row, "write") && reads} /><//>`}
    <${Section} title="Bindings from here">
      ${isDefault
        ? html`<${Empty}>Every queue is bound to the default exchange by its own name.<//>`
        : html`<${Bindings} bindings=${bindings} may=${can(row, "read") && writes}>Nothing is bound. What is published here
            ${row.arguments?.["alternate-exchange"] ? ` goes to '${row.arguments["alternate-exchange"]}'.` : " goes nowhere."}<//>
          ${can(row, "read") && writes && html`<${Form} label="Bind" action=${bind} kind="inline">
            <div class="row"><${Select} label="To" name="kind" options=${["queue", "exchange"]} />
            <${Field} label="Name" name="destination" required />
            <${Field} label="Routing key" name="key" />
            <${Field} label="Arguments (JSON)" name="arguments" /></div><//>`}`}
    <//>
    <${Section} title="Publish a message">
      <${PublishForm} vhost=${vhost} exchange=${name} /><//>
    ${!isDefault && !name.startsWith("amq.") && can(row, "configure") && html`<${Section} title="Danger zone">
      <${Do} kind="danger" confirm=${[`Delete exchange '${name}' with ${plural((bindings?.length || 0) + (inbound?.length || 0), "binding")}?`,
    "Whoever publishes to it then is refused."]}
        action=${async () => { await remove(path); go("exchanges"); }}>Delete this exchange<//><//>`}`;
}
