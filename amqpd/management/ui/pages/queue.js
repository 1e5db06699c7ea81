// One queue: how it is, its messages, consumers, bindings, what is in force, and the danger zone.
import { html, useEffect, useRef, useState } from "../lib.js";
import { post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Table, Tabs, Trouble, Words } from "../widgets.js";
import { can, useMay } from "../me.js";
import { age, bytes, count, duration, plural, rate, time, value } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { DEPTH, RATES, Totals } from "./totals.js";
import { ConsumerTable } from "./consumers.js";
import { Bindings } from "./bindings.js";
import { KEYS } from "./keys.js";
import { Messages, askQueue } from "./messages.js";
import { features, parsed, useWithin } from "./shared.js";
import { State } from "./connections.js";

const TABS = [
  ["overview", "Overview"], ["messages", "Messages"], ["consumers", "Consumers"],
  ["bindings", "Bindings"], ["arguments", "Arguments and policy"], ["danger", "Danger zone"],
];

function Pause({ path, row }) {
  return row.paused
    ? html`<${Do} kind="main" action=${() => put(`${path}/resume`)}>Resume<//>`
    : html`<${Do} action=${() => put(`${path}/pause`)} confirm=${[`Pause '${row.name}'?`,
      `Its ${plural(row.consumers, "consumer")} will get nothing until it is resumed, also after a restart. Publishing goes on.`]}>Pause consumers<//>`;
}

function Glance({ path, row, range, choose }) {
  const stats = row.message_stats || {};
  return html`${row.why_waiting && html`<div class="why" role="note"><${Words} text=${row.why_waiting} />
      ${row.paused && can(row, "configure") && html`<div class="row"><${Pause} path=${path} row=${row} /></div>`}</div>`}
    ${(row.warnings || []).map((one) => html`<p class="why" role="note"><${Words} text=${one} /></p>`)}
    <div class="stats">
      <div class="stat"><b>${count(row.messages_ready)}</b><span>ready</span></div>
      <div class="stat"><b>${count(row.messages_unacknowledged)}</b><span>unacked</span></div>
      <div class="stat"><b>${count(row.consumers)}</b><span>consumers</span></div>
      <div class="stat"><b>${rate(stats.publish_details?.rate ?? 0)}</b><span>in / s</span></div>
      <div class="stat"><b>${rate(stats.deliver_get_details?.rate ?? 0)}</b><span>out / s</span></div>
      <div class="stat"><b>${bytes(row.message_bytes)}</b><span>bodies</span></div></div>
    <${Section} title="Messages" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <div class="charts"><${Chart} title="In the queue" lines=${DEPTH(row)} key=${`d${range}`} />
      <${Chart} title="Per second" lines=${RATES(stats)} growing key=${`r${range}`} /></div>
      <${Totals} stats=${row.message_stats} /><//>
    <${Section} title="Details"><${Facts} rows=${[
    ["Vhost", html`<a href=${link("vhosts", row.vhost)}>${row.vhost}</a>`], ["Type", row.type], ["State", html`<${State} state=${row.state} />`],
    ["Features", features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`)],
    ["Policy", inForce(row, row.policy)], ["Operator policy", inForce(row, row.operator_policy)],
    ["Exclusive to", row.owner_pid_details?.name && html`<a href=${link("connections", row.owner_pid_details.name)}>${row.owner_pid_details.name}</a>`],
    ["Single active consumer", row.single_active_consumer_tag],
    ["Idle since", moves(stats) ? "" : row.idle_since && time(Date.parse(row.idle_since))], ["Oldest message", row.head_message_timestamp && time(row.head_message_timestamp * 1000)],
    ["Oldest unacked", row.oldest_unacked_since && `with a consumer for ${age(row.oldest_unacked_since)}`],
    ["Wait for a retry", row.messages_delayed ? count(row.messages_delayed) : ""],
    ["Dead letters kept", row.messages_dlx ? `${count(row.messages_dlx)}, ${bytes(row.message_bytes_dlx)}` : ""],
    ["Set aside, damaged", row.messages_quarantined ? count(row.messages_quarantined) : ""],
    ["Needs of memory", bytes(row.memory)],
    ["Consumers with room", row.consumers ? `${Math.round(100 * row.consumer_capacity)} %` : ""],
  ]} /><${Inventory} row=${row} /><//>
  <${Traffic} row=${row} />`;
}

/** Whether something went in or out at the last look. */
const moves = (stats) => Boolean(stats.publish_details?.rate || stats.deliver_get_details?.rate);
const inForce = (row, name) => name && html`<a href=${link("queues", row.vhost, row.name, "arguments")}>${name}</a>`;

/** Messages and octets of bodies, by where they are and of which kind they are. */
const KINDS = [
  ["In all", "messages", "message_bytes"], ["Ready", "messages_ready", "message_bytes_ready"],
  ["Unacked", "messages_unacknowledged", "message_bytes_unacknowledged"], ["In memory", "messages_ram", "message_bytes_ram"],
  ["Only on disk", "messages_paged_out", "message_bytes_paged_out"], ["Persistent", "messages_persistent", "message_bytes_persistent"],
];
const Inventory = ({ row }) => {
  const rows = KINDS.map(([title, n, octets]) => ({ title, n: row[n], octets: row[octets] })).filter((one) => one.n !== undefined);
  if (row.messages !== undefined && row.messages_persistent !== undefined) {
    rows.push({ title: "Transient", n: row.messages - row.messages_persistent,
      octets: row.message_bytes === undefined ? undefined : row.message_bytes - (row.message_bytes_persistent ?? 0) });
  }
  return html`<${Table} label="Messages by kind" rows=${rows} columns=${[
    { title: "Messages", leads: true, show: (one) => one.title }, { title: "How many", kind: "number", show: (one) => count(one.n) },
    { title: "Bodies", kind: "number", show: (one) => bytes(one.octets) }]} />`;
};

/** From where messages came, and to whom they went. */
function Traffic({ row }) {
  const said = (stats) => Object.entries(stats).map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`).join(", ");
  const rows = [
    ...(row.incoming || []).map((one) => [html`from <a href=${link("exchanges", one.exchange.vhost, one.exchange.name || "amq.default")}>
      ${one.exchange.name || "(default)"}</a>`, said(one.stats)]),
    ...(row.deliveries || []).map((one) => [html`to <a href=${link("channels", one.channel_details.name)}>
      ${one.channel_details.user_provided_name || one.channel_details.name}</a>`, said(one.stats)]),
  ];
  return rows.length > 0 && html`<${Section} title="From and to"><${Facts} rows=${rows} /><//>`;
}

