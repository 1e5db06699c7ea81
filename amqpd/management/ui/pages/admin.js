// Administration: users, vhosts, policies, limits, definitions.
import { html, useState } from "../lib.js";
import { get, post, put, remove, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Empty, Facts, Field, Form, Hints, Section, Select, Table, Trouble } from "../widgets.js";
import { may, useMay } from "../me.js";
import { bytes, count, plural, rate, value } from "../format.js";
import { download } from "../lists.js";
import { parse } from "../exact.js";
import { POLICY_KEYS, VhostChoice, parsed } from "./shared.js";

/** Parts, their titles, and who may see them. */
const PARTS = [
  ["users", "Users", "administrator"], ["vhosts", "Virtual hosts"], ["policies", "Policies"],
  ["operator-policies", "Operator policies"], ["limits", "Limits"],
  ["definitions", "Definitions", "administrator"], ["features", "Features", "monitoring"],
];
/** A column of buttons, for those who may press them. */
const ifMay = (allowed, column) => (allowed ? [column] : []);

/** Limits on routing keys, beyond permissions: of one user on one exchange. */
function TopicPermissions({ users }) {
  const [topics, error, again] = useLive("/topic-permissions", 5);
  const path = (one) => `/topic-permissions/${segment(one.vhost)}/${segment(one.user)}`;
  const set = async (form) => {
    await put(path(form), { exchange: form.exchange, write: form.write, read: form.read });
    again();
    return `'${form.user}' is limited on '${form.exchange || "(default)"}' in '${form.vhost}'.`;
  };
  return html`<${Section} title="Topic permissions"><${Trouble} error=${error} />
    ${topics?.length ? html`<${Table} label="Topic permissions" rows=${topics} columns=${[
    { title: "User", show: (row) => html`<span class="name">${row.user}</span>` },
    { title: "Vhost", show: (row) => row.vhost }, { title: "Exchange", show: (row) => row.exchange || "(default)" },
    { title: "Keys to write", show: (row) => html`<code>${row.write}</code>` },
    { title: "Keys to read", show: (row) => html`<code>${row.read}</code>` },
    { title: "", show: (row) => html`<${Do} kind="small" confirm=${`Lift the limits of '${row.user}' on '${row.exchange}'?`}
        action=${async () => { await remove(`${path(row)}/${segment(row.exchange || "amq.default")}`); again(); }}>Lift<//>` },
  ]} />` : html`<${Empty}>No routing keys are limited.<//>`}
    <details class="add"><summary>Limit routing keys</summary><${Form} label="Limit routing keys" action=${set}>
      <div class="row"><${Select} label="User" name="user" options=${users.map((one) => one.name)} />
      <${VhostChoice} /><${Field} label="Exchange" name="exchange" defaultValue="amq.topic" />
      <${Field} label="Keys to write" name="write" defaultValue=".*" />
      <${Field} label="Keys to read" name="read" defaultValue=".*" /></div><//></details><//>`;
}

