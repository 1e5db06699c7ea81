// Messages of one queue: looked at without being touched, searched, moved, copied, deleted.
import { createContext, html, useContext, useEffect, useRef, useState } from "../lib.js";
import { get, post, remove, segment, useLive } from "../api.js";
import { ask } from "../dialog.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table } from "../widgets.js";
import { can } from "../me.js";
import { Exact } from "../exact.js";
import { bytes, count, hexdump, octets, plural, pretty, time, value } from "../format.js";
import { PublishForm } from "./publish.js";
import { download, useColumns } from "../lists.js";
import { useKept } from "../kept.js";

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

/** To which queue of the vhost; those whose names have in them what was typed are offered. */
export const askQueue = (verb, what, row) => ask({
  title: `${verb === "move" ? "Move" : "Copy"} ${what}`, verb: verb === "move" ? "Move" : "Copy",
  text: verb === "move" ? `Out of '${row.name}', to the end of another queue.`
    : `To the end of another queue; '${row.name}' keeps what it has.`,
  field: {
    label: "To the queue",
    suggest: async (typed) => (await get(`/queues/${segment(row.vhost)}?${new URLSearchParams({
      page: 1, page_size: 20, name: typed, columns: "name" })}`)).items.map((one) => one.name).filter((name) => name !== row.name),
  },
});

/** The queue, and whether its messages may be put into others of the vhost. */
const Source = createContext({ row: {}, passing: false });
const GONE = "What is deleted is gone for good, and to no dead letter exchange.";

function Message({ one, path, act }) {
  const { row, passing } = useContext(Source);
  const properties = Object.entries(one.properties || {}).filter(([name]) => name !== "headers");
  const headers = Object.entries(one.properties?.headers || {});
  const here = `${path}/messages/${one.place}`;
  const pass = (verb) => async () => {
    const destination = await askQueue(verb, `message #${one.place.replace(/^0\./, "")}`, row);
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
        <${Do} kind="small danger" confirm=${[`Delete message #${one.place.replace(/^0\./, "")} of '${row.name}'?`, GONE]}
          action=${() => act(() => remove(here), true)}>Delete<//></span>
    </header>
    ${(properties.length > 0 || headers.length > 0) && html`<${Facts} rows=${[
    ...properties.map(([name, each]) => [name, nested(each)]),
    ...headers.map(([name, each]) => [html`<i title="header">${name}</i>`, nested(each)])]} />`}
    <${Body} one=${one} here=${here} key=${one.place} /></article>`;
}

/** What is done with all messages that are shown, one after the other. */
function AllShown({ messages, path, gone }) {
  const { row, passing } = useContext(Source);
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
    const destination = await askQueue(verb, `these ${plural(messages.length, "message")}`, row);
    if (destination) await each(past, (here) => post(`${here}/${verb}`, { destination }));
  };
  return html`<div class="bulk">${messages.length > 1 && html`<span>All ${count(messages.length)} that are shown:</span>
    ${passing && html`<${Do} kind="small" action=${pass("copy", "Copied")}>Copy all to…<//>
    <${Do} kind="small" action=${pass("move", "Moved")}>Move all to…<//>`}
    <${Do} kind="small danger" confirm=${[`Delete these ${plural(messages.length, "message")} of '${row.name}'?`, GONE]}
      action=${() => each("Deleted", (here) => remove(here))}>Delete all<//>`}
    ${said && html`<span class="said" role="status">${said}</span>`}</div>`;
}

export function Messages({ path, row }) {
  if (row.type === "stream") {
    return html`<${Section} title="Read this stream"><${Empty}>A stream is read, not looked into: reading takes nothing
        out of it. <code>amqpd consume ${row.name}</code><//><//>
      <${Section} title="Publish to this stream">
        <${PublishForm} vhost=${row.vhost} exchange="amq.default" routingKey=${row.name} /><//>`;
  }
  return html`<${Peek} path=${path} row=${row} />`;
}

/** What RabbitMQ calls the ways to get: what each does to what is got. */
const MODES = [
  ["ack_requeue_true", "put them back, marked redelivered"], ["ack_requeue_false", "take them out for good"],
  ["reject_requeue_false", "reject them: to the dead letter exchange"],
];
const TAKES = {
  ack_requeue_false: "They are shown here, and gone from the queue for good.",
  reject_requeue_false: "They go to the dead letter exchange of the queue, or for good where it has none.",
};

/** As a consumer would get them; a look changes nothing, this does. */
function Get({ path, row }) {
  const [mode, setMode] = useState(MODES[0][0]);
  const [wanted, setWanted] = useState("1");
  const [found, setFound] = useState(null);
  const get = async (form) => {
    setFound(await post(`${path}/get`, { count: Number(form.count), ackmode: form.ackmode, encoding: "auto", truncate: FIRST }));
  };
  return html`<details class="add"><summary>Get messages as a consumer does</summary>
    <${Form} label="Get" kind="inline" danger=${mode in TAKES} action=${get}
      confirm=${TAKES[mode] && [`Get up to ${plural(Number(wanted), "message")} of '${row.name}' and ${mode === "ack_requeue_false" ? "take them out" : "reject them"}?`, TAKES[mode]]}>
      <div class="row"><${Field} label="How many" name="count" type="number" min="1" max="1000" value=${wanted} required
        onInput=${(event) => setWanted(event.target.value)} />
      <${Select} label="Then" name="ackmode" options=${MODES} value=${mode} onChange=${(event) => setMode(event.target.value)} /></div><//>
    ${found && (found.length ? found.map((one, at) => html`<${Got} one=${one} key=${at} />`) : html`<${Empty}>No message was ready.<//>`)}</details>`;
}

const Got = ({ one }) => html`<article class="message"><header><span>${one.exchange || "(default)"} → <code>${one.routing_key}</code></span>
    ${one.redelivered && html`<${Badge} kind="warn">redelivered<//>`}
    <span class="muted">${bytes(one.payload_bytes)}, ${plural(one.message_count, "message")} behind it</span></header>
  <${Facts} rows=${Object.entries(one.properties || {}).map(([name, each]) => [name, nested(each)])} />
  <pre class=${one.payload_encoding === "base64" ? "octets" : ""} tabindex="0" aria-label="Body">${one.payload_encoding === "base64"
  ? hexdump(octets(one.payload).subarray(0, DUMPED)) : pretty(one.payload)}</pre></article>`;

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
      <${Source.Provider} value=${{ row, passing: can(through, "write") }}>${found && html`<${AllShown} messages=${messages} path=${path} gone=${without} />`}
      ${messages.length > 0 && (as === "a table"
    ? html`<${MessageTable} messages=${messages} path=${path} act=${act} />`
    : messages.map((one) => html`<${Message} one=${one} path=${path} key=${one.place}
        act=${(what, gone) => act(what, gone, one.place)} />`))}<//>
      ${found?.next && html`<${Do} action=${() => look(found.next)}>More<//>`}
      <${Get} path=${path} row=${row} /><//>
    <${Section} title="Publish to this queue">
      <${PublishForm} vhost=${row.vhost} exchange="amq.default" routingKey=${row.name} /><//>`;
}
