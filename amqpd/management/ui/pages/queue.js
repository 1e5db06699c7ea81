// One queue: how it is, its messages, consumers, bindings, what is in force, and the danger zone.
import { html, useEffect, useRef, useState } from "../lib.js";
import { post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table, Tabs, Trouble, Words } from "../widgets.js";
import { useMay } from "../me.js";
import { age, bytes, count, duration, plural, pretty, rate, time, value } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { DEPTH, RATES } from "./overview.js";
import { Bindings } from "./bindings.js";
import { PublishForm } from "./publish.js";
import { useColumns } from "../lists.js";
import { useKept } from "../kept.js";
import { features, parsed } from "./shared.js";
import { State } from "./connections.js";

const TABS = [
  ["overview", "Overview"], ["messages", "Messages"], ["consumers", "Consumers"],
  ["bindings", "Bindings"], ["arguments", "Arguments and policy"], ["danger", "Danger zone"],
];

function Pause({ path, row }) {
  return row.paused
    ? html`<${Do} kind="main" action=${() => put(`${path}/resume`)}>Resume<//>`
    : html`<${Do} action=${() => put(`${path}/pause`)} confirm=${`Pause '${row.name}'? Its ${plural(row.consumers, "consumer")} `
      + "will get nothing until it is resumed, also after a restart. Publishing goes on."}>Pause consumers<//>`;
}

function Glance({ path, row, range, choose }) {
  const stats = row.message_stats || {};
  return html`${row.why_waiting && html`<div class="why" role="note"><${Words} text=${row.why_waiting} />
      ${row.paused && html`<div class="row"><${Pause} path=${path} row=${row} /></div>`}</div>`}
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
      <${Chart} title="Per second" lines=${RATES(stats)} growing key=${`r${range}`} /></div><//>
    <${Section} title="Details"><${Facts} rows=${[
    ["Vhost", row.vhost], ["Type", row.type], ["State", html`<${State} state=${row.state} />`],
    ["Features", features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`)],
    ["Exclusive to", row.owner_pid_details?.name],
    ["Single active consumer", row.single_active_consumer_tag],
    ["Idle since", row.idle_since && time(Date.parse(row.idle_since))], ["Oldest message", row.head_message_timestamp && time(row.head_message_timestamp * 1000)],
    ["Oldest unacked", row.oldest_unacked_since && `with a consumer for ${age(row.oldest_unacked_since)}`],
  ]} /><//>`;
}

/** A message's own timestamp, in words. */
const sentAt = (one) => (one.properties?.timestamp ? time(one.properties.timestamp * 1000) : "");

/** What a table of messages may show; the body is cut to what fits into a line. */
const messageColumns = (open, turn) => [
  { title: "Place", leads: true, show: (one) => html`<button type="button" class="small" aria-expanded=${open === one.place}
      onClick=${() => turn(one.place)}>#${one.place.replace(/^0\./, "")}</button>` },
  { title: "Time", means: "Its timestamp, which the publisher sets", show: sentAt },
  { title: "Exchange", show: (one) => one.exchange || "(default)" },
  { title: "Routing key", show: (one) => html`<code>${one.routing_key}</code>` },
  { title: "Size", kind: "number", show: (one) => bytes(one.payload_bytes) },
  { title: "Redelivered", show: (one) => (one.redelivered ? "yes" : "") },
  { title: "Expires", show: (one) => (one.expires_at ? time(one.expires_at) : "") },
  { title: "Priority", kind: "number", show: (one) => value(one.properties?.priority) },
  { title: "Persistent", show: (one) => (one.properties?.delivery_mode === 2 ? "yes" : "") },
  { title: "Type", show: (one) => value(one.properties?.type) },
  { title: "Content type", show: (one) => value(one.properties?.content_type) },
  { title: "Message id", show: (one) => value(one.properties?.message_id) },
  { title: "Correlation id", show: (one) => value(one.properties?.correlation_id) },
  { title: "Headers", show: (one) => (Object.keys(one.properties?.headers || {}).length ? value(one.properties.headers).slice(0, 80) : "") },
  { title: "Body", show: (one) => html`${one.payload_encoding === "base64" ? "base64: " : ""}<code>${one.payload.slice(0, 80)}${
    one.payload.length > 80 ? "…" : ""}</code>` },
];
const AT_FIRST_HIDDEN = ["Expires", "Priority", "Persistent", "Type", "Message id", "Correlation id", "Headers"];

