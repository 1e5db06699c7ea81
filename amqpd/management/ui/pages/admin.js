// Administration: users, vhosts, policies, limits, definitions.
import { html, useState } from "../lib.js";
import { get, post, put, remove, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Empty, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { count, value } from "../format.js";
import { VhostChoice, parsed } from "./shared.js";

const PARTS = [
  ["users", "Users"], ["vhosts", "Virtual hosts"], ["policies", "Policies"],
  ["operator-policies", "Operator policies"], ["limits", "Limits"], ["definitions", "Definitions"],
];

function Users({ me }) {
  const [users, error, again] = useLive("/users", 5);
  const [permissions] = useLive("/permissions", 5);
  const add = async (form) => {
    await put(`/users/${segment(form.name)}`, { password: form.password, tags: form.tags });
    again();
    return `User '${form.name}' is there. Without permissions it can enter no vhost.`;
  };
  const grant = async (form) => {
    await put(`/permissions/${segment(form.vhost)}/${segment(form.user)}`, {
      configure: form.configure, write: form.write, read: form.read,
    });
    again();
    return `'${form.user}' may enter '${form.vhost}'.`;
  };
  const of = (name) => (permissions || []).filter((one) => one.user === name);
  return html`<${Section} title="Users"><${Trouble} error=${error} />
    <${Table} label="Users" rows=${users || []} columns=${[
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Tags", show: (row) => row.tags.map((tag) => html`<${Badge}>${tag}<//>`) },
    { title: "Password", show: (row) => (row.password_hash ? "yes" : "none") },
    { title: "May enter", show: (row) => of(row.name).map((one) => html`<div>
        <code>${one.vhost}</code> <small>configure <code>${one.configure || "nothing"}</code>
        write <code>${one.write || "nothing"}</code> read <code>${one.read || "nothing"}</code></small>
        <${Do} kind="small" action=${() => remove(`/permissions/${segment(one.vhost)}/${segment(one.user)}`)}
          confirm=${`Take the permissions in '${one.vhost}' from '${one.user}'?`}>Revoke<//></div>`) },
    { title: "", show: (row) => html`<${Do} kind="small danger" disabled=${row.name === me.name}
        action=${() => remove(`/users/${segment(row.name)}`)}
        confirm=${`Delete user '${row.name}'? Its connections are closed.`}>Delete<//>` },
  ]} />
    <details class="add"><summary>Add or change a user</summary><${Form} label="Save user" action=${add}>
      <div class="row"><${Field} label="Name" name="name" required />
      <${Field} label="Password" name="password" type="password" autocomplete="new-password" required />
      <${Field} label="Tags" name="tags" placeholder="administrator, monitoring"
        hint="administrator, monitoring, policymaker, management" /></div><//></details>
    <details class="add"><summary>Give permissions</summary><${Form} label="Give permissions" action=${grant}>
      <div class="row"><${Select} label="User" name="user" options=${(users || []).map((one) => one.name)} />
      <${VhostChoice} /><${Field} label="Configure" name="configure" value=".*" />
      <${Field} label="Write" name="write" value=".*" /><${Field} label="Read" name="read" value=".*" /></div><//>
    </details><//>`;
}

function Vhosts() {
  const [vhosts, error, again] = useLive("/vhosts", 5);
  const add = async (form) => {
    await put(`/vhosts/${segment(form.name)}`, {
      description: form.description, default_queue_type: form.type,
    });
    again();
    return `Vhost '${form.name}' is there.`;
  };
  return html`<${Section} title="Virtual hosts"><${Trouble} error=${error} />
    <${Table} label="Virtual hosts" rows=${vhosts || []} columns=${[
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Description", show: (row) => row.description },
    { title: "Default queue type", show: (row) => row.default_queue_type },
    { title: "Ready", kind: "number", show: (row) => count(row.messages_ready) },
    { title: "Unacked", kind: "number", show: (row) => count(row.messages_unacknowledged) },
    { title: "Tracing", show: (row) => html`${row.tracing ? html`<${Badge} kind="warn">on<//>` : "off"}
        <${Do} kind="small" action=${() => put(`/vhosts/${segment(row.name)}`, { tracing: !row.tracing })}>
        ${row.tracing ? "Stop" : "Start"}<//>` },
    { title: "Protected", show: (row) => (row.protected_from_deletion ? "yes" : "") },
    { title: "", show: (row) => html`<${Do} kind="small danger" disabled=${row.protected_from_deletion}
        action=${() => remove(`/vhosts/${segment(row.name)}`)}
        confirm=${`Delete vhost '${row.name}' with all its queues and ${count(row.messages)} messages?`}>Delete<//>` },
  ]} />
    <details class="add"><summary>Add a virtual host</summary><${Form} label="Add vhost" action=${add}>
      <div class="row"><${Field} label="Name" name="name" required />
      <${Field} label="Description" name="description" />
      <${Select} label="Default queue type" name="type" options=${["classic", "quorum", "stream"]} /></div><//>
    </details><//>`;
}

