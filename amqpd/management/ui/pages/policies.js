// Policies and operator policies.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { Do, Empty, Field, Form, Hints, Section, Select, Table, Trouble } from "../widgets.js";
import { useMay } from "../me.js";
import { value } from "../format.js";
import { POLICY_KEYS, VhostChoice, parsed } from "./shared.js";

/** A column of buttons, for those who may press them. */
const ifMay = (allowed, column) => (allowed ? [column] : []);

export function Policies({ kind, title }) {
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
