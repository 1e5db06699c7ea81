// Virtual hosts: all of them, and one with who may enter it, its limits and its tracing.
import { html, useState } from "../lib.js";
import { post, put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { Search } from "../lists.js";
import { useMay } from "../me.js";
import { bytes, count, plural, rate } from "../format.js";
import { Chart, RANGES, RangeChoice, sampled, useRange } from "../chart.js";
import { DEPTH, RATES, Totals } from "./totals.js";
import { LimitsOf, Permissions, Tags, TopicPermissions } from "./rights.js";

const TYPES = ["classic", "quorum", "stream"];
const place = (row) => `/vhosts/${segment(row.name)}`;
const held = (row) => row.messages || 0;
/** What is asked before one is deleted. */
const dropping = (row) => ({
  typed: row.name,
  confirm: [`Delete vhost '${row.name}' with ${plural(held(row), "message")}?`,
    "Its queues, exchanges, policies and permissions go for good, and all connections to it are closed."],
});
const protect = (row) => (row.protected_from_deletion
  ? remove(`${place(row)}/deletion/protection`) : post(`${place(row)}/deletion/protection`));

/** What a vhost is made with, and can be given later. */
const Metadata = ({ row }) => html`<${Field} label="Description" name="description" defaultValue=${row?.description} />
  <${Field} label="Tags" name="tags" defaultValue=${row?.tags.join(", ")} />
  <${Select} label="Default queue type" name="type" value=${row?.default_queue_type} options=${TYPES} />`;
const save = (name, form) => put(`/vhosts/${segment(name)}`, {
  description: form.description, tags: form.tags, default_queue_type: form.type,
});

export function Vhosts() {
  const admin = useMay()("administrator");
  const [vhosts, error, again] = useLive("/vhosts", 5);
  const [permissions] = useLive(admin ? "/permissions" : "", 5);
  const [draft, setDraft] = useState(null);
  const [text, search] = useState("");
  const add = async (form) => {
    await save(form.name, form);
    again();
    return `Vhost '${form.name}' is there.`;
  };
  const found = (vhosts || []).filter((one) => one.name.toLowerCase().includes(text.toLowerCase()));
  const ofAdmin = (column) => (admin ? [column] : []);
  return html`<${Section} title="Virtual hosts"><${Trouble} error=${error} />
    <div class="finder"><${Search} value=${text} noun="virtual hosts" onSearch=${search} />
      ${vhosts && html`<span class="found" role="status">${plural(found.length, "virtual host")}</span>`}</div>
    <${Table} label="Virtual hosts" rows=${found.map((row) => ({ ...row, key: row.name }))}
      href=${(row) => link("vhosts", row.name)} columns=${[
    { title: "Name", leads: true, show: (row) => html`<span class="name">${row.name}</span>
        ${row.protected_from_deletion && html`<small>protected</small>`}` },
    { title: "Description", show: (row) => html`${row.description} <${Tags} tags=${row.tags} />` },
    { title: "Default queue type", show: (row) => row.default_queue_type },
    { title: "Ready", kind: "number", show: (row) => count(row.messages_ready) },
    { title: "Unacked", kind: "number", show: (row) => count(row.messages_unacknowledged) },
    { title: "In/s", kind: "number", show: (row) => rate(row.message_stats?.publish_details?.rate ?? 0) },
    { title: "Out/s", kind: "number", show: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0) },
    { title: "From, to clients", kind: "number", show: (row) => html`${bytes(row.recv_oct_details?.rate ?? 0)}/s
        <br />${bytes(row.send_oct_details?.rate ?? 0)}/s` },
    ...ofAdmin({ title: "Users", show: (row) => (permissions || []).filter((one) => one.vhost === row.name)
      .map((one) => html`<a class="badge" href=${link("users", one.user)}>${one.user}</a>`) }),
    { title: "Tracing", show: (row) => html`${row.tracing ? html`<${Badge} kind="warn">on<//>` : "off"}
        ${admin && html`<${Do} kind="small" action=${() => put(place(row), { tracing: !row.tracing })}>
        ${row.tracing ? "Stop" : "Start"}<//>`}` },
    ...ofAdmin({ title: "", show: (row) => html`<button type="button" class="small" onClick=${() => setDraft(row)}>Edit</button>
        <${Do} kind="small" title="Against being deleted" action=${async () => { await protect(row); again(); }}>
        ${row.protected_from_deletion ? "Unprotect" : "Protect"}<//> <${Do} kind="small danger" disabled=${row.protected_from_deletion}
        title=${row.protected_from_deletion ? "Protected from deletion" : undefined}
        action=${() => remove(place(row))} ...${dropping(row)}>Delete<//>` }),
  ]} />
    ${admin && html`<details class="add" open=${Boolean(draft)} key=${draft?.name}>
      <summary>Add or change a virtual host</summary><${Form} label="Save vhost" kind=${draft ? "inline" : ""} action=${add}>
      <div class="row"><${Field} label="Name" name="name" defaultValue=${draft?.name} required />
      <${Metadata} row=${draft} /></div><//></details>`}<//>`;
}

/** Where what is in it is listed. */
const Inside = ({ name }) => ["queues", "exchanges", "connections", "channels"].map((one, at) => html`
  ${at > 0 && ", "}<a href=${`${link(one)}?${new URLSearchParams({ vhost: name })}`}>${one}</a>`);