function Policies({ kind, title }) {
  const [policies, error, again] = useLive(`/${kind}`, 5);
  const targets = ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"];
  const add = async (form) => {
    await put(`/${kind}/${segment(form.vhost)}/${segment(form.name)}`, {
      pattern: form.pattern, "apply-to": form.target, priority: Number(form.priority) || 0,
      definition: parsed(form.definition, "Definition"),
    });
    again();
    return `'${form.name}' is in force.`;
  };
  return html`<${Section} title=${title}><${Trouble} error=${error} />
    ${policies?.length ? html`<${Table} label=${title} rows=${policies} columns=${[
    { title: "Vhost", show: (row) => row.vhost },
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Pattern", show: (row) => html`<code>${row.pattern}</code>` },
    { title: "Applies to", show: (row) => row["apply-to"] },
    { title: "Definition", show: (row) => html`<code>${value(row.definition)}</code>` },
    { title: "Priority", kind: "number", show: (row) => row.priority },
    { title: "", show: (row) => html`<${Do} kind="small danger"
        action=${() => remove(`/${kind}/${segment(row.vhost)}/${segment(row.name)}`)}
        confirm=${`Remove '${row.name}'?`}>Remove<//>` },
  ]} />` : html`<${Empty}>None are set.<//>`}
    <details class="add"><summary>Add or change one</summary><${Form} label="Set" action=${add}>
      <div class="row"><${VhostChoice} /><${Field} label="Name" name="name" required />
      <${Field} label="Pattern of names" name="pattern" placeholder="^orders\\." required />
      <${Select} label="Applies to" name="target"
        options=${kind === "policies" ? targets : targets.filter((one) => one !== "exchanges" && one !== "all")} />
      <${Field} label="Priority" name="priority" type="number" value="0" /></div>
      <${Field} label="Definition (JSON)" name="definition" required
        placeholder='{"max-length": 10000, "dead-letter-exchange": "dead"}' /><//></details><//>`;
}

function Limits() {
  const [vhosts, error, again] = useLive("/vhost-limits", 5);
  const [users] = useLive("/user-limits", 5);
  const rows = [
    ...(vhosts || []).flatMap((one) => Object.entries(one.value).map(([name, limit]) => ({ kind: "vhost", of: one.vhost, name, limit }))),
    ...(users || []).flatMap((one) => Object.entries(one.value).map(([name, limit]) => ({ kind: "user", of: one.user, name, limit }))),
  ];
  const set = async (form) => {
    await put(`/${form.kind}-limits/${segment(form.of)}/${form.name}`, { value: Number(form.limit) });
    again();
    return "Set.";
  };
  return html`<${Section} title="Limits"><${Trouble} error=${error} />
    ${rows.length ? html`<${Table} label="Limits" rows=${rows} columns=${[
    { title: "Of", show: (row) => `${row.kind} ${row.of}` },
    { title: "Limit", show: (row) => row.name },
    { title: "Value", kind: "number", show: (row) => count(row.limit) },
    { title: "", show: (row) => html`<${Do} kind="small"
        action=${() => remove(`/${row.kind}-limits/${segment(row.of)}/${row.name}`)}>Lift<//>` },
  ]} />` : html`<${Empty}>No vhost and no user is limited.<//>`}
    <details class="add"><summary>Set a limit</summary><${Form} label="Set" action=${set}><div class="row">
      <${Select} label="Of a" name="kind" options=${["vhost", "user"]} /><${Field} label="Named" name="of" required />
      <${Select} label="Limit" name="name" options=${["max-connections", "max-queues", "max-channels"]} />
      <${Field} label="Value" name="limit" type="number" hint="-1 lifts it" required /></div><//></details><//>`;
}

function Definitions() {
  const [said, setSaid] = useState("");
  const save = async () => {
    const blob = new Blob([JSON.stringify(await get("/definitions"), null, 2)], { type: "application/json" });
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = `definitions-${new Date().toISOString().slice(0, 10)}.json`;
    anchor.click();
    URL.revokeObjectURL(anchor.href);
    setSaid("Saved.");
  };
  const bring = async (form) => {
    const found = JSON.parse(await form.file.text());
    const { counts } = await post("/definitions?dry_run=true", found);
    const news = Object.entries(counts).flatMap(([section, each]) => ["create", "update"]
      .filter((action) => each[action]).map((action) => `${action} ${each[action]} ${section.replace("_", " ")}`));
    if (!news.length) return "Nothing would change: all of it is there.";
    if (!window.confirm(`This will ${news.join(", ")}. Nothing is removed. Go on?`)) return "Nothing was changed.";
    await post("/definitions", found);
    return `Imported: ${news.join(", ")}.`;
  };
  return html`<${Section} title="Definitions">
    <p>Users, vhosts, permissions, policies, exchanges, queues and bindings, in RabbitMQ's format.</p>
    <${Do} action=${save}>Save to a file<//> <span class="said">${said}</span>
    <${Form} label="Import" action=${bring}><${Field} label="File" name="file" type="file"
      accept="application/json,.json" required /><//><//>`;
}

export function Admin({ words, me }) {
  const chosen = words[0] || "users";
  const part = {
    users: html`<${Users} me=${me} />`,
    vhosts: html`<${Vhosts} />`,
    policies: html`<${Policies} kind="policies" title="Policies" key="p" />`,
    "operator-policies": html`<${Policies} kind="operator-policies" title="Operator policies" key="o" />`,
    limits: html`<${Limits} />`,
    definitions: html`<${Definitions} />`,
  }[chosen];
  return html`<nav class="tabs" aria-label="Administration">${PARTS.map(([name, title]) => html`
    <a role="tab" aria-selected=${name === chosen} href=${link("admin", name)}>${title}</a>`)}</nav>${part}`;
}

