// One node: what it needs and what there is of it, where it listens, what it was started with.
import { html, useState } from "../lib.js";
import { segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Empty, Facts, Section, Table, Trouble } from "../widgets.js";
import { Search } from "../lists.js";
import { useMay } from "../me.js";
import { bytes, count, duration, plural, rate, time, value } from "../format.js";
import { Meter } from "../meter.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";

/** How full everything is that can be full. */
export const Gauges = ({ node }) => html`<div class="gauges">
  <${Meter} label="Memory" part=${node.mem_used / node.mem_limit} bad=${node.mem_alarm}
    text=${`${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`} />
  <${Meter} label="Files" part=${node.fd_used / node.fd_total} text=${`${count(node.fd_used)} of ${count(node.fd_total)}`} />
  <${Meter} label="Sockets" part=${node.sockets_used / node.sockets_total}
    text=${`${count(node.sockets_used)} of ${count(node.sockets_total)}`} />
  <${Meter} label="Disk free" part=${node.disk_free_limit / node.disk_free} bad=${node.disk_free_alarm}
    text=${`${bytes(node.disk_free)}, alarm below ${bytes(node.disk_free_limit)}`} /></div>`;

/** Memory and disk over time; whoever wants the rest goes to the node's own page. */
export const Resources = ({ node, range }) => html`
  <${Chart} title="Memory" show=${bytes} tick=${bytes} key=${`m${range}`}
    lines=${[{ label: "resident", colour: "--in", details: node.mem_used_details }]} />
  <${Chart} title="Disk" show=${bytes} tick=${bytes} key=${`f${range}`}
    lines=${[{ label: "free", colour: "--out", details: node.disk_free_details }]} />`;

export const nodeFacts = (node) => [
  ["Process", node.os_pid], ["Up", duration(node.uptime)], ["Processors", node.processors],
  ["Syncs to disk", `${rate(node.io_sync_count_details?.rate ?? 0)}/s`],
  ["Write-ahead log", bytes(node.store_wal_bytes)], ["It cannot be begun anew for", (node.store_held_by || []).join(", ")],
  ["Messages set aside, damaged", node.messages_quarantined ? count(node.messages_quarantined) : ""],
  ["Data", node.db_dir], ["Settings", (node.config_files || []).join(", ") || "defaults, environment and options: no file"],
  ["Log", (node.log_files || []).join(", ")],
];

export const Ports = ({ listeners }) => html`<${Table} label="Ports" rows=${listeners} columns=${[
  { title: "Protocol", show: (row) => row.protocol }, { title: "Address", show: (row) => row.ip_address },
  { title: "Port", kind: "number", show: (row) => row.port },
]} />`;

/** What is served over HTTP, and where; an address to press if this browser can be there. */
const Contexts = ({ contexts }) => html`<${Table} label="Web contexts" rows=${contexts} columns=${[
  { title: "What", show: (row) => row.description }, { title: "Address", show: (row) => row.ip },
  { title: "Port", kind: "number", show: (row) => row.port }, { title: "Path", show: (row) => html`<code>${row.path}</code>` },
  { title: "TLS", show: (row) => (/https/.test(row.protocol) ? "yes" : "no") },
]} />`;

const KINDS = {
  binary: "Bodies of messages that are not on disk yet", connection_writers: "What waits for clients that read slowly",
  metadata_store: "SQLite", code: "The program's files", other_system: "Everything else: queues, connections, the program's data",
};

function Memory({ name }) {
  const [found] = useLive(`/nodes/${segment(name)}/memory`, 5);
  if (!found) return null;
  const { total, strategy, ...kinds } = found.memory;
  return html`<${Section} title="Memory"><div class="gauges">${Object.entries(kinds).filter(([kind, octets]) => KINDS[kind] || octets)
    .map(([kind, octets]) => html`<${Meter} label=${KINDS[kind] || kind} part=${octets / total.rss} calm text=${bytes(octets)} />`)}</div>
    <${Facts} rows=${[["In all", bytes(total.rss)], ["Measured as", strategy === "rss" ? "resident memory of the process" : strategy]]} /><//>`;
}

const Named = ({ title, rows }) => html`<details class="add"><summary>${title}</summary>
  <${Facts} rows=${rows.map((one) => [one.name, one.description || one.version || "there"])} /></details>`;

/** What is in force, by key; secrets are not among it. */
function Settings() {
  const [all, error] = useLive("/config/effective", 15);
  const [text, search] = useState("");
  const rows = Object.entries(all || {}).map(([key, one]) => ({ key, one }))
    .filter(({ key, one }) => `${key} ${value(one)}`.toLowerCase().includes(text.toLowerCase()));
  return html`<${Section} title="Settings in force"><${Trouble} error=${error} />
    <div class="finder"><${Search} value=${text} noun="settings" onSearch=${search} />
      ${all && html`<span class="found" role="status">${plural(rows.length, "setting")}</span>`}
      <span class="tools muted"><code>amqpd config show</code> says where each comes from</span></div>
    ${rows.length ? html`<div class="tall"><${Table} label="Settings" rows=${rows} columns=${[
    { title: "Key", show: (row) => html`<code>${row.key}</code>` },
    { title: "Value", show: (row) => (row.one === "" || row.one === null ? html`<span class="muted">none</span>` : html`<code>${value(row.one)}</code>`) },
  ]} /></div>` : all && html`<${Empty}>None has this in it.<//>`}<//>`;
}

export function OneNode({ name }) {
  const may = useMay();
  const [range, choose] = useRange();
  const [node, error] = useLive(may("monitoring") ? `/nodes/${segment(name)}?x=1${sampled(range)}` : "", RANGES[range][1] > 1 ? 5 : 2, true);
  const [overview] = useLive("/overview", 5);
  if (!may("monitoring")) return html`<h1 class="title">${name}</h1><${Empty}>Nodes are seen with the tag monitoring.<//>`;
  if (!node) {
    return error && html`<h1 class="title">${name}</h1><${Empty}>There is no node '${name}' here.
      <a href=${link("overview")}>Overview</a><//>`;
  }
  const here = (overview?.listeners || []).filter((one) => one.node === name);
  return html`<p class="trail"><a href=${link("overview")}>Overview</a> ›</p>
    <h1 class="title">${node.name} ${node.running ? html`<${Badge} kind="good">running<//>` : html`<${Badge} kind="bad">stopped<//>`}
      ${node.mem_alarm && html`<${Badge} kind="bad">low on memory<//>`} ${node.disk_free_alarm && html`<${Badge} kind="bad">low on disk<//>`}</h1>
    <${Trouble} error=${error} />
    <${Section} title="Resources" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <${Gauges} node=${node} />
      <div class="charts"><${Resources} node=${node} range=${range} />
        <${Chart} title="Files" key=${`d${range}`} lines=${[{ label: "open", colour: "--in", details: node.fd_used_details }]} />
        <${Chart} title="Sockets" key=${`s${range}`} lines=${[{ label: "connected", colour: "--confirm", details: node.sockets_used_details }]} />
        <${Chart} title="Written per second" growing key=${`w${range}`} lines=${[
    { label: "syncs to disk", colour: "--bad", details: node.io_sync_count_details },
    { label: "messages", colour: "--in", details: node.queue_index_write_count_details }]} />
      </div><//>
    <${Memory} name=${name} />
    <${Section} title="Details"><${Facts} rows=${[
    ...nodeFacts(node), ["Since", time(Date.now() - node.uptime)], ["Rates", node.rates_mode],
    ["Versions", (node.applications || []).map((one) => `${one.description} ${one.version}`).join(", ")]]} />
      <${Named} title="Types of exchanges" rows=${node.exchange_types} />
      <${Named} title="How clients may log in" rows=${node.auth_mechanisms} />
      <${Named} title="Plugins of RabbitMQ whose work is done here" rows=${node.enabled_plugins.map((one) => ({ name: one }))} /><//>
    <${Section} title="Ports"><${Ports} listeners=${here} /><//>
    <${Section} title="Web contexts"><${Contexts} contexts=${node.contexts} /><//>
    ${may("administrator") && html`<${Settings} />`}`;
}