function Users({ me }) {
  const [draft, setDraft] = useState(null);
  const [users, error, again] = useLive("/users", 5);
  const [permissions] = useLive("/permissions", 5);
  const add = async (form) => {
    const known = (users || []).find((one) => one.name === form.name);
    if (!form.password && !known && form.secret !== "none") throw new Error(`'${form.name}' is new: it needs a password.`);
    const secret = form.secret === "none" ? { password_hash: "" } : form.password ? { password: form.password }
      : { password_hash: known.password_hash, hashing_algorithm: known.hashing_algorithm };
    await put(`/users/${segment(form.name)}`, { ...secret, tags: form.tags });
    again();
    if (known) return `User '${form.name}' was changed.`;
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
    { title: "May enter", show: (row) => (of(row.name).length ? of(row.name).map((one) => html`<div class="rights">
        <code>${one.vhost}</code> ${["configure", "write", "read"].map((right) => html`<small>${right}${" "}
          ${one[right] ? html`<code>${one[right]}</code>` : "nothing"}</small> `)}
        <${Do} kind="small" action=${async () => {
    await remove(`/permissions/${segment(one.vhost)}/${segment(one.user)}`);
    again();
  }} confirm=${`Take the permissions in '${one.vhost}' from '${one.user}'?`}>Revoke<//></div>`)
    : html`<span class="muted">no vhost</span>`) },
    { title: "", show: (row) => html`<button type="button" class="small" onClick=${() => setDraft(row)}>Edit</button>
        <${Do} kind="small danger" disabled=${row.name === me.name}
        title=${row.name === me.name ? "That is you" : undefined} action=${() => remove(`/users/${segment(row.name)}`)}
        confirm=${`Delete user '${row.name}'? Its connections are closed.`}>Delete<//>` },
  ]} />
    <details class="add" open=${Boolean(draft)} key=${draft?.name}>
      <summary>Add or change a user</summary><${Form} label="Save user" kind=${draft ? "inline" : ""} action=${add}>
      <div class="row"><${Field} label="Name" name="name" defaultValue=${draft?.name} required />
      <${Field} label="Password" name="password" type="password" autocomplete="new-password"
        hint="empty: stays as it is" />
      <${Select} label="Login" name="secret" options=${[["typed", "as typed"], ["none", "only by certificate"]]} />
      <${Field} label="Tags" name="tags" placeholder="administrator, monitoring" defaultValue=${draft?.tags.join(", ")}
        hint="administrator, monitoring, policymaker, management, impersonator" /></div><//></details>
    <details class="add"><summary>Give permissions</summary><${Form} label="Give permissions" action=${grant}>
      <div class="row"><${Select} label="User" name="user" options=${(users || []).map((one) => one.name)} />
      <${VhostChoice} /><${Field} label="Configure" name="configure" defaultValue=".*" />
      <${Field} label="Write" name="write" defaultValue=".*" /><${Field} label="Read" name="read" defaultValue=".*" /></div><//>
    </details><//>
    <${TopicPermissions} users=${users || []} />`;
}

function Vhosts() {
  const admin = useMay()("administrator");
  const [vhosts, error, again] = useLive("/vhosts", 5);
  const [permissions] = useLive(admin ? "/permissions" : "", 5);
  const [draft, setDraft] = useState(null);
  const protect = async (row) => {
    const path = `/vhosts/${segment(row.name)}/deletion/protection`;
    await (row.protected_from_deletion ? remove(path) : post(path));
    again();
  };
  const add = async (form) => {
    await put(`/vhosts/${segment(form.name)}`, {
      description: form.description, tags: form.tags, default_queue_type: form.type,
    });
    again();
    return `Vhost '${form.name}' is there.`;
  };
  return html`<${Section} title="Virtual hosts"><${Trouble} error=${error} />
    <${Table} label="Virtual hosts" rows=${vhosts || []} columns=${[
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>
        ${row.protected_from_deletion && html`<small>protected</small>`}` },
    { title: "Description", show: (row) => html`${row.description} ${(row.tags || []).map((one) => html`<${Badge}>${one}<//>`)}` },
    { title: "Default queue type", show: (row) => row.default_queue_type },
    { title: "Ready", kind: "number", show: (row) => count(row.messages_ready) },
    { title: "Unacked", kind: "number", show: (row) => count(row.messages_unacknowledged) },
    { title: "In/s", kind: "number", show: (row) => rate(row.message_stats?.publish_details?.rate ?? 0) },
    { title: "Out/s", kind: "number", show: (row) => rate(row.message_stats?.deliver_get_details?.rate ?? 0) },
    { title: "From, to clients", kind: "number", show: (row) => html`${bytes(row.recv_oct_details?.rate ?? 0)}/s
        <br />${bytes(row.send_oct_details?.rate ?? 0)}/s` },
    ...ifMay(admin, { title: "Users", show: (row) => (permissions || []).filter((one) => one.vhost === row.name)
      .map((one) => html`<${Badge}>${one.user}<//>`) }),
    { title: "Tracing", show: (row) => html`${row.tracing ? html`<${Badge} kind="warn">on<//>` : "off"}
        ${admin && html`<${Do} kind="small" action=${() => put(`/vhosts/${segment(row.name)}`, { tracing: !row.tracing })}>
        ${row.tracing ? "Stop" : "Start"}<//>`}` },
    ...ifMay(admin, { title: "", show: (row) => html`<button type="button" class="small" onClick=${() => setDraft(row)}>Edit</button>
        <${Do} kind="small" title="Against being deleted" action=${() => protect(row)}>
        ${row.protected_from_deletion ? "Unprotect" : "Protect"}<//> <${Do} kind="small danger" disabled=${row.protected_from_deletion}
        title=${row.protected_from_deletion ? "Protected from deletion" : undefined}
        action=${() => remove(`/vhosts/${segment(row.name)}`)}
        confirm=${`Delete vhost '${row.name}' with all its queues and ${plural(row.messages || 0, "message")}?`}>Delete<//>` }),
  ]} />
    ${admin && html`<details class="add" open=${Boolean(draft)} key=${draft?.name}>
      <summary>Add or change a virtual host</summary><${Form} label="Save vhost" kind=${draft ? "inline" : ""} action=${add}>
      <div class="row"><${Field} label="Name" name="name" defaultValue=${draft?.name} required />
      <${Field} label="Description" name="description" defaultValue=${draft?.description} />
      <${Field} label="Tags" name="tags" defaultValue=${draft?.tags.join(", ")} />
      <${Select} label="Default queue type" name="type" value=${draft?.default_queue_type} options=${["classic", "quorum", "stream"]} /></div><//>
    </details>`}<//>`;
}

