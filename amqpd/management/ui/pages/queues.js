// Queues and streams: all of them, a page at a time.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Field, Form, Hints, Section, Select, Table, Trouble } from "../widgets.js";
import { Finder, useColumns, usePaged } from "../lists.js";
import { useKept } from "../kept.js";
import { within } from "../me.js";
import { bytes, count, plural, rate } from "../format.js";
import { QUEUE_ARGUMENTS } from "./keys.js";
import { Adding, Nothing, VhostChoice, features, parsed, useRights } from "./shared.js";
import { State } from "./connections.js";

/** What an operator looks for among thousands. */
const FILTERS = [
  ["messages", "with messages"], ["no-consumers", "without consumers"], ["stuck", "those that do not move"],
];
const TYPES = ["classic", "quorum", "stream"];
/** More stars than these are not shown: a list of favourites is short. */
const STARS = 30;
const nameOf = (row) => JSON.stringify([row.vhost, row.name]);

function Star({ row }) {
  const [stars, setStars] = useKept("stars", []);
  const name = nameOf(row);
  const on = stars.includes(name);
  return html`<button type="button" class="plain star" aria-pressed=${on} aria-label=${`Star ${row.name}`}
    title=${on ? "Take the star away" : "Star: shown above the list"}
    onClick=${() => setStars(on ? stars.filter((one) => one !== name) : [...stars, name])}>${on ? "★" : "☆"}</button>`;
}

const COLUMNS = [
  { title: "Vhost", sort: "vhost", show: (row) => row.vhost },
  { title: "Name", sort: "name", leads: true, show: (row) => html`<span class="name">${row.name}</span>` },
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
  const [type, setType] = useState("classic");
  const add = async (form) => {
    const queue = {
      durable: form.durable === "durable", auto_delete: form.auto === "yes",
      arguments: { "x-queue-type": form.type, ...parsed(form.arguments, "Arguments") },
    };
    await put(`/queues/${segment(form.vhost)}/${segment(form.name)}`, queue);
    return `Queue '${form.name}' is there.`;
  };
  return html`<${Adding} what="a queue">
    <${Form} label="Add queue" action=${add}>
      <div class="row"><${VhostChoice} right="configure" />
      <${Field} label="Name" name="name" required />
      <${Select} label="Type" name="type" options=${TYPES} value=${type}
        onChange=${(event) => setType(event.target.value)} />
      <${Select} label="Durability" name="durable" options=${["durable", "transient"]} />
      <${Select} label="Auto-delete" name="auto" options=${["no", "yes"]} /></div>
      <${Field} label="Arguments (JSON)" name="arguments"
        placeholder='{"x-message-ttl": 60000, "x-dead-letter-exchange": "dead"}' />
      <${Hints} field="arguments" known=${QUEUE_ARGUMENTS.filter((one) => one[3].includes(type))} />
    <//><//>`;
}

const BYTES = { title: "Bytes", sort: "message_bytes", kind: "number", raw: (row) => row.message_bytes ?? 0,
  show: (row) => bytes(row.message_bytes) };
const EVERY = [...COLUMNS.slice(0, 8), BYTES, ...COLUMNS.slice(8)];
const TO = (row) => link("queues", row.vhost, row.name);

/** The starred ones, wherever they are in the list. */
function Starred({ columns }) {
  const [stars] = useKept("stars", []);
  const names = stars.slice(0, STARS).map((one) => JSON.parse(one));
  const pattern = names.map(([, name]) => name.replace(/[^A-Za-z0-9_]/g, "\\$&")).join("|");
  const asked = new URLSearchParams({ page: 1, page_size: 500, use_regex: true, name: `^(${pattern})$` });
  const [found] = useLive(names.length ? `/queues?${asked}` : "", 2);
  const rows = (found?.items || []).filter((row) => stars.includes(nameOf(row)));
  if (!rows.length) return null;
  return html`<${Section} title="Starred"><${Table} label="Starred queues" columns=${columns} rows=${rows} href=${TO} /><//>`;
}

const place = (row) => `/queues/${segment(row.vhost)}/${segment(row.name)}`;
/** What a purge would take; of a stream it is refused. */
const ready = (row) => (row.type === "stream" ? 0 : row.messages_ready || 0);
const held = (row) => row.messages || 0;
/** Some of their names, for a question. */
const NAMED = 5;
const listed = (rows) => `${rows.slice(0, NAMED).map((row) => `'${row.name}'`).join(", ")}${
  rows.length > NAMED ? ` and ${count(rows.length - NAMED)} more` : ""}.`;
const sum = (rows, of) => rows.reduce((all, row) => all + of(row), 0);