/** Messages as a table; one of them is opened below. */
function MessageTable({ messages, path, act }) {
  const [open, setOpen] = useState("");
  const turn = (place) => setOpen(place === open ? "" : place);
  const [columns, choice] = useColumns("message", messageColumns(open, turn), AT_FIRST_HIDDEN);
  const one = messages.find((each) => each.place === open);
  const below = useRef(null);
  useEffect(() => below.current?.scrollIntoView({ block: "nearest" }), [open]);
  return html`<div class="finder"><span class="tools">${choice}</span></div>
    <${Table} label="Messages" columns=${columns} rows=${messages.map((each) => ({ ...each, key: each.place }))} />
    <div ref=${below}>${one && html`<${Message} one=${one} path=${path} key=${open}
      act=${(what, gone) => act(what, gone, one.place)} />`}</div>`;
}

function Message({ one, path, act }) {
  const properties = Object.entries(one.properties || {}).filter(([name]) => name !== "headers");
  const headers = Object.entries(one.properties?.headers || {});
  const text = one.payload_encoding === "base64"
    ? `${one.payload_bytes} bytes in base64: ${one.payload}` : pretty(one.payload);
  const here = `${path}/messages/${one.place}`;
  const pass = (verb) => async () => {
    const destination = window.prompt(`${verb === "move" ? "Move" : "Copy"} this message to the queue:`);
    if (destination) await act(() => post(`${here}/${verb}`, { destination }), verb === "move");
  };
  return html`<article class="message"><header><b>#${one.place.replace(/^0\./, "")}</b>
      <span>${one.exchange || "(default)"} → <code>${one.routing_key}</code></span>
      ${sentAt(one) && html`<time title="Its timestamp">${sentAt(one)}</time>`}
      ${one.redelivered && html`<${Badge} kind="warn">redelivered<//>`}
      ${one.expires_at && html`<${Badge} title="It goes then, if nobody takes it">expires ${time(one.expires_at)}<//>`}
      <span class="muted">${bytes(one.payload_bytes)}</span>
      <span class="tools">
        <button type="button" class="small" onClick=${() => navigator.clipboard?.writeText(one.payload)}>Copy text</button>
        <${Do} kind="small" action=${pass("copy")}>Copy to…<//>
        <${Do} kind="small" action=${pass("move")}>Move to…<//>
        <${Do} kind="small danger" confirm="Delete this message for good?"
          action=${() => act(() => remove(here), true)}>Delete<//></span>
    </header>
    ${(properties.length > 0 || headers.length > 0) && html`<${Facts} rows=${[
    ...properties.map(([name, each]) => [name, value(each)]),
    ...headers.map(([name, each]) => [html`<i>${name}</i>`, value(each)])]} />`}
    <pre>${text}</pre></article>`;
}

function Messages({ path, row }) {
  if (row.type === "stream") {
    return html`<${Section} title="Read this stream"><${Empty}>A stream is read, not looked into: reading takes nothing
        out of it. <code>amqpd consume ${row.name}</code><//><//>
      <${Section} title="Publish to this stream">
        <${PublishForm} vhost=${row.vhost} exchange="amq.default" routingKey=${row.name} /><//>`;
  }
  return html`<${Peek} path=${path} row=${row} />`;
}

/** Messages of one look. */
const SHOWN = 20;

