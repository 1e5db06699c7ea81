// Policies and operator policies, with a form that knows what can be set.
import { html, useState } from "../lib.js";
import { put, remove, segment, useLive } from "../api.js";
import { Do, Empty, Field, Form, Section, Select, Table, Trouble } from "../widgets.js";
import { useMay } from "../me.js";
import { bytes, duration, plural, value } from "../format.js";
import { parse } from "../exact.js";
import { APPLIES, KEYS } from "./keys.js";
import { VhostChoice, parsed } from "./shared.js";

/** A column of buttons, for those who may press them. */
const ifMay = (allowed, column) => (allowed ? [column] : []);
const TARGETS = { policies: Object.keys(APPLIES), "operator-policies": ["queues", "classic_queues", "quorum_queues", "streams"] };
const WORDS = { classic_queues: "classic queues", quorum_queues: "quorum queues", all: "queues and exchanges" };

/** What a number is, for people. */
const inWords = (kind, one) => (typeof one !== "number" || one < 0 ? "" : kind === "ms" ? duration(one) : kind === "bytes" ? bytes(one) : "");

/** One key with a field for its value. */
function Key({ name, one, change, drop }) {
  const known = KEYS.find((each) => each.key === name);
  const words = Array.isArray(known?.kind);
  const isNumber = ["ms", "bytes", "number"].includes(known?.kind);
  const said = known ? [known.means, inWords(known.kind, one)].filter(Boolean).join(": ") : "";
  return html`<div class="key"><label class="field"><span><code>${name}</code></span>
    ${words ? html`<select value=${one} onChange=${(event) => change(event.target.value)}>
      ${known.kind.map((word) => html`<option value=${word}>${word}</option>`)}</select>`
    : html`<input type=${isNumber ? "number" : "text"} step="any" value=${typeof one === "string" ? one : value(one)}
      autocomplete="off" spellcheck=${false} onInput=${(event) => change(isNumber ? Number(event.target.value) : event.target.value)} />`}
    ${said && html`<small>${said}</small>`}</label>
    <button type="button" class="small" onClick=${drop} aria-label=${`Leave out ${name}`}>Leave out</button></div>`;
}

/** What a policy sets: key by key, and the same as JSON. Keys that are not known stay as they are typed. */
function Definition({ text, setText, target, operator }) {
  let now = null;
  try {
    now = text.trim() ? parse(text) : {};
  } catch { /* it is being typed */ }
  if (now === null || typeof now !== "object" || Array.isArray(now)) now = null;
  const write = (next) => setText(Object.keys(next).length ? JSON.stringify(next) : "");
  const fits = KEYS.filter((one) => (!operator || one.operator) && [...one.of].some((letter) => APPLIES[target].includes(letter)));
  const left = fits.filter((one) => now && !(one.key in now));
  const add = (event) => {
    const one = fits.find((each) => each.key === event.target.value);
    event.target.value = "";
    if (one) write({ ...now, [one.key]: one.first });
  };
  const dropped = (name) => Object.fromEntries(Object.entries(now).filter(([key]) => key !== name));
  const strange = Object.keys(now || {}).filter((key) => KEYS.some((one) => one.key === key) && !fits.some((one) => one.key === key));
  return html`${now && Object.entries(now).filter(([, one]) => typeof one !== "object" || one === null).map(([name, one]) => html`
      <${Key} key=${name} name=${name} one=${one} change=${(next) => write({ ...now, [name]: next })} drop=${() => write(dropped(name))} />`)}
    ${now && left.length > 0 && html`<label class="field"><span>Add a key</span><select onChange=${add}>
      <option value="">choose what is to be set…</option>
      ${left.map((one) => html`<option value=${one.key}>${one.key}: ${one.means}</option>`)}</select></label>`}
    ${strange.length > 0 && html`<p class="why" role="note">Without effect on what it applies to: <code>${strange.join(", ")}</code></p>`}
    <${Field} label="Definition (JSON)"><input name="definition" value=${text} required autocomplete="off" spellcheck=${false}
      placeholder='{"max-length": 10000, "dead-letter-exchange": "dead"}' onInput=${(event) => setText(event.target.value)} /><//>
    ${!now && html`<p class="muted" role="status">That is no JSON object yet.</p>`}`;
}

