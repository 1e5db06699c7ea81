// What users may do in vhosts, on routing keys, and how much of it: on the pages of both.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Empty, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { count } from "../format.js";

const RIGHTS = ["configure", "write", "read"];
const WORDS = { configure: "Configure", write: "Write", read: "Read" };
/** What can be chosen where the other one is known. */
const OTHER = { user: ["vhost", "Vhost", "vhosts"], vhost: ["user", "User", "users"] };
/** A pattern of names; an empty one is of no name. */
const Pattern = ({ text }) => (text ? html`<code>${text}</code>` : html`<span class="muted">nothing</span>`);
const To = ({ kind, name }) => html`<a class="name" href=${link(`${kind}s`, name)}>${name}</a>`;

/** Names of all users or all vhosts, for a choice. */
function useNames(kind) {
  const [all] = useLive(`/${kind}?columns=name`, 15);
  return (all || []).map((one) => one.name);
}

/** Permissions of one user in all vhosts, or of all users in one vhost: `of` is "user" or "vhost". */
export function Permissions({ of, name }) {
  const [other, title, kind] = OTHER[of];
  const names = useNames(kind);
  const [rows, error, again] = useLive(`/${of}s/${segment(name)}/permissions`, 5);
  const [draft, setDraft] = useState(null);
  const path = (one) => `/permissions/${segment(one.vhost)}/${segment(one.user)}`;
  const set = async (form) => {
    const it = { [of]: name, [other]: form[other] };
    await put(path(it), Object.fromEntries(RIGHTS.map((right) => [right, form[right]])));
    setDraft(null);
    again();
    return `'${it.user}' may enter '${it.vhost}'.`;
  };
  return html`<${Section} title="Permissions"><${Trouble} error=${error} />
    ${rows?.length ? html`<${Table} label="Permissions" rows=${rows.map((row) => ({ ...row, key: row[other] }))} columns=${[
    { title, show: (row) => html`<${To} kind=${other} name=${row[other]} />` },
    ...RIGHTS.map((right) => ({ title: WORDS[right], show: (row) => html`<${Pattern} text=${row[right]} />` })),
    { title: "", show: (row) => html`<button type="button" class="small" onClick=${() => setDraft(row)}>Change</button>
      <${Do} kind="small danger" confirm=${[`Revoke the permissions of '${row.user}' in '${row.vhost}'?`,
    "Its consumers there end, and what it does there is refused from now on."]}
        action=${async () => { await remove(path(row)); again(); }}>Revoke<//>` },
  ]} />` : rows && html`<${Empty}>${of === "user" ? "Without permissions this user can log in, and can enter no vhost."
    : "Nobody may enter this vhost."}<//>`}
    <details class="add" open=${Boolean(draft)} key=${draft?.[other]}><summary>Give permissions</summary>
      <p class="muted">Regular expressions over whole names of queues and exchanges, begun and ended by <code>^</code> and
        <code>$</code> if parts are not to count. Empty: nothing.</p>
      <${Form} label="Give permissions" action=${set} kind=${draft ? "inline" : ""}><div class="row">
      <${Select} label=${title} name=${other} value=${draft?.[other]} options=${names} />
      ${RIGHTS.map((right) => html`<${Field} label=${WORDS[right]} name=${right} defaultValue=${draft ? draft[right] : ".*"} />`)}
      </div><//></details><//>`;
}