/** What is done with several queues, one after the other; what fails does not stop the others. */
function Bulk({ chosen, choose }) {
  const [said, setSaid] = useState({ done: "", failed: [] });
  const each = (past, work) => async () => {
    const failed = [];
    for (const row of chosen) {
      try {
        await work(row);
      } catch (error) {
        failed.push([row, error]);
      }
      setSaid({ done: `${past}: ${plural(chosen.indexOf(row) + 1 - failed.length, "queue")}`, failed });
    }
    choose(failed.map(([row]) => row));
  };
  const n = plural(chosen.length, "queue");
  const [vhosts] = useLive(chosen.length ? "/vhosts" : "", 15);
  const things = chosen.map((row) => ({ kind: "queues", vhost: row.vhost, name: row.name }));
  const allowed = useRights(things);
  /** Why it is not to be done with some of them. */
  const refused = (right) => {
    const where = within(vhosts, right);
    const row = where && chosen.find((one) => !where.includes(one.vhost));
    if (row) return { disabled: true, title: `You have no permission to ${right} in vhost '${row.vhost}'` };
    const one = things.find((each) => !allowed(each, right));
    return one && { disabled: true, title: `You have no permission to ${right} '${one.name}'` };
  };
  const [configure, read] = [refused("configure"), refused("read")];
  return html`<div class="bulk" role="group" aria-label="What to do with the chosen queues">
    ${chosen.length > 0 && html`<b>${n} chosen</b>
      <${Do} kind="small" action=${each("Paused", (row) => put(`${place(row)}/pause`))} ...${configure}
        confirm=${[`Pause ${n}?`, `Consumers get nothing until they are resumed, also after a restart. ${listed(chosen)}`]}>Pause<//>
      <${Do} kind="small" action=${each("Resumed", (row) => put(`${place(row)}/resume`))} ...${configure}>Resume<//>
      <${Do} kind="small danger" action=${each("Purged", (row) => remove(`${place(row)}/contents`))} ...${read}
        typed=${sum(chosen, ready) ? `purge ${n}` : undefined}
        confirm=${[`Purge ${plural(sum(chosen, ready), "ready message")} of ${n}?`, `They go for good. ${listed(chosen)}`]}>Purge<//>
      <${Do} kind="small danger" action=${each("Deleted", (row) => remove(place(row)))} ...${configure}
        typed=${sum(chosen, held) ? `delete ${n}` : undefined}
        confirm=${[`Delete ${n} with ${plural(sum(chosen, held), "message")}?`, `They go for good. ${listed(chosen)}`]}>Delete<//>
      <button type="button" class="small" onClick=${() => choose([])}>Choose none</button>
      ${(configure || read) && html`<small>${(configure || read).title}.</small>`}`}
    ${said.done && html`<span class="said" role="status">${said.done}</span>`}
    ${said.failed.map(([row, error]) => html`<p class="trouble" role="alert">${row.name}: ${error.message}</p>`)}</div>`;
}

export function Queues() {
  const paged = usePaged("/queues", { filters: FILTERS, types: TYPES, own: true, inVhost: (vhost) => `/queues/${vhost}` });
  const [chosen, choose] = useState([]);
  const [found, error] = useLive(paged.path, 2, true);
  const [columns, choice] = useColumns("queue", EVERY);
  const starred = [{ title: "", show: (row) => html`<${Star} row=${row} />` }, ...columns];
  const isChosen = (row) => chosen.some((one) => nameOf(one) === nameOf(row));
  const turn = (row) => choose(isChosen(row) ? chosen.filter((one) => nameOf(one) !== nameOf(row)) : [...chosen, row]);
  const here = found?.items || [];
  const choosing = {
    title: "",
    head: html`<input type="checkbox" aria-label="Choose all of this page" checked=${here.length > 0 && here.every(isChosen)}
      onChange=${(event) => choose(event.target.checked ? [...chosen, ...here.filter((row) => !isChosen(row))]
    : chosen.filter((one) => !here.some((row) => nameOf(row) === nameOf(one))))} />`,
    show: (row) => html`<input type="checkbox" class="chooses" aria-label=${`Choose ${row.name}`} checked=${isChosen(row)} onChange=${() => turn(row)} />`,
  };
  return html`<${Starred} columns=${starred} />
  <${Section} title="Queues and streams">
    <${Finder} paged=${paged} found=${found} noun="queue" columns=${columns} choice=${choice} />
    <${Add} /><${Trouble} error=${error} />
    <${Bulk} chosen=${chosen.map((row) => here.find((one) => nameOf(one) === nameOf(row)) || row)} choose=${choose} />
    ${found && (found.items.length
      ? html`<${Table} label="Queues" columns=${[choosing, ...starred]} rows=${found.items} sort=${paged.sort}
          reverse=${paged.reverse} onSort=${paged.order} href=${TO} />`
      : html`<${Nothing}>${paged.only === "stuck" ? "Everything moves, or is empty."
      : paged.name || paged.only ? "None is like that."
        : html`No queues yet. <code>amqpd publish --queue orders hello</code> makes one.`}<//>`)}
  <//>`;
}
