// Definitions: out to a file, and in from one after a look at what would change.
import { html, useState } from "../lib.js";
import { get, post, segment, useLive } from "../api.js";
import { Badge, Do, Empty, Facts, Field, Form, Section, Select, Table } from "../widgets.js";
import { count, value } from "../format.js";
import { download } from "../lists.js";
import { parse } from "../exact.js";

const ACTIONS = { create: "good", update: "warn", keep: "bad" };
/** So many changes are listed one by one. */
const LISTED = 500;

/** What an import would do, before it is done. */
function Plan({ plan, bring, leave }) {
  const counts = Object.entries(plan.counts).flatMap(([section, each]) => Object.entries(each)
    .filter(([action]) => action !== "skip").map(([action, n]) => [`${section.replace("_", " ")}, ${action}`, count(n)]));
  return html`<${Section} title=${`What ${plan.file} would change${plan.vhost && ` in vhost '${plan.vhost}'`}`}>
    <${Facts} rows=${counts} />
    ${plan.changes.length ? html`<${Table} label="Changes" rows=${plan.changes.slice(0, LISTED)} columns=${[
    { title: "Change", show: (row) => html`<${Badge} kind=${ACTIONS[row.action] || ""}>${row.action}<//>` },
    { title: "Of", show: (row) => row.section.replace("_", " ") },
    { title: "Vhost", show: (row) => row.vhost || "" },
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Now", show: (row) => (row.before ? html`<code>${value(row.before)}</code>` : "") },
    { title: "Then", show: (row) => (row.after ? html`<code>${value(row.after)}</code>` : "") },
  ]} />${plan.changes.length > LISTED && html`<p class="muted">The first ${count(LISTED)} of
      ${count(plan.changes.length)} changes.</p>`}
    <p>Nothing is removed. All of it is done, or none.</p>
    <div class="row"><${Do} kind="main" action=${bring}>Import<//>
      <button type="button" onClick=${leave}>Leave it</button></div>`
    : html`<${Empty}>Nothing would change: all of it is there.<//>
      <button type="button" onClick=${leave}>Close</button>`}<//>`;
}

export function Definitions() {
  const [said, setSaid] = useState("");
  const [plan, setPlan] = useState(null);
  const [vhost, setVhost] = useState("");
  const [vhosts] = useLive("/vhosts?columns=name", 15);
  const of = (name) => (name ? `/definitions/${segment(name)}` : "/definitions");
  const save = async () => {
    const part = vhost && `-${vhost.replace(/[^\w.-]+/g, "_")}`;
    download(`definitions${part}-${new Date().toISOString().slice(0, 10)}.json`, "application/json",
      JSON.stringify(await get(of(vhost)), null, 2));
    setSaid(vhost ? `What is in vhost '${vhost}' is saved.` : "Saved.");
  };
  const compare = async (form) => {
    let found;
    try {
      found = parse(await form.file.text());
    } catch (error) {
      throw new Error(`${form.file.name}: not JSON (${error.message})`);
    }
    setPlan({ file: form.file.name, vhost, found, ...(await post(`${of(vhost)}?dry_run=true`, found)) });
    setSaid("");
  };
  const bring = async () => {
    await post(of(plan.vhost), plan.found);
    setSaid(`Imported ${plan.file}${plan.vhost && ` into vhost '${plan.vhost}'`}.`);
    setPlan(null);
  };
  return html`<${Section} title="Definitions">
    <p>Users, vhosts, permissions, policies, exchanges, queues and bindings, in RabbitMQ's format; of one vhost what is in it:
      policies, exchanges, queues and bindings, which can go into another one.</p>
    <div class="row"><${Select} label="Of" name="of" value=${vhost} onChange=${(event) => { setVhost(event.target.value); setPlan(null); }}
      options=${[["", "the whole broker"], ...(vhosts || []).map((one) => [one.name, `vhost ${one.name}`])]} /></div>
    <${Do} action=${save}>Save to a file<//> <span class="said" role="status">${said}</span>
    <${Form} label="Compare with a file" kind="inline" action=${compare}><${Field} label="File" name="file" type="file"
      accept="application/json,.json" hint="Nothing is changed before you have seen what would be." required /><//><//>
    ${plan && html`<${Plan} plan=${plan} bring=${bring} leave=${() => setPlan(null)} />`}`;
}