function Peek({ path, row }) {
  const [found, setFound] = useState(null);
  const [search, setSearch] = useState("");
  const [end, setEnd] = useState("oldest");
  const [as, setAs] = useKept("messages.as", "whole messages");
  /** Behind which place the newest ones are; places of a queue without priorities are numbers in a row. */
  const nearTheEnd = async () => {
    const [first] = (await post(`${path}/peek`, { count: 1, truncate: 1 })).messages;
    const [level, position] = (first?.place || "").split(".");
    return level === "0" && row.messages_ready > SHOWN
      ? `0.${Number(position) + row.messages_ready - SHOWN - 1}` : undefined;
  };
  const look = async (next) => {
    const after = next || (end === "newest" && !search ? await nearTheEnd() : undefined);
    const more = await post(`${path}/peek`, {
      count: SHOWN, truncate: 50000, search, ...(after ? { after } : {}),
    });
    setFound((now) => (next && now
      ? { ...more, messages: [...now.messages, ...more.messages] } : more));
  };
  const act = async (what, gone, place) => {
    await what();
    if (gone) setFound((now) => ({ ...now, messages: now.messages.filter((one) => one.place !== place) }));
  };
  const messages = found ? (end === "newest" ? [...found.messages].reverse() : found.messages) : [];
  return html`<${Section} title="Look at messages">
      <${Form} label="Peek" action=${() => look()} kind="inline">
        <div class="row"><${Field} label="With this text" name="search" value=${search}
          placeholder="in the body, a key or a header" onInput=${(event) => setSearch(event.target.value)} />
        <${Select} label="Begin with the" name="end" value=${end} options=${["oldest", "newest"]}
          onChange=${(event) => setEnd(event.target.value)} />
        <${Select} label="Show" name="as" value=${as} options=${["whole messages", "a table"]}
          onChange=${(event) => setAs(event.target.value)} /></div>
        <p class="muted">Looking changes nothing: neither the order nor whether a message counts as redelivered.</p>
      <//>
      ${found && !found.messages.length && html`<${Empty}>${search
    ? `None of ${count(found.looked_at)} messages has this text.` : "No message is ready."}<//>`}
      ${messages.length > 0 && (as === "a table"
    ? html`<${MessageTable} messages=${messages} path=${path} act=${act} />`
    : messages.map((one) => html`<${Message} one=${one} path=${path} key=${one.place}
        act=${(what, gone) => act(what, gone, one.place)} />`))}
      ${found?.next && html`<${Do} action=${() => look(found.next)}>More<//>`}<//>
    <${Section} title="Publish to this queue">
      <${PublishForm} vhost=${row.vhost} exchange="amq.default" routingKey=${row.name} /><//>`;
}

function Consumers({ row }) {
  const consumers = row.consumer_details || [];
  if (!consumers.length) {
    return html`<${Empty}>No consumers. <code>amqpd consume ${row.name}</code> starts one.<//>`;
  }
  return html`<${Table} label="Consumers" rows=${consumers} columns=${[
    { title: "Consumer", show: (one) => html`<code>${one.consumer_tag}</code>` },
    { title: "Of", show: (one) => html`<a href=${link("connections", one.channel_details?.connection_name || "")}>
        ${one.channel_details?.user_provided_name || one.channel_details?.name}</a>
        ${one.channel_details?.user_provided_name && html`<small>${one.channel_details.name}</small>`}` },
    { title: "Active", show: (one) => (one.active === false ? "waiting" : "yes") },
    { title: "Acks", show: (one) => (one.ack_required ? "manual" : "automatic") },
    { title: "Unacked", kind: "number", show: (one) => html`${count(one.messages_unacknowledged)}
        ${one.prefetch_count > 0 && one.messages_unacknowledged >= one.prefetch_count
    && html` <${Badge} kind="warn" title="It gets nothing more before it acknowledges">full<//>`}` },
    { title: "Oldest unacked", kind: "number", means: "How long the consumer has had the oldest message that it has not acknowledged",
      show: (one) => age(one.oldest_unacked_since) },
    { title: "Prefetch", kind: "number", show: (one) => (one.prefetch_count ? count(one.prefetch_count) : "no limit") },
    { title: "Exclusive", show: (one) => (one.exclusive ? "yes" : "") },
    { title: "Arguments", show: (one) => (Object.keys(one.arguments || {}).length ? value(one.arguments) : "") },
  ]} />`;
}

