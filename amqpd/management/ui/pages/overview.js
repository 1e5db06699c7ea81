// Overview: what there is, what moves, how the node is.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { link } from "../route.js";
import { Empty, Facts, Section, Stat, Trouble } from "../widgets.js";
import { count, rate } from "../format.js";
import { Gauges, Ports, Resources, nodeFacts } from "./node.js";
import { DEPTH, RATES, Totals } from "./totals.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";

const Node = ({ node, range }) => html`
  <${Section} title=${html`<a href=${link("nodes", node.name)}>${node.name}</a>`}
      aside=${html`<a href=${link("nodes", node.name)}>All of this node</a>`}>
    <${Gauges} node=${node} />
    <div class="charts"><${Resources} node=${node} range=${range} /></div>
    <${Facts} rows=${nodeFacts(node)} /><//>`;

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
      <${Ports} listeners=${now.listeners} />
    <//>`}`;
}
