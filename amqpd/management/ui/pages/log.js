// The log as it grows, and the audit log.
import { html, useEffect, useState } from "../lib.js";
import { get, useLive } from "../api.js";
import { setQuery, useRoute } from "../route.js";
import { Badge, Do, Empty, Section, Select, Table, Trouble } from "../widgets.js";
import { Search } from "../lists.js";
import { count, plural } from "../format.js";
import { Alerts } from "./alarms.js";

const LEVELS = ["debug", "info", "warning", "error"];
const KINDS = { warning: "warn", error: "bad", critical: "bad" };
const SHOWN = 300;
/** The moment of a line, in the time of whoever reads it. */
const moment = (text) => {
  const at = new Date(text);
  return html`<time class="moment" datetime=${text} title=${text}>${at.toLocaleDateString()} ${at.toLocaleTimeString()}</time>`;
};

export function Log() {
  const { query } = useRoute();
  const level = query.get("level") || "info";
  const text = query.get("text") || "";
  const [stopped, stop] = useState(null);
  const path = `/logs?${new URLSearchParams({ level, text, count: SHOWN })}`;
  const [now, error] = useLive(stopped ? "" : path, 1);
  const lines = stopped || now;
  return html`<${Section} title="Log" aside=${html`<button type="button" aria-pressed=${Boolean(stopped)}
      onClick=${() => stop(stopped ? null : now)} disabled=${!now && !stopped}>
      ${stopped ? "Follow again" : "Hold still"}</button>`}>
    <div class="finder"><${Search} value=${text} noun="the log" onSearch=${(one) => setQuery({ text: one })} />
      <${Select} label="At least" name="level" value=${level} options=${LEVELS} inline
        onChange=${(event) => { stop(null); setQuery({ level: event.target.value }); }} />
      <span class="found">${stopped ? "held still" : "newest first, as it happens"}</span></div>
    <${Trouble} error=${error} />
    ${lines && (lines.length ? html`<ol class="log" reversed>${lines.map((one) => html`
        <li key=${one.number} class=${one.level}>${moment(one.time)}
          <${Badge} kind=${KINDS[one.level] || ""}>${one.level}<//>
          <span class="category">${one.category}</span><span class="text">${one.text}</span></li>`)}</ol>`
      : html`<${Empty}>No line of this level${text ? " with this text" : ""} among the last 1,000.<//>`)}<//>`;
}

const RESULTS = { failed: "bad", refused: "warn", raised: "bad", on: "bad" };
const AUDIT_COLUMNS = [
  { title: "No.", kind: "number", show: (row) => count(row.seq) },
  { title: "When", show: (row) => moment(row.time) },
  { title: "What", show: (row) => html`<span class="name">${row.event}</span>` },
  { title: "Result", show: (row) => html`<${Badge} kind=${RESULTS[row.result] || ""}>${row.result}<//>
      ${row.repeated ? html`<small>${plural(row.repeated, "time")} more</small>` : ""}` },
  { title: "User", show: (row) => row.user },
  { title: "From", show: (row) => row.source },
  { title: "About", show: (row) => [row.vhost && html`<small>${row.vhost}</small>`, row.object || row.about] },
  { title: "More", show: (row) => html`${row.text || row.reason || row.mechanism || row.version || ""}
      ${row.rule ? html` <${Badge} kind="bad">${row.rule}<//>` : ""}` },
];
const EVENTS = [
  ["", "everything"], ["login", "logins"], ["denied", "denials"], ["alert", "alerts"], ["http", "changes over HTTP"],
  ["queue", "queues"], ["exchange", "exchanges"], ["alarm", "alarms"], ["start", "starts"], ["reload", "reloads"],
];

export function Audit() {
  const { query } = useRoute();
  const event = query.get("event") || "";
  const text = query.get("text") || "";
  const asked = `/audit?${new URLSearchParams({ event, text, count: 100 })}`;
  const [found, error] = useLive(asked, 3);
  const [older, setOlder] = useState([]);
  useEffect(() => setOlder([]), [asked]);
  const newest = found?.items || [];
  const known = older.length ? older : newest;
  const last = known[known.length - 1]?.seq;
  const rows = [...newest, ...older.filter((one) => one.seq < (newest[newest.length - 1]?.seq ?? Infinity))];
  const more = async () => {
    const next = await get(`${asked}&below=${last}`);
    setOlder((now) => [...(now.length ? now : []), ...next.items]);
  };
  return html`
    ${found?.alerts?.length > 0 && html`<${Section} title="Alerts"><${Alerts} alerts=${found.alerts} /><//>`}
    <${Section} title="Audit log" aside=${found && html`<span class="muted">${found.enabled
      ? `${plural(found.alerts_total, "alert")}, ${count(found.lost_total)} lost lines since the start`
      : "switched off (audit.enabled)"}</span>`}>
    <div class="finder"><${Search} value=${text} noun="the audit log" onSearch=${(one) => setQuery({ text: one })} />
      <${Select} label="Show" name="event" value=${event} options=${EVENTS} inline
        onChange=${(change) => setQuery({ event: change.target.value })} /></div>
    <${Trouble} error=${error} />
    ${rows.length ? html`<${Table} label="Audit log" rows=${rows.map((one) => ({ ...one, key: one.seq }))}
        columns=${AUDIT_COLUMNS} />
        <${Do} action=${more} disabled=${!last || last <= 1}>Older<//>`
    : found && html`<${Empty}>Nothing of that kind is written down.<//>`}
    <p class="muted">Each line carries the hash of the one before; <code>amqpd audit verify</code> checks that
      nothing was changed.</p><//>`;
}