function Policies({ kind, title }) {
  const [policies, error, again] = useLive(`/${kind}`, 5);
  const allowed = useMay()(kind === "policies" ? "policymaker" : "administrator");
  const [draft, setDraft] = useState(null);
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
    ...ifMay(allowed, { title: "", show: (row) => html`<button type="button" class="small"
        onClick=${() => setDraft(row)}>Edit</button> <${Do} kind="small danger"
        action=${async () => { await remove(`/${kind}/${segment(row.vhost)}/${segment(row.name)}`); again(); }}
        confirm=${`Remove '${row.name}'?`}>Remove<//>` }),
  ]} />` : html`<${Empty}>None are set.<//>`}
    ${allowed && html`<details class="add" open=${Boolean(draft)} key=${JSON.stringify(draft)}>
      <summary>Add or change one</summary><${Form} label="Set" action=${add}>
      <div class="row"><${VhostChoice} chosen=${draft?.vhost} />
      <${Field} label="Name" name="name" defaultValue=${draft?.name} required />
      <${Field} label="Pattern of names" name="pattern" placeholder="^orders\\." defaultValue=${draft?.pattern} required />
      <${Select} label="Applies to" name="target" value=${draft?.["apply-to"]}
        options=${kind === "policies" ? targets : targets.filter((one) => one !== "exchanges" && one !== "all")} />
      <${Field} label="Priority" name="priority" type="number" defaultValue=${draft?.priority ?? "0"} /></div>
      <${Field} label="Definition (JSON)" name="definition" required defaultValue=${draft && JSON.stringify(draft.definition)}
        placeholder='{"max-length": 10000, "dead-letter-exchange": "dead"}' />
      <${Hints} field="definition" known=${POLICY_KEYS} /><//></details>`}<//>`;
}

/** What can be limited, and what each number means. */
const LIMITS = {
  vhost: { "max-connections": "connections to it", "max-queues": "queues in it" },
  user: { "max-connections": "connections of it", "max-channels": "channels of it" },
};

function Limits() {
  const admin = useMay()("administrator");
  const [kind, setKind] = useState("vhost");
  const [names] = useLive(admin ? `/${kind}s` : "", 15);
  const [vhosts, error, again] = useLive("/vhost-limits", 5);
  const [users] = useLive("/user-limits", 5);
  const rows = [
    ...(vhosts || []).flatMap((one) => Object.entries(one.value).map(([name, limit]) => ({ kind: "vhost", of: one.vhost, name, limit }))),
    ...(users || []).flatMap((one) => Object.entries(one.value).map(([name, limit]) => ({ kind: "user", of: one.user, name, limit }))),
  ];
  const set = async (form) => {
    await put(`/${form.kind}-limits/${segment(form.of)}/${form.name}`, { value: Number(form.limit) });
    again();
    return `${form.kind} '${form.of}': ${form.name} is ${form.limit < 0 ? "not limited" : form.limit}.`;
  };
  return html`<${Section} title="Limits"><${Trouble} error=${error} />
    ${rows.length ? html`<${Table} label="Limits" rows=${rows} columns=${[
    { title: "Of", show: (row) => html`<span class="muted">${row.kind}</span> <span class="name">${row.of}</span>` },
    { title: "Limit", show: (row) => html`<code>${row.name}</code> <small>${LIMITS[row.kind]?.[row.name]}</small>` },
    { title: "At most", kind: "number", show: (row) => (row.limit < 0 ? "no limit" : count(row.limit)) },
    ...ifMay(admin, { title: "", show: (row) => html`<${Do} kind="small"
        confirm=${`Lift ${row.name} of ${row.kind} '${row.of}'?`} action=${async () => {
    await remove(`/${row.kind}-limits/${segment(row.of)}/${row.name}`);
    again();
  }}>Lift<//>` }),
  ]} />` : html`<${Empty}>No vhost and no user is limited.<//>`}
    ${admin && html`<details class="add"><summary>Set a limit</summary><${Form} label="Set limit" action=${set}>
      <div class="row"><${Select} label="Of a" name="kind" options=${["vhost", "user"]} value=${kind}
        onChange=${(event) => setKind(event.target.value)} />
      <${Select} label="Named" name="of" options=${(names || []).map((one) => one.name)} />
      <${Select} label="Limit" name="name" options=${Object.entries(LIMITS[kind]).map(([name, what]) => [name, `${name}: ${what}`])} />
      <${Field} label="At most" name="limit" type="number" min="-1" step="1" hint="0 lets nobody in, -1 is no limit" required />
      </div><//></details>`}<//>`;
}

