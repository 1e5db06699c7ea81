// Bindings: as a list with a way to remove each, and drawn from exchange to queue.
import { html } from "../lib.js";
import { remove, segment } from "../api.js";
import { link } from "../route.js";
import { Do, Empty, Table } from "../widgets.js";
import { count, value } from "../format.js";
import { useMay } from "../me.js";
import { useRights } from "./shared.js";

const place = (kind, vhost, name) => link(kind === "queue" ? "queues" : "exchanges", vhost, name);

const unbind = (row) => remove(`/bindings/${segment(row.vhost)}/e/${segment(row.source)}/`
  + `${row.destination_type[0]}/${segment(row.destination)}/${segment(row.properties_key)}`);

const sourceOf = (row) => ({ kind: "exchanges", vhost: row.vhost, name: row.source });
const targetOf = (row) => ({ kind: `${row.destination_type}s`, vhost: row.vhost, name: row.destination });

/** `may(row)`: whether that one may be removed; null: none of them. */
const columns = (may) => [
  { title: "From", show: (row) => html`<a href=${place("exchange", row.vhost, row.source)}>${row.source}</a>` },
  { title: "Routing key", show: (row) => html`<code>${row.routing_key}</code>` },
  { title: "Arguments", show: (row) => (Object.keys(row.arguments || {}).length ? value(row.arguments) : "") },
  { title: "To", show: (row) => html`<a href=${place(row.destination_type, row.vhost, row.destination)}>
      ${row.destination}</a> <small>${row.destination_type}</small>` },
  ...(may ? [{ title: "", show: (row) => may(row) && html`<${Do} kind="small" action=${() => unbind(row)}
      confirm=${[`Unbind '${row.destination}' from '${row.source}'?`,
    row.routing_key ? `With the routing key '${row.routing_key}'. What is published with it goes there no more.` : "What is published there goes there no more."]}>Unbind<//>` }] : []),
];

/** `may`: whether whoever is logged in may unbind; `children`: what is said where there is none. */
export function Bindings({ bindings, may = true, children = "Nothing is bound." }) {
  const rows = (bindings || []).filter((row) => row.source);
  // Administrators may nearly always: of them none is asked for.
  const administrator = useMay()("administrator");
  const allowed = useRights(may && !administrator ? rows.flatMap((row) => [sourceOf(row), targetOf(row)]) : []);
  const mayUnbind = may ? (row) => allowed(sourceOf(row), "read") && allowed(targetOf(row), "write") : null;
  if (!bindings) return null;
  if (!rows.length) return html`<${Empty}>${children}<//>`;
  const drawn = rows.slice(0, DRAWN);
  return html`<${Drawing} rows=${drawn} />
    ${rows.length > DRAWN && html`<p class="muted">The first ${DRAWN} of ${count(rows.length)} bindings are drawn.</p>`}
    <${Table} label="Bindings" columns=${columns(mayUnbind)} rows=${rows} />`;
}

/** More would be a tangle. */
const DRAWN = 24;

/** Exchanges on the left, what they lead to on the right, keys on the lines. */
function Drawing({ rows }) {
  const lines = new Map();
  for (const row of rows) {
    const target = `${row.destination_type} ${row.destination}`;
    const pair = JSON.stringify([row.source, target]);
    if (!lines.has(pair)) lines.set(pair, { source: row.source, target, keys: [] });
    lines.get(pair).keys.push(row.routing_key || "(no key)");
  }
  const drawn = [...lines.values()];
  const sources = [...new Set(drawn.map((one) => one.source))];
  const targets = [...new Set(drawn.map((one) => one.target))];
  const step = 38;
  const height = Math.max(sources.length, targets.length) * step + 12;
  // What does not fit on a screen begins at its top, or lines would come from nowhere.
  const apart = (list) => (height > 400 ? step : height / list.length);
  const y = (list, one) => (list.indexOf(one) + 0.5) * apart(list);
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const box = (x, at, text, kind) => html`<g class=${kind}>
    <rect x=${x} y=${at - 15} width="220" height="30" rx="6" />
    <text x=${x + 12} y=${at + 5}>${cut(text, 26)}<title>${text}</title></text></g>`;
  // Where lines meet their keys would lie on each other: there they stand at the other end.
  const into = (target) => drawn.filter((one) => one.target === target).length;
  const outOf = (source) => drawn.filter((one) => one.source === source).length;
  const keyOf = (one, from, to) => {
    const atSource = into(one.target) > 1 && outOf(one.source) === 1;
    return html`<text class="key" x=${atSource ? 236 : 524} y=${(atSource ? from : to) - 5}
      text-anchor=${atSource ? "start" : "end"}>${cut(one.keys.join(", "), 34)}<title>${one.keys.join("\n")}</title></text>`;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Drawing of bindings"><svg class="drawing" viewBox=${`0 0 760 ${height}`} role="img"
      aria-label="Bindings drawn from exchange to queue">
    ${drawn.map((one) => {
    const from = y(sources, one.source);
    const to = y(targets, one.target);
    return html`<path d=${`M230 ${from} C 340 ${from} 340 ${to} 530 ${to}`} />`;
  })}
    ${drawn.map((one) => keyOf(one, y(sources, one.source), y(targets, one.target)))}
    ${sources.map((one) => box(10, y(sources, one), one, "exchange"))}
    ${targets.map((one) => box(530, y(targets, one), one.slice(one.indexOf(" ") + 1),
    one.startsWith("queue") ? "queue" : "exchange"))}
  </svg></div>`;
}
