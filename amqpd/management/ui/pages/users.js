// Users: who may log in, with which tags, and what each of them may do.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { go, link } from "../route.js";
import { Do, Empty, Facts, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { Search } from "../lists.js";
import { useMay } from "../me.js";
import { count, plural, time } from "../format.js";
import { State } from "./connections.js";
import { VhostChoice } from "./shared.js";
import { LimitsOf, Permissions, Tags, TopicPermissions } from "./rights.js";

const TAGS = "administrator, monitoring, policymaker, management, impersonator";
/** What each tag lets its bearer do, for people who see it on a user. */
const MEANS = {
  administrator: "everything, users and vhosts too", monitoring: "sees everything, changes nothing that is not its own",
  policymaker: "policies and parameters of its vhosts", management: "this page, for its own vhosts",
  impersonator: "publishes with the user ids of others",
};
const UNTAGGED = "It cannot log in here: that needs one of the tags administrator, monitoring, policymaker, management.";
const hasPassword = (row) => Boolean(row.password_hash);
/** How a user who is there already stays able to log in. */
const secretOf = (row) => ({ password_hash: row.password_hash, hashing_algorithm: row.hashing_algorithm });

export function Users({ me }) {
  const [draft, setDraft] = useState(null);
  const [text, search] = useState("");
  const [users, error, again] = useLive("/users", 5);
  const [permissions] = useLive("/permissions", 5);
  const add = async (form) => {
    const known = (users || []).find((one) => one.name === form.name);
    if (!form.password && !known && form.secret !== "none") throw new Error(`'${form.name}' is new: it needs a password.`);
    const secret = form.secret === "none" ? { password_hash: "" } : form.password ? { password: form.password } : secretOf(known);
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
  const found = (users || []).filter((one) => one.name.toLowerCase().includes(text.toLowerCase()));
  return html`<${Section} title="Users"><${Trouble} error=${error} />
    <div class="finder"><${Search} value=${text} noun="users" onSearch=${search} />
      ${users && html`<span class="found" role="status">${plural(found.length, "user")}</span>`}</div>
    <${Table} label="Users" rows=${found.map((row) => ({ ...row, key: row.name }))} href=${(row) => link("users", row.name)} columns=${[
    { title: "Name", leads: true, show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Tags", show: (row) => html`<${Tags} tags=${row.tags} />` },
    { title: "Password", show: (row) => (hasPassword(row) ? "yes" : "none") },
    { title: "May enter", show: (row) => (of(row.name).length ? of(row.name).map((one) => html`<a class="badge"
        href=${link("vhosts", one.vhost)} title=${`configure ${one.configure || "nothing"}, write ${one.write || "nothing"}, read ${one.read || "nothing"}`}
        >${one.vhost}</a>`) : html`<span class="muted">no vhost</span>`) },
    { title: "", show: (row) => html`<button type="button" class="small" onClick=${() => setDraft(row)}>Edit</button>
        <${Do} kind="small danger" disabled=${row.name === me.name}
        title=${row.name === me.name ? "That is you" : undefined} typed=${row.name} action=${() => remove(`/users/${segment(row.name)}`)}
        confirm=${[`Delete user '${row.name}'?`, `Its connections are closed, and its permissions in ${plural(of(row.name).length, "vhost")} go.`]}>Delete<//>` },
  ]} />
    <details class="add" open=${Boolean(draft)} key=${draft?.name}>
      <summary>Add or change a user</summary><${Form} label="Save user" kind=${draft ? "inline" : ""} action=${add}>
      <div class="row"><${Field} label="Name" name="name" defaultValue=${draft?.name} required />
      <${Field} label="Password" name="password" type="password" autocomplete="new-password"
        hint="empty: stays as it is" />
      <${Select} label="Login" name="secret" options=${[["typed", "as typed"], ["none", "only by certificate"]]} />
      <${Field} label="Tags" name="tags" placeholder="administrator, monitoring" defaultValue=${draft?.tags.join(", ")}
        hint=${TAGS} /></div><//></details>
    <details class="add"><summary>Give permissions</summary><${Form} label="Give permissions" action=${grant}>
      <div class="row"><${Select} label="User" name="user" options=${(users || []).map((one) => one.name)} />
      <${VhostChoice} /><${Field} label="Configure" name="configure" defaultValue=".*" />
      <${Field} label="Write" name="write" defaultValue=".*" /><${Field} label="Read" name="read" defaultValue=".*" /></div><//>
    </details><//>
    <${TopicPermissions} />`;
}

function Change({ row, again }) {
  const path = `/users/${segment(row.name)}`;
  const tags = async (form) => {
    await put(path, { ...secretOf(row), tags: form.tags });
    again();
    return `Its tags are changed.`;
  };
  const password = async (form) => {
    if (form.password !== form.repeated) throw new Error("The two are not the same.");
    await put(path, { password: form.password, tags: row.tags.join(",") });
    again();
    return "The password is changed.";
  };
  return html`<${Section} title="Change">
    <${Form} label="Set tags" kind="inline" action=${tags}>
      <${Field} label="Tags" name="tags" defaultValue=${row.tags.join(", ")} hint=${TAGS} /><//>
    <${Form} label="Set password" action=${password}><div class="row">
      <${Field} label="New password" name="password" type="password" autocomplete="new-password" required />
      <${Field} label="Once more" name="repeated" type="password" autocomplete="new-password" required /></div><//>
  <//>`;
}