const ACTIONS = { create: "good", update: "warn", keep: "bad" };
/** So many changes are listed one by one. */
const LISTED = 500;

/** What an import would do, before it is done. */
function Plan({ plan, bring, leave }) {
  const counts = Object.entries(plan.counts).flatMap(([section, each]) => Object.entries(each)
    .filter(([action]) => action !== "skip").map(([action, n]) => [`${section.replace("_", " ")}, ${action}`, count(n)]));
  return html`<${Section} title=${`What ${plan.file} would change`}>
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

function Definitions() {
  const [said, setSaid] = useState("");
  const [plan, setPlan] = useState(null);
  const save = async () => {
    download(`definitions-${new Date().toISOString().slice(0, 10)}.json`, "application/json",
      JSON.stringify(await get("/definitions"), null, 2));
    setSaid("Saved.");
  };
  const compare = async (form) => {
    let found;
    try {
      found = parse(await form.file.text());
    } catch (error) {
      throw new Error(`${form.file.name}: not JSON (${error.message})`);
    }
    setPlan({ file: form.file.name, found, ...(await post("/definitions?dry_run=true", found)) });
    setSaid("");
  };
  const bring = async () => {
    await post("/definitions", plan.found);
    setSaid(`Imported ${plan.file}.`);
    setPlan(null);
  };
  return html`<${Section} title="Definitions">
    <p>Users, vhosts, permissions, policies, exchanges, queues and bindings, in RabbitMQ's format.</p>
    <${Do} action=${save}>Save to a file<//> <span class="said" role="status">${said}</span>
    <${Form} label="Compare with a file" kind="inline" action=${compare}><${Field} label="File" name="file" type="file"
      accept="application/json,.json" hint="Nothing is changed before you have seen what would be." required /><//><//>
    ${plan && html`<${Plan} plan=${plan} bring=${bring} leave=${() => setPlan(null)} />`}`;
}

/** What RabbitMQ calls feature flags and deprecated features, and the name of all this. */
function Features() {
  const admin = useMay()("administrator");
  const [flags, error] = useLive("/feature-flags", 15);
  const [deprecated] = useLive("/deprecated-features", 15);
  const [used] = useLive("/deprecated-features/used", 15);
  const [cluster, , again] = useLive("/cluster-name", 15);
  const name = async (form) => {
    await put("/cluster-name", { name: form.name });
    again();
    return `It is called '${form.name}' from now on.`;
  };
  const isUsed = (row) => (used || []).some((one) => one.name === row.name);
  return html`<${Section} title="Name of the cluster">
      ${admin ? html`<${Form} label="Rename" kind="inline" action=${name} key=${cluster ? "known" : "asked"}>
        <${Field} label="Name" name="name" defaultValue=${cluster?.name} required /><//>` : cluster?.name}<//>
    <${Section} title="Feature flags"><${Trouble} error=${error} />
      <${Table} label="Feature flags" rows=${flags || []} columns=${[
    { title: "Name", show: (row) => html`<code>${row.name}</code>` },
    { title: "State", show: (row) => html`<${Badge} kind=${row.state === "enabled" ? "good" : ""}>${row.state}<//>` },
    { title: "Stability", show: (row) => row.stability }, { title: "What it is", show: (row) => row.desc }]} /><//>
    <${Section} title="Deprecated features">
      <${Table} label="Deprecated features" rows=${deprecated || []} columns=${[
    { title: "Name", show: (row) => html`<code>${row.name}</code>` },
    { title: "In use", show: (row) => (isUsed(row) ? html`<${Badge} kind="warn">yes<//>` : "no") },
    { title: "Phase", show: (row) => row.deprecation_phase.replaceAll("_", " ") }, { title: "What it is", show: (row) => row.desc }]} /><//>`;
}

export function Admin({ words, me }) {
  const parts = PARTS.filter(([, , tag]) => may(me, tag));
  const chosen = parts.some(([name]) => name === words[0]) ? words[0] : parts[0][0];
  const part = {
    users: html`<${Users} me=${me} />`,
    vhosts: html`<${Vhosts} />`,
    policies: html`<${Policies} kind="policies" title="Policies" key="p" />`,
    "operator-policies": html`<${Policies} kind="operator-policies" title="Operator policies" key="o" />`,
    limits: html`<${Limits} />`,
    definitions: html`<${Definitions} />`,
    features: html`<${Features} />`,
  }[chosen];
  return html`<nav class="tabs" aria-label="Administration">${parts.map(([name, title]) => html`
    <a aria-current=${name === chosen ? "page" : undefined} href=${link("admin", name)}>${title}</a>`)}</nav>${part}`;
}

