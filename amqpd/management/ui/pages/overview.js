// Overview: what there is, what moves, how the node is.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { link } from "../route.js";
import { Empty, Facts, Section, Stat, Table, Trouble } from "../widgets.js";
import { bytes, count, duration, rate } from "../format.js";
import { Meter } from "../meter.js";
import { DEPTH, RATES, Totals } from "./totals.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";

function Node({ node, range }) {
  return html`<${Section} title=${node.name}>
    <div class="gauges">
      <${Meter} label="Memory" part=${node.mem_used / node.mem_limit} bad=${node.mem_alarm}
        text=${`${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`} />
      <${Meter} label="Files" part=${node.fd_used / node.fd_total}
        text=${`${count(node.fd_used)} of ${count(node.fd_total)}`} />
      <${Meter} label="Disk free" part=${node.disk_free_limit / node.disk_free}
        bad=${node.disk_free_alarm}
        text=${`${bytes(node.disk_free)}, alarm below ${bytes(node.disk_free_limit)}`} />
    </div>
    <div class="charts">
      <${Chart} title="Memory" show=${bytes} tick=${bytes} key=${`m${range}`} lines=${[{ label: "resident", colour: "--in", details: node.mem_used_details }]} />
      <${Chart} title="Disk" show=${bytes} tick=${bytes} key=${`f${range}`} lines=${[{ label: "free", colour: "--out", details: node.disk_free_details }]} />
    </div>
    <${Facts} rows=${[["Process", node.os_pid], ["Up", duration(node.uptime)],
      ["Processors", node.processors], ["Sockets", `${count(node.sockets_used)} of ${count(node.sockets_total)}`],
      ["Syncs to disk", `${rate(node.io_sync_count_details?.rate ?? 0)}/s`],
      ["Write-ahead log", bytes(node.store_wal_bytes)],
      ["Data", node.db_dir], ["Settings", (node.config_files || []).join(", ")], ["Log", (node.log_files || []).join(", ")]]} />
  <//>`;
}

const CHURN = [
  ["connection_created", "Connections opened"], ["connection_closed", "Connections closed"],
  ["channel_created", "Channels opened"], ["channel_closed", "Channels closed"],
  ["queue_created", "Queues created"], ["queue_declared", "Queues declared"], ["queue_deleted", "Queues deleted"],
];

/** What comes and goes: clients that connect for each message are seen here. */
const Churn = ({ churn, range }) => churn && html`<${Section} title="Coming and going">
  <${Chart} title="Per second" growing key=${range} lines=${[
    { label: "connections opened", colour: "--in", details: churn.connection_created_details },
    { label: "channels opened", colour: "--confirm", details: churn.channel_created_details },
    { label: "queues declared", colour: "--out", details: churn.queue_declared_details }]} />
  <${Facts} rows=${CHURN.map(([name, title]) => [title, `${count(churn[name])}, ${rate(churn[`${name}_details`]?.rate ?? 0)}/s`])} /><//>`;

export function Overview() {
  const [range, choose] = useRange();
  const [now, error] = useLive(`/overview?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1);
  const [nodes] = useLive(`/nodes?x=1${sampled(range)}`, 5, true);
  if (!now) return html`<${Trouble} error=${error} />`;
  const { object_totals: totals, queue_totals: depth, message_stats: stats } = now;
  return html`
    <div class="stats">
      <${Stat} label="queues" href=${link("queues")}>${count(totals.queues)}<//>
      <${Stat} label="ready" href=${`${link("queues")}?sort=messages_ready&reverse=true`}>
        ${count(depth.messages_ready)}<//>
      <${Stat} label="unacked" href=${`${link("queues")}?sort=messages_unacknowledged&reverse=true`}>
        ${count(depth.messages_unacknowledged)}<//>
      <${Stat} label="in / s">${rate(stats?.publish_details?.rate ?? 0)}<//>
      <${Stat} label="out / s">${rate(stats?.deliver_get_details?.rate ?? 0)}<//>
      <${Stat} label="connections" href=${link("connections")}>${count(totals.connections)}<//>
      <${Stat} label="channels" href=${link("channels")}>${count(totals.channels)}<//>
      <${Stat} label="consumers">${count(totals.consumers)}<//>
      <${Stat} label="exchanges" href=${link("exchanges")}>${count(totals.exchanges)}<//>
    </div>
    <${Section} title="Messages" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <div class="charts">
        <${Chart} title="In queues" lines=${DEPTH(depth)} key=${`d${range}`} />
        <${Chart} title="Per second" lines=${RATES(stats)} growing key=${`r${range}`} />
      </div>
      <${Totals} stats=${stats} />
      ${!totals.queues && html`<${Empty}>No queues yet. ${" "}
        <code>amqpd publish --queue orders hello</code> makes one.<//>`}
    <//>
    ${(nodes || []).map((node) => html`<${Node} node=${node} range=${range} key=${node.name} />`)}
    <${Churn} churn=${now.churn_rates} range=${range} />
    ${now.listeners && html`<${Section} title="Ports">
      <${Table} label="Ports" rows=${now.listeners} columns=${[
        { title: "Protocol", show: (row) => row.protocol },
        { title: "Address", show: (row) => row.ip_address },
        { title: "Port", kind: "number", show: (row) => row.port },
      ]} />
    <//>`}`;
}