function Dangers({ row, again }) {
  const drop = async () => { await remove(place(row)); go("admin", "vhosts"); };
  const shielded = row.protected_from_deletion;
  return html`<${Section} title="Danger zone"><dl class="dangers">
    <dt><${Do} action=${async () => { await protect(row); again(); }}>${shielded ? "Unprotect" : "Protect from deletion"}<//></dt>
    <dd>${shielded ? "It cannot be deleted before that." : "It cannot be deleted until it is unprotected; what is in it can."}</dd>
    <dt><${Do} kind="danger" action=${drop} disabled=${shielded} title=${shielded ? "Protected from deletion" : undefined}
      ...${dropping(row)}>Delete this vhost<//></dt>
    <dd>It goes with all its queues, ${plural(held(row), "message")}, exchanges, policies and permissions.</dd></dl><//>`;
}

function Tracing({ row, admin, again }) {
  const turn = async () => { await put(place(row), { tracing: !row.tracing }); again(); };
  return html`<${Section} title="Tracing"><p>${row.tracing ? html`<${Badge} kind="warn">on<//>` : "Off."} A copy of every message that
      is published or delivered goes to the exchange <a href=${link("exchanges", row.name, "amq.rabbitmq.trace")}><code>amq.rabbitmq.trace</code></a>${" "}
      while it is on; bind a queue to it. It costs as much as the messages themselves.</p>
    ${admin && html`<${Do} action=${turn} confirm=${row.tracing ? undefined : [`Trace all messages of vhost '${row.name}'?`,
    "Each publish and each delivery is published once more while it is on."]}>${row.tracing ? "Stop tracing" : "Start tracing"}<//>`}<//>`;
}

export function OneVhost({ name }) {
  const admin = useMay()("administrator");
  const [range, choose] = useRange();
  // Only administrators may ask for one alone.
  const asked = `x=1${sampled(range)}`;
  const path = admin ? `/vhosts/${segment(name)}?${asked}` : `/vhosts?${asked}`;
  const [found, error, again] = useLive(path, RANGES[range][1] > 1 ? 5 : 2, true);
  if (!found) return error && html`<h1 class="title">${name}</h1><${Nowhere} name=${name} />`;
  const row = admin ? found : found.find((one) => one.name === name);
  if (!row) return html`<h1 class="title">${name}</h1><${Nowhere} name=${name} />`;
  const stats = row.message_stats;
  const change = async (form) => {
    await save(name, form);
    again();
    return "Saved.";
  };
  return html`<p class="trail"><a href=${link("admin", "vhosts")}>Virtual hosts</a> ›</p>
    <h1 class="title">${row.name} ${row.tracing && html`<${Badge} kind="warn">tracing<//>`}
      ${row.protected_from_deletion && html`<${Badge}>protected<//>`}</h1>
    <${Trouble} error=${error} />
    <div class="stats">
      <div class="stat"><b>${count(row.messages_ready ?? 0)}</b><span>ready</span></div>
      <div class="stat"><b>${count(row.messages_unacknowledged ?? 0)}</b><span>unacked</span></div>
      <div class="stat"><b>${rate(stats?.publish_details?.rate ?? 0)}</b><span>in / s</span></div>
      <div class="stat"><b>${rate(stats?.deliver_get_details?.rate ?? 0)}</b><span>out / s</span></div>
      <div class="stat"><b>${bytes(row.recv_oct_details?.rate ?? 0)}</b><span>from clients / s</span></div>
      <div class="stat"><b>${bytes(row.send_oct_details?.rate ?? 0)}</b><span>to clients / s</span></div></div>
    <${Section} title="Messages" aside=${html`<${RangeChoice} range=${range} choose=${choose} />`}>
      <div class="charts"><${Chart} title="In queues" lines=${DEPTH(row)} key=${`d${range}`} />
      <${Chart} title="Per second" lines=${RATES(stats)} growing key=${`r${range}`} />
      <${Chart} title="Octets per second" growing key=${`o${range}`} show=${(n) => `${bytes(n)}/s`} tick=${bytes} lines=${[
    { label: "from clients", colour: "--in", details: row.recv_oct_details },
    { label: "to clients", colour: "--out", details: row.send_oct_details }]} /></div>
      <${Totals} stats=${stats} /><//>
    <${Section} title="Details"><${Facts} rows=${[
    ["Description", row.description], ["Tags", row.tags?.length ? html`<${Tags} tags=${row.tags} />` : ""],
    ["Default queue type", row.default_queue_type], ["In it", html`<${Inside} name=${name} />`],
    ["You may", row.rights.length ? row.rights.join(", ") : "do nothing in it: you have no permission there"],
    ["Deletion", row.protected_from_deletion ? "protected" : "possible"],
  ]} />${admin && html`<details class="add"><summary>Change</summary><${Form} label="Save" kind="inline" action=${change}>
      <div class="row"><${Metadata} row=${row} /></div><//></details>`}<//>
    ${admin && html`<${Permissions} of="vhost" name=${name} /><${TopicPermissions} of="vhost" name=${name} />`}
    <${LimitsOf} of="vhost" name=${name} admin=${admin} />
    <${Tracing} row=${row} admin=${admin} again=${again} />
    ${admin && html`<${Dangers} row=${row} again=${again} />`}`;
}

const Nowhere = ({ name }) => html`<${Empty}>There is no vhost '${name}', or you have no permission there.
  <a href=${link("admin", "vhosts")}>All vhosts</a><//>`;