const MOST = 100;
/** Its connections as they are now. */
function Connected({ name }) {
  const [found] = useLive(`/connections/username/${segment(name)}?${new URLSearchParams({
    columns: "name,user_provided_name,vhost,state,channels,connected_at" })}`, 5);
  return found && html`<${Section} title="Connections">${found.length ? html`<${Table} label="Connections"
    rows=${found.slice(0, MOST).map((row) => ({ ...row, key: row.name }))} href=${(row) => link("connections", row.name)} columns=${[
    { title: "Name", leads: true, show: (row) => html`<span class="name">${row.user_provided_name || row.name}</span>
        ${row.user_provided_name && html`<small>${row.name}</small>`}` },
    { title: "Vhost", show: (row) => row.vhost }, { title: "State", show: (row) => html`<${State} state=${row.state} />` },
    { title: "Channels", kind: "number", show: (row) => count(row.channels) },
    { title: "Since", show: (row) => time(row.connected_at) },
  ]} />${found.length > MOST && html`<p class="muted">The first ${MOST} of ${count(found.length)}.</p>`}`
    : html`<${Empty}>None is open.<//>`}<//>`;
}

export function OneUser({ name, me }) {
  const admin = useMay()("administrator");
  const [row, error, again] = useLive(admin ? `/users/${segment(name)}` : "", 5);
  const [permissions] = useLive(admin && row ? `/users/${segment(name)}/permissions` : "", 5);
  if (!admin) return html`<h1 class="title">${name}</h1><${Empty}>Only administrators see and change users.<//>`;
  if (!row) {
    return error && html`<h1 class="title">${name}</h1><${Empty}>There is no user '${name}'.
      <a href=${link("admin", "users")}>All users</a><//>`;
  }
  const own = row.name === me.name;
  const path = `/users/${segment(name)}`;
  const drop = async () => { await remove(path); go("admin", "users"); };
  return html`<p class="trail"><a href=${link("admin", "users")}>Users</a> ›</p><h1 class="title">${row.name}</h1>
    <${Trouble} error=${error} />
    <${Section} title="Details"><${Facts} rows=${[
    ["Tags", row.tags.length ? row.tags.map((tag) => html`<div><${Tags} tags=${[tag]} /> <small>${MEANS[tag]}</small></div>`) : UNTAGGED],
    ["Password", hasPassword(row) ? "yes" : "none: only by certificate, or by another backend"],
    ["Kept as", hasPassword(row) && row.hashing_algorithm.replace("rabbit_password_hashing_", "")],
  ]} /><//>
    <${Permissions} of="user" name=${name} />
    <${TopicPermissions} of="user" name=${name} />
    <${LimitsOf} of="user" name=${name} admin />
    <${Change} row=${row} again=${again} />
    <${Connected} name=${name} />
    <${Section} title="Danger zone">${own ? html`<${Empty}>That is you: another administrator can delete you.<//>`
    : html`<dl class="dangers">
      ${hasPassword(row) && html`<dt><${Do} confirm=${[`Take the password of '${row.name}' away?`,
    "It can log in only with a certificate then, or by another backend."]}
        action=${async () => { await put(path, { password_hash: "", tags: row.tags.join(",") }); again(); }}>Take its password away<//></dt>
      <dd>It can log in only with a certificate then, or by another backend.</dd>`}
      <dt><${Do} kind="danger" action=${drop} typed=${row.name}
      confirm=${[`Delete user '${row.name}'?`, `Its connections are closed, and its permissions in ${plural(permissions?.length || 0, "vhost")} go.`]}>
      Delete this user<//></dt><dd>Its connections are closed and its permissions go. Queues that it has made stay.</dd></dl>`}<//>`;
}
