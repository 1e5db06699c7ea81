// One queue: how it is, its messages, consumers, bindings, what is in force, and the danger zone.
import { createContext, html, useContext, useEffect, useRef, useState } from "../lib.js";
import { get, post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table, Tabs, Trouble, Words } from "../widgets.js";
import { can, useMay } from "../me.js";
import { Exact } from "../exact.js";
import { age, bytes, count, duration, hexdump, octets, plural, pretty, rate, time, value } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { DEPTH, RATES, Totals } from "./totals.js";
import { ConsumerTable } from "./consumers.js";
import { Bindings } from "./bindings.js";
import { PublishForm } from "./publish.js";
import { download, useColumns } from "../lists.js";
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
    ["Vhost", row.vhost], ["Type", row.type], ["State", html`<${State} state=${row.state} />`],
    ["Features", features(row).map(([one, title]) => html`<${Badge} title=${title}>${one}<//>`)],
    ["Exclusive to", row.owner_pid_details?.name],
    ["Single active consumer", row.single_active_consumer_tag],
    ["Idle since", row.idle_since && time(Date.parse(row.idle_since))], ["Oldest message", row.head_message_timestamp && time(row.head_message_timestamp * 1000)],
    ["Oldest unacked", row.oldest_unacked_since && `with a consumer for ${age(row.oldest_unacked_since)}`],
    ["Wait for a retry", row.messages_delayed ? count(row.messages_delayed) : ""],
    ["Dead letters kept", row.messages_dlx ? `${count(row.messages_dlx)}, ${bytes(row.message_bytes_dlx)}` : ""],
    ["Set aside, damaged", row.messages_quarantined ? count(row.messages_quarantined) : ""],
    ["Bodies, ready", bytes(row.message_bytes_ready)], ["Bodies, unacked", bytes(row.message_bytes_unacknowledged)],
    ["In memory", `${plural(row.messages_ram, "message")}, ${bytes(row.memory)}`],
    ["Persistent", plural(row.messages_persistent, "message")],
    ["Only on disk", row.messages_paged_out ? `${plural(row.messages_paged_out, "message")}, ${bytes(row.message_bytes_paged_out)}` : ""],
    ["Consumers with room", row.consumers ? `${Math.round(100 * row.consumer_capacity)} %` : ""],
  ]} /><//>
  <${Traffic} row=${row} />`;
}

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

/** So much of a body is shown at first, and so much of what is no text. */
const FIRST = 50_000;
const DUMPED = 4096;

/** Octets as they are, or a text: for a file, or to be measured. */
const bodyOf = (one) => (one.payload_encoding === "base64" ? octets(one.payload) : new TextEncoder().encode(one.payload));

function Body({ one, here }) {
  const [whole, setWhole] = useState(null);
  const shown = whole || one;
  const binary = shown.payload_encoding === "base64";
  const all = bodyOf(shown);
  const dumped = binary ? all.subarray(0, whole ? undefined : DUMPED) : all;
  const text = binary ? hexdump(dumped) : pretty(shown.payload);
  const save = async () => download(`message-${one.place}.${binary ? "bin" : "txt"}`, "application/octet-stream", bodyOf(await get(here)));
  return html`${shown.payload_bytes === 0 ? html`<p class="muted">Its body is empty.</p>`
    : html`<pre class=${binary ? "octets" : ""} tabindex="0" aria-label="Body">${text}</pre>`}
    ${dumped.length < one.payload_bytes && html`<span class="muted">The first ${bytes(dumped.length)} of ${bytes(one.payload_bytes)}.</span>
      <${Do} kind="small" action=${async () => setWhole(await get(here))}>Show all<//>${" "}`}
    ${shown.payload_bytes > 0 && html`<${Do} kind="small" action=${save}>Save to a file<//>`}`;
}

/** A value of a property or header: what is nested is indented. */
const nested = (one) => (one !== null && typeof one === "object" && !(one instanceof Exact)
  ? html`<pre>${JSON.stringify(one, null, 2)}</pre>` : value(one));

const askQueue = (verb, what) => window.prompt(`${verb === "move" ? "Move" : "Copy"} ${what} to the queue:`);

/** Whether messages may be put into other queues of the vhost. */
const Passing = createContext(false);

function Message({ one, path, act }) {
  const passing = useContext(Passing);
  const properties = Object.entries(one.properties || {}).filter(([name]) => name !== "headers");
  const headers = Object.entries(one.properties?.headers || {});
  const here = `${path}/messages/${one.place}`;
  const pass = (verb) => async () => {
    const destination = askQueue(verb, "this message");
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
        ${passing && html`<${Do} kind="small" action=${pass("copy")}>Copy to…<//>
        <${Do} kind="small" action=${pass("move")}>Move to…<//>`}
        <${Do} kind="small danger" confirm="Delete this message for good?"
          action=${() => act(() => remove(here), true)}>Delete<//></span>
    </header>
    ${(properties.length > 0 || headers.length > 0) && html`<${Facts} rows=${[
    ...properties.map(([name, each]) => [name, nested(each)]),
    ...headers.map(([name, each]) => [html`<i title="header">${name}</i>`, nested(each)])]} />`}
    <${Body} one=${one} here=${here} key=${one.place} /></article>`;
}

/** What is done with all messages that are shown, one after the other. */
function AllShown({ messages, path, gone }) {
  const passing = useContext(Passing);
  const [said, setSaid] = useState("");
  const each = async (verb, work) => {
    let done = 0;
    try {
      for (const one of messages) {
        await work(`${path}/messages/${one.place}`);
        done += 1;
        setSaid(`${verb}: ${count(done)} of ${count(messages.length)}`);
        if (verb !== "Copied") gone(one.place);
      }
    } catch (error) {
      throw new Error(`${verb} ${plural(done, "message")}, then: ${error.message}`);
    }
  };
  const pass = (verb, past) => async () => {
    const destination = askQueue(verb, `these ${plural(messages.length, "message")}`);
    if (destination) await each(past, (here) => post(`${here}/${verb}`, { destination }));
  };
  return html`<div class="bulk">${messages.length > 1 && html`<span>All ${count(messages.length)} that are shown:</span>
    ${passing && html`<${Do} kind="small" action=${pass("copy", "Copied")}>Copy all to…<//>
    <${Do} kind="small" action=${pass("move", "Moved")}>Move all to…<//>`}
    <${Do} kind="small danger" confirm=${`Delete these ${plural(messages.length, "message")} for good?`}
      action=${() => each("Deleted", (here) => remove(here))}>Delete all<//>`}
    ${said && html`<span class="said" role="status">${said}</span>`}</div>`;
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
const LOOKS = [20, 100, 500];

function Peek({ path, row }) {
  const [through] = useLive(`/exchanges/${segment(row.vhost)}/amq.default?columns=rights`, 30);
  const [found, setFound] = useState(null);
  const [search, setSearch] = useState("");
  const [end, setEnd] = useState("oldest");
  const [most, setMost] = useState(LOOKS[0]);
  const [as, setAs] = useKept("messages.as", "whole messages");
  /** Behind which place the newest ones are; places of a queue without priorities are numbers in a row. */
  const nearTheEnd = async () => {
    const [first] = (await post(`${path}/peek`, { count: 1, truncate: 1 })).messages;
    const [level, position] = (first?.place || "").split(".");
    return level === "0" && row.messages_ready > most
      ? `0.${Number(position) + row.messages_ready - most - 1}` : undefined;
  };
  const look = async (next) => {
    const after = next || (end === "newest" && !search ? await nearTheEnd() : undefined);
    const more = await post(`${path}/peek`, {
      count: most, truncate: FIRST, search, ...(after ? { after } : {}),
    });
    setFound((now) => (next && now
      ? { ...more, messages: [...now.messages, ...more.messages] } : more));
  };
  const without = (place) => setFound((now) => ({ ...now, messages: now.messages.filter((one) => one.place !== place) }));
  const act = async (what, gone, place) => {
    await what();
    if (gone) without(place);
  };
  if (!can(row, "read")) return html`<${Section} title="Look at messages"><${Empty}>You have no permission to read this queue.<//><//>`;
  const messages = found ? (end === "newest" ? [...found.messages].reverse() : found.messages) : [];
  return html`<${Section} title="Look at messages">
      <${Form} label="Peek" action=${() => look()} kind="inline">
        <div class="row"><${Field} label="With this text" name="search" value=${search}
          placeholder="in the body, a key or a header" onInput=${(event) => setSearch(event.target.value)} />
        <${Select} label="Begin with the" name="end" value=${end} options=${["oldest", "newest"]}
          onChange=${(event) => setEnd(event.target.value)} />
        <${Select} label="At most" name="most" value=${most} options=${LOOKS}
          onChange=${(event) => setMost(Number(event.target.value))} />
        <${Select} label="Show" name="as" value=${as} options=${["whole messages", "a table"]}
          onChange=${(event) => setAs(event.target.value)} /></div>
        <p class="muted">Looking changes nothing: neither the order nor whether a message counts as redelivered.</p>
      <//>
      ${found && !found.messages.length && html`<${Empty}>${search
    ? `None of ${count(found.looked_at)} messages has this text.` : "No message is ready."}<//>`}
      <${Passing.Provider} value=${can(through, "write")}>${found && html`<${AllShown} messages=${messages} path=${path} gone=${without} />`}
      ${messages.length > 0 && (as === "a table"
    ? html`<${MessageTable} messages=${messages} path=${path} act=${act} />`
    : messages.map((one) => html`<${Message} one=${one} path=${path} key=${one.place}
        act=${(what, gone) => act(what, gone, one.place)} />`))}<//>
      ${found?.next && html`<${Do} action=${() => look(found.next)}>More<//>`}<//>
    <${Section} title="Publish to this queue">
      <${PublishForm} vhost=${row.vhost} exchange="amq.default" routingKey=${row.name} /><//>`;
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

function Danger({ path, row }) {
  const purge = () => remove(`${path}/contents`);
  const drop = async () => { await remove(path); go("queues"); };
  const isStream = row.type === "stream";
  const [configure, read] = [can(row, "configure"), can(row, "read")];
  if (!configure && !read) return html`<${Empty}>You have no permission to change this queue.<//>`;
  return html`<dl class="dangers">
    ${configure && html`<dt><${Pause} path=${path} row=${row} /></dt>
    <dd>${row.paused ? "The consumers go on where they were." : "Consumers stay connected and get nothing; what is published waits. It can be undone."}</dd>`}
    ${!isStream && read && html`<dt><${Do} kind="danger" action=${purge} disabled=${!row.messages_ready}
      confirm=${`Remove ${plural(row.messages_ready, "ready message")} from '${row.name}' for good?`}>
      Purge ${plural(row.messages_ready, "ready message")}<//></dt>
    <dd>Ready messages go for good, and not to a dead letter exchange. What consumers have is theirs.</dd>`}
    ${configure && html`<dt><${Do} kind="danger" action=${drop}
      confirm=${`Delete ${isStream ? "stream" : "queue"} '${row.name}' with ${plural(row.messages, "message")} for good?`}>
      Delete this ${isStream ? "stream" : "queue"}<//></dt>
    <dd>It goes with ${plural(row.messages, "message")} and its bindings; ${plural(row.consumers, "consumer")} ${row.consumers === 1 ? "is" : "are"} cancelled.</dd>`}</dl>`;
}

export function OneQueue({ vhost, name, tab }) {
  const path = `/queues/${segment(vhost)}/${segment(name)}`;
  const [range, choose] = useRange();
  const [row, error] = useLive(`${path}?x=1${sampled(range)}`, RANGES[range][1] > 1 ? 5 : 1);
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
    : tab === "bindings" ? html`<${Section} title="Bindings to here"><${Bindings} bindings=${bindings} may=${can(row, "write")} />
        ${can(row, "write") && html`<${Form} label="Bind" action=${bind} kind="inline"><div class="row">
          <${Field} label="From exchange" name="source" required /><${Field} label="Routing key" name="key" />
          <${Field} label="Arguments (JSON)" name="arguments" /></div><//>`}<//>`
    : tab === "arguments" ? html`<${Section} title="What is in force"><${InForce} row=${row} /><//>`
    : tab === "danger" ? html`<${Section} title="Danger zone"><${Danger} path=${path} row=${row} /><//>`
    : html`<${Glance} path=${path} row=${row} range=${range} choose=${choose} />`}`;
}

