// Alarms: memory, disk, certificates, and what looked like an attack.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { Badge, Empty, Facts, Section, Table, Trouble } from "../widgets.js";
import { bytes, duration, time } from "../format.js";
import { Meter } from "../meter.js";

const WORDS = {
  memory: {
    title: "Memory", what: "resident memory of the broker",
    over: "Publishers are blocked until the broker needs less memory. Consumers go on: let them catch up, or raise the limit.",
    comes: (one) => `comes above ${bytes(one.limit)}`, goes: (one) => `goes below ${bytes(one.clears_at)}`,
    part: (one) => one.now / one.limit,
  },
  disk: {
    title: "Disk", what: "free space where the data are",
    over: "Publishers are blocked until there is more free space. Consumers go on: let them catch up, make room, or lower the limit.",
    comes: (one) => `comes below ${bytes(one.limit)}`, goes: (one) => `goes above ${bytes(one.clears_at)}`,
    part: (one) => one.limit / one.now,
  },
};

function Resource({ one }) {
  const words = WORDS[one.source];
  return html`<${Section} title=${words.title} aside=${one.alarm
    ? html`<${Badge} kind="bad">alarm<//>` : html`<${Badge} kind="good">all right<//>`}>
    ${one.alarm && html`<p class="why bad" role="note">${words.over}</p>`}
    <div class="gauges"><${Meter} label=${words.what} part=${words.part(one)} bad=${one.alarm}
      text=${`${bytes(one.now)}; the alarm ${words.comes(one)} and ${words.goes(one)}`} /></div>
    <p class="muted">Set by ${Object.entries(one.settings).filter(([, value]) => value !== 0).map(([name, value], at) => html`
      ${at > 0 && ", "}<code>${name} = ${value}</code>${name.endsWith("_bytes") && ` (${bytes(value)})`}`)};
      others are <code>${Object.entries(one.settings).filter(([, value]) => value === 0).map(([name]) => name).join(", ")}</code>.
      They can be changed without a restart (SIGHUP).</p><//>`;
}

export function Alerts({ alerts }) {
  if (!alerts.length) return html`<${Empty}>Nothing looked like an attack since the broker started.<//>`;
  return html`<${Table} label="Alerts" rows=${alerts} columns=${[
    { title: "When", show: (row) => time(row.at_ms) },
    { title: "Rule", show: (row) => html`<${Badge} kind="bad">${row.rule}<//>` },
    { title: "About", show: (row) => html`<span class="name">${row.about}</span>` },
    { title: "What was seen", show: (row) => row.text },
  ]} />`;
}

function Certificate({ ends }) {
  const left = ends - Date.now();
  const soon = left < 30 * 86400 * 1000;
  return html`<${Section} title="Certificate" aside=${html`<${Badge} kind=${soon ? "warn" : "good"}>
      ${left < 0 ? "expired" : soon ? "ends soon" : "all right"}<//>`}>
    <${Facts} rows=${[["Ends", time(ends)], ["That is in", left > 0 ? duration(left) : "the past"]]} /><//>`;
}

export function Alarms() {
  const [found, error] = useLive("/alarms", 2);
  if (!found) return html`<${Trouble} error=${error} />`;
  return html`<h1 class="title">Alarms</h1>
    ${found.resources.map((one) => html`<${Resource} one=${one} key=${one.source} />`)}
    ${found.certificate_ends_ms && html`<${Certificate} ends=${found.certificate_ends_ms} />`}
    <${Section} title="Alerts of the audit"><${Alerts} alerts=${found.alerts} /><//>`;
}
