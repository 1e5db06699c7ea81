// Administration: its parts; limits and features are here, the others have files of their own.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Empty, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { may, useMay } from "../me.js";
import { count } from "../format.js";
import { Definitions } from "./definitions.js";
import { Policies } from "./policies.js";
import { LIMITS } from "./rights.js";
import { Users } from "./users.js";
import { Vhosts } from "./vhosts.js";

/** Parts, their titles, and who may see them. */
const PARTS = [
  ["users", "Users", "administrator"], ["vhosts", "Virtual hosts"], ["policies", "Policies"],
  ["operator-policies", "Operator policies"], ["limits", "Limits"],
  ["definitions", "Definitions", "administrator"], ["features", "Features", "monitoring"],
];
/** A column of buttons, for those who may press them. */
const ifMay = (allowed, column) => (allowed ? [column] : []);

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
    { title: "Of", show: (row) => html`<span class="muted">${row.kind}</span>${" "}
        <a class="name" href=${link(`${row.kind}s`, row.of)}>${row.of}</a>` },
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