/** What a number of an argument is, for people. */
function meaning(name, one) {
  if (typeof one !== "number") return null;
  if (/ttl|expires|timeout|retry-(min|max)/.test(name)) return html`<small>${duration(one)}</small>`;
  return /bytes/.test(name) ? html`<small>${bytes(one)}</small>` : null;
}

/** Arguments that a policy can set as well; the others are only of a declaration. */
const AS_POLICY = ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow",
  "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy", "x-delivery-limit",
  "x-max-age", "x-consumer-timeout"];

/** Arguments cannot be changed as long as a queue lives; a policy can. */
function ToPolicy({ row }) {
  const known = Object.entries(row.arguments || {}).filter(([name]) => AS_POLICY.includes(name));
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

function Danger({ path, row }) {
  const purge = () => remove(`${path}/contents`);
  const drop = async () => { await remove(path); go("queues"); };
  const isStream = row.type === "stream";
  return html`<dl class="dangers">
    <dt><${Pause} path=${path} row=${row} /></dt>
    <dd>${row.paused ? "The consumers go on where they were." : "Consumers stay connected and get nothing; what is published waits. It can be undone."}</dd>
    ${!isStream && html`<dt><${Do} kind="danger" action=${purge} disabled=${!row.messages_ready}
      confirm=${`Remove ${plural(row.messages_ready, "ready message")} from '${row.name}' for good?`}>
      Purge ${plural(row.messages_ready, "ready message")}<//></dt>
    <dd>Ready messages go for good, and not to a dead letter exchange. What consumers have is theirs.</dd>`}
    <dt><${Do} kind="danger" action=${drop}
      confirm=${`Delete ${isStream ? "stream" : "queue"} '${row.name}' with ${plural(row.messages, "message")} for good?`}>
      Delete this ${isStream ? "stream" : "queue"}<//></dt>
    <dd>It goes with ${plural(row.messages, "message")} and its bindings; ${plural(row.consumers, "consumer")} ${row.consumers === 1 ? "is" : "are"} cancelled.</dd></dl>`;
}

export function OneQueue({ vhost, name, tab }) {
  const path = `/queues/${segment(vhost)}/${segment(name)}`;
  const [range, choose] = useRange();
  const [row, error] = useLive(`${path}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1);
  const [bindings] = useLive(tab === "bindings" ? `${path}/bindings` : "", 2);
  if (!row) {
    return error ? html`<h1 class="unseen">${name}</h1><${Section} title=${name}><${Empty}>There is no queue '${name}' in vhost
      '${vhost}'. <a href=${link("queues")}>All queues</a><//><//>` : null;
  }
  const bind = async (form) => {
    await post(`/bindings/${segment(vhost)}/e/${segment(form.source)}/q/${segment(name)}`, {
      routing_key: form.key, arguments: parsed(form.arguments, "Arguments"),
    });
    return `Bound to '${form.source}'.`;
  };
  return html`<h1 class="title">${row.name} <small>${row.vhost === "/" ? "" : row.vhost}</small>
      <${State} state=${row.state} /></h1>
    <${Tabs} base=${["queues", vhost, name]} tabs=${TABS} chosen=${tab} />
    <${Trouble} error=${error} />
    ${tab === "messages" ? html`<${Messages} path=${path} row=${row} />`
    : tab === "consumers" ? html`<${Section} title="Consumers"><${Consumers} row=${row} /><//>`
    : tab === "bindings" ? html`<${Section} title="Bindings to here"><${Bindings} bindings=${bindings} />
        <${Form} label="Bind" action=${bind} kind="inline"><div class="row">
          <${Field} label="From exchange" name="source" required /><${Field} label="Routing key" name="key" />
          <${Field} label="Arguments (JSON)" name="arguments" /></div><//><//>`
    : tab === "arguments" ? html`<${Section} title="What is in force"><${InForce} row=${row} /><//>`
    : tab === "danger" ? html`<${Section} title="Danger zone"><${Danger} path=${path} row=${row} /><//>`
    : html`<${Glance} path=${path} row=${row} range=${range} choose=${choose} />`}`;
}