function PolicyForm({ kind, draft, done }) {
  const [text, setText] = useState(draft ? JSON.stringify(draft.definition) : "");
  const [target, setTarget] = useState(draft?.["apply-to"] || TARGETS[kind][0]);
  const add = async (form) => {
    await put(`/${kind}/${segment(form.vhost)}/${segment(form.name)}`, {
      pattern: form.pattern, "apply-to": form.target, priority: Number(form.priority) || 0,
      definition: parsed(form.definition, "Definition"),
    });
    if (!draft) setText("");
    done();
    return `'${form.name}' is in force.`;
  };
  return html`<${Form} label="Set" action=${add} kind=${draft ? "inline" : ""}>
    <div class="row"><${VhostChoice} chosen=${draft?.vhost} own />
    <${Field} label="Name" name="name" defaultValue=${draft?.name} required />
    <${Field} label="Pattern of names" name="pattern" placeholder="^orders\\." defaultValue=${draft?.pattern} required />
    <${Select} label="Applies to" name="target" value=${target} onChange=${(event) => setTarget(event.target.value)}
      options=${TARGETS[kind].map((one) => [one, WORDS[one] || one])} />
    <${Field} label="Priority" name="priority" type="number" defaultValue=${draft?.priority ?? "0"} /></div>
    <${Definition} text=${text} setText=${setText} target=${target} operator=${kind !== "policies"} /><//>`;
}

const TEACHES = {
  policies: html`None are set. A policy sets arguments of all queues or exchanges whose names match a pattern, and can be changed at
    any time: <code>amqpd policy set limits '^orders' '{"max-length": 10000}'</code>`,
  "operator-policies": "None are set. An operator policy bounds what queues and policies of users may ask for: of two numbers the lower one counts.",
};

export function Policies({ kind, title }) {
  const [policies, error, again] = useLive(`/${kind}`, 5);
  const allowed = useMay()(kind === "policies" ? "policymaker" : "administrator");
  const [draft, setDraft] = useState(null);
  return html`<${Section} title=${title}><${Trouble} error=${error} />
    ${policies?.length ? html`<${Table} label=${title} rows=${policies.map((row) => ({ ...row, key: `${row.vhost} ${row.name}` }))} columns=${[
    { title: "Vhost", show: (row) => row.vhost },
    { title: "Name", show: (row) => html`<span class="name">${row.name}</span>` },
    { title: "Pattern", show: (row) => html`<code>${row.pattern}</code>` },
    { title: "Applies to", show: (row) => WORDS[row["apply-to"]] || row["apply-to"] },
    { title: "Definition", show: (row) => Object.entries(row.definition).map(([key, one]) => html`<div><code>${key}</code>: ${value(one)}</div>`) },
    { title: "Priority", kind: "number", show: (row) => row.priority },
    ...ifMay(allowed, { title: "", show: (row) => html`<button type="button" class="small"
        onClick=${() => setDraft(row)}>Edit</button> <${Do} kind="small danger"
        action=${async () => { await remove(`/${kind}/${segment(row.vhost)}/${segment(row.name)}`); again(); }}
        confirm=${[`Remove the policy '${row.name}' of vhost '${row.vhost}'?`,
    `What it set (${plural(Object.keys(row.definition).length, "key")}) is in force no more for what matches ${row.pattern}.`]}>Remove<//>` }),
  ]} />` : policies && html`<${Empty}>${TEACHES[kind]}<//>`}
    ${allowed && html`<details class="add" open=${Boolean(draft)} key=${draft ? `${draft.vhost} ${draft.name}` : ""}>
      <summary>Add or change one</summary><${PolicyForm} kind=${kind} draft=${draft} done=${again} /></details>`}<//>`;
}