function Consumers({ row }) {
  return row.consumer_details?.length
    ? html`<${ConsumerTable} consumers=${row.consumer_details} vhost=${row.vhost} />`
    : html`<${Empty}>No consumers. <code>amqpd consume ${row.name}</code> starts one.<//>`;
}

/** What a number of an argument is, for people. */
function meaning(name, one) {
  if (typeof one !== "number") return null;
  if (/ttl|expires|timeout|retry-(min|max)/.test(name)) return html`<small>${duration(one)}</small>`;
  return /bytes/.test(name) ? html`<small>${bytes(one)}</small>` : null;
}

/** Arguments cannot be changed as long as a queue lives; a policy can. */
function ToPolicy({ row }) {
  const known = Object.entries(row.arguments || {}).filter(([name]) => KEYS.some((one) => `x-${one.key}` === name));
  const allowed = useMay()("policymaker");
  if (!known.length || !allowed) return null;
  const definition = Object.fromEntries(known.map(([name, one]) => [name.slice(2), one]));
  const pattern = `^${row.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
  const set = async (form) => {
    await put(`/policies/${segment(row.vhost)}/${segment(form.name)}`, {
      pattern: form.pattern, "apply-to": "queues", priority: Number(form.priority) || 0,
      definition: parsed(form.definition, "Definition"),
    });
    return `Policy '${form.name}' is set. Declare the queue without these arguments from now on: `
      + "as long as it has them, the policy does not replace them.";
  };
  return html`<details class="add"><summary>Make a policy of these arguments</summary>
    <p class="muted">Arguments stay as they were declared; a policy can be changed at any time, and for many queues at once.</p>
    <${Form} label="Set policy" kind="inline" action=${set}><div class="row">
      <${Field} label="Name" name="name" defaultValue=${`of-${row.name}`} required />
      <${Field} label="Pattern of names" name="pattern" defaultValue=${pattern} required />
      <${Field} label="Priority" name="priority" type="number" defaultValue="0" /></div>
      <${Field} label="Definition (JSON)" name="definition" defaultValue=${JSON.stringify(definition)} required /><//></details>`;
}