/** Limits on routing keys, beyond permissions: of one user, of one vhost, or of all. */
export function TopicPermissions({ of, name }) {
  const [rows, error, again] = useLive(of ? `/${of}s/${segment(name)}/topic-permissions` : "/topic-permissions", 5);
  const users = useNames("users");
  const vhosts = useNames("vhosts");
  const path = (one) => `/topic-permissions/${segment(one.vhost)}/${segment(one.user)}`;
  const set = async (form) => {
    const it = { ...form, ...(of ? { [of]: name } : {}) };
    await put(path(it), { exchange: it.exchange, write: it.write, read: it.read });
    again();
    return `'${it.user}' is limited on '${it.exchange || "(default)"}' in '${it.vhost}'.`;
  };
  const columns = [
    { title: "User", show: (row) => html`<${To} kind="user" name=${row.user} />` },
    { title: "Vhost", show: (row) => html`<${To} kind="vhost" name=${row.vhost} />` },
  ].filter((one) => one.title.toLowerCase() !== of);
  return html`<${Section} title="Topic permissions"><${Trouble} error=${error} />
    ${rows?.length ? html`<${Table} label="Topic permissions" rows=${rows} columns=${[
    ...columns,
    { title: "Exchange", show: (row) => row.exchange || "(default)" },
    { title: "Keys to write", show: (row) => html`<${Pattern} text=${row.write} />` },
    { title: "Keys to read", show: (row) => html`<${Pattern} text=${row.read} />` },
    { title: "", show: (row) => html`<${Do} kind="small" confirm=${[`Lift the limits of '${row.user}' on '${row.exchange || "(default)"}'?`,
    `In vhost '${row.vhost}' it may use all routing keys there, as its permissions allow.`]}
        action=${async () => { await remove(`${path(row)}/${segment(row.exchange || "amq.default")}`); again(); }}>Lift<//>` },
  ]} />` : rows && html`<${Empty}>No routing keys are limited.<//>`}
    <details class="add"><summary>Limit routing keys</summary><${Form} label="Limit routing keys" action=${set}><div class="row">
      ${of !== "user" && html`<${Select} label="User" name="user" options=${users} />`}
      ${of !== "vhost" && html`<${Select} label="Vhost" name="vhost" options=${vhosts} />`}
      <${Field} label="Exchange" name="exchange" defaultValue="amq.topic" />
      <${Field} label="Keys to write" name="write" defaultValue=".*" />
      <${Field} label="Keys to read" name="read" defaultValue=".*" /></div><//></details><//>`;
}

/** What can be limited, and what each number means. */
export const LIMITS = {
  vhost: { "max-connections": "connections to it", "max-queues": "queues in it" },
  user: { "max-connections": "connections of it", "max-channels": "channels of it" },
};

/** How much there may be of one user or in one vhost; `admin`: whether it can be changed. */
export function LimitsOf({ of, name, admin }) {
  const path = `/${of}-limits/${segment(name)}`;
  const [found, error, again] = useLive(path, 5);
  const rows = (found || []).flatMap((one) => Object.entries(one.value).map(([limit, most]) => ({ limit, most, key: limit })));
  const set = async (form) => {
    await put(`${path}/${form.name}`, { value: Number(form.limit) });
    again();
    return `${form.name} is ${form.limit < 0 ? "not limited" : count(Number(form.limit))}.`;
  };
  return html`<${Section} title="Limits"><${Trouble} error=${error} />
    ${rows.length ? html`<${Table} label="Limits" rows=${rows} columns=${[
    { title: "Limit", show: (row) => html`<code>${row.limit}</code> <small>${LIMITS[of][row.limit]}</small>` },
    { title: "At most", kind: "number", show: (row) => (row.most < 0 ? "no limit" : count(row.most)) },
    ...(admin ? [{ title: "", show: (row) => html`<${Do} kind="small" confirm=${`Lift ${row.limit} of ${of} '${name}'?`}
        action=${async () => { await remove(`${path}/${row.limit}`); again(); }}>Lift<//>` }] : []),
  ]} />` : found && html`<${Empty}>Nothing is limited.<//>`}
    ${admin && html`<details class="add"><summary>Set a limit</summary><${Form} label="Set limit" action=${set}><div class="row">
      <${Select} label="Limit" name="name" options=${Object.entries(LIMITS[of]).map(([one, what]) => [one, `${one}: ${what}`])} />
      <${Field} label="At most" name="limit" type="number" min="-1" step="1" hint="0 lets nobody in, -1 is no limit" required />
      </div><//></details>`}<//>`;
}

export const Tags = ({ tags }) => (tags || []).map((tag) => html`<${Badge}>${tag}<//>`);