function InForce({ row }) {
  const rows = Object.entries(row.arguments || {}).map(([name, one]) => ({ name, one, from: "declared" }));
  const names = { policy: row.policy, "operator policy": row.operator_policy };
  for (const [name, one] of Object.entries(row.effective_policy_definition || {})) {
    const origin = (row.effective_origins?.[name] || "policy").replace("_", " ");
    if (origin === "argument") continue; // it is there already: the declaration wins
    rows.push({ name, one, from: names[origin] ? `${origin} '${names[origin]}'` : origin });
  }
  return html`<${Facts} rows=${[["Policy", row.policy], ["Operator policy", row.operator_policy]]} />
    ${rows.length ? html`<${Table} label="Arguments" rows=${rows} columns=${[
    { title: "Name", show: (each) => html`<code>${each.name}</code>` },
    { title: "Value", show: (each) => html`<code>${value(each.one)}</code> ${meaning(each.name, each.one)}` },
    { title: "From", show: (each) => each.from },
  ]} />` : html`<${Empty}>Neither arguments nor policies: the defaults are in force.<//>`}
    <${ToPolicy} row=${row} />`;
}

/** All ready messages into another queue, some at a time; it can be stopped between two of them. */
function MoveAll({ path, row }) {
  const [said, setSaid] = useState("");
  const going = useRef(false);
  useEffect(() => () => { going.current = false; }, []);
  const move = async () => {
    const destination = await askQueue("move", plural(row.messages_ready, "ready message"), row);
    if (!destination) return;
    let done = 0;
    going.current = true;
    while (going.current) {
      const { moved, left } = await post(`${path}/move`, { destination, count: AT_ONCE });
      done += moved;
      setSaid(`${plural(done, "message")} moved to '${destination}', ${count(left)} left.`);
      if (!moved || !left) break;
    }
    going.current = false;
  };
  return html`<dt><${Do} kind="danger" action=${move} disabled=${!row.messages_ready || going.current}>Move all to…<//>
      ${going.current && html`<button type="button" onClick=${() => { going.current = false; }}>Stop</button>`}</dt>
    <dd>${said ? html`<span class="said" role="status">${said}</span>`
    : "All ready messages go to the end of another queue of this vhost, in their order. What consumers have is theirs."}</dd>`;
}
/** Moved with one request. */
const AT_ONCE = 1000;

function Danger({ path, row }) {
  const purge = () => remove(`${path}/contents`);
  const drop = async () => { await remove(path); go("queues"); };
  const isStream = row.type === "stream";
  const [configure, read] = [can(row, "configure"), can(row, "read")];
  const [through] = useLive(`/exchanges/${segment(row.vhost)}/amq.default?columns=rights`, 30);
  const passing = can(through, "write");
  if (!configure && !read) return html`<${Empty}>You have no permission to change this queue.<//>`;
  return html`<dl class="dangers">
    ${configure && html`<dt><${Pause} path=${path} row=${row} /></dt>
    <dd>${row.paused ? "The consumers go on where they were." : "Consumers stay connected and get nothing; what is published waits. It can be undone."}</dd>`}
    ${!isStream && read && passing && html`<${MoveAll} path=${path} row=${row} />`}
    ${!isStream && read && html`<dt><${Do} kind="danger" action=${purge} disabled=${!row.messages_ready}
      confirm=${[`Purge ${plural(row.messages_ready, "ready message")} of '${row.name}'?`, "They go for good, and to no dead letter exchange."]}>
      Purge ${plural(row.messages_ready, "ready message")}<//></dt>
    <dd>Ready messages go for good, and not to a dead letter exchange. What consumers have is theirs.</dd>`}
    ${configure && html`<dt><${Do} kind="danger" action=${drop}
      typed=${row.messages ? row.name : undefined}
      confirm=${[`Delete ${isStream ? "stream" : "queue"} '${row.name}' with ${plural(row.messages, "message")}?`,
    `What is in it goes for good; ${plural(row.consumers, "consumer")} ${row.consumers === 1 ? "is" : "are"} cancelled.`]}>
      Delete this ${isStream ? "stream" : "queue"}<//></dt>
    <dd>It goes with ${plural(row.messages, "message")} and its bindings; ${plural(row.consumers, "consumer")} ${row.consumers === 1 ? "is" : "are"} cancelled.</dd>`}</dl>`;
}

export function OneQueue({ vhost, name, tab }) {
  const path = `/queues/${segment(vhost)}/${segment(name)}`;
  const [range, choose] = useRange();
  const [row, error] = useLive(`${path}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1);
  const binds = useWithin(vhost, "read") && can(row, "write");
  const [bindings] = useLive(tab === "bindings" ? `${path}/bindings` : "", 2);
  if (!row) {
    return error ? html`<h1 class="unseen">${name}</h1><${Section} title=${name}><${Empty}>There is no queue '${name}' in vhost
      '${vhost}', or you have no permission there. <a href=${link("queues")}>All queues</a><//><//>` : null;
  }
  const bind = async (form) => {
    await post(`/bindings/${segment(vhost)}/e/${segment(form.source)}/q/${segment(name)}`, {
      routing_key: form.key, arguments: parsed(form.arguments, "Arguments"),
    });
    return `Bound to '${form.source}'.`;
  };
  return html`<h1 class="title">${row.name} <small>${row.vhost === "/" ? "" : row.vhost}</small>${" "}
      <${State} state=${row.state} /></h1>
    <${Tabs} base=${["queues", vhost, name]} tabs=${TABS} chosen=${tab} />
    <${Trouble} error=${error} />
    ${tab === "messages" ? html`<${Messages} path=${path} row=${row} />`
    : tab === "consumers" ? html`<${Section} title="Consumers"><${Consumers} row=${row} /><//>`
    : tab === "bindings" ? html`<${Section} title="Bindings to here"><${Bindings} bindings=${bindings} may=${binds}>Nothing is bound. It gets what is published
          to the default exchange with its name as routing key: <code>amqpd publish --queue ${row.name} hello</code><//>
        ${binds && html`<${Form} label="Bind" action=${bind} kind="inline"><div class="row">
          <${Field} label="From exchange" name="source" required /><${Field} label="Routing key" name="key" />
          <${Field} label="Arguments (JSON)" name="arguments" /></div><//>`}<//>`
    : tab === "arguments" ? html`<${Section} title="What is in force"><${InForce} row=${row} /><//>`
    : tab === "danger" ? html`<${Section} title="Danger zone"><${Danger} path=${path} row=${row} /><//>`
    : html`<${Glance} path=${path} row=${row} range=${range} choose=${choose} />`}`;
}

