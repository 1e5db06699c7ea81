// Small things that several pages need.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { Empty, Select } from "../widgets.js";
import { useMay, within } from "../me.js";
import { parse } from "../exact.js";

/** JSON of a form's field; an empty one is an empty object. */
export function parsed(text, what) {
  if (!text?.trim()) return {};
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`${what}: not JSON (${error.message})`);
  }
}

/** The vhosts there are, or those in which whoever is logged in has a `right` on something. */
export function VhostChoice({ name = "vhost", chosen, right }) {
  const [vhosts] = useLive("/vhosts", 15);
  const names = (right ? within(vhosts, right) : vhosts?.map((one) => one.name)) || [];
  return html`<${Select} label="Vhost" name=${name} value=${chosen} options=${names} />`;
}

/** Why a list is empty for who has no permission anywhere; else what is said of an empty one. */
export function Nothing({ children }) {
  const [vhosts] = useLive("/vhosts", 15);
  const administrator = useMay()("administrator");
  return html`<${Empty}>${!administrator && vhosts && !vhosts.some((one) => one.rights.length)
    ? "You have a permission in no vhost. With one, what is in it is shown here." : children}<//>`;
}

/** That publishers are blocked, where somebody wonders why nothing comes in. */
export function Blocked({ children }) {
  const [overview] = useLive("/overview", 5);
  return overview?.alarms?.length > 0 && html`<p class="why bad" role="note">${children} The broker is low
    on ${overview.alarms.join(" and on ")}, and takes no messages from publishers.</p>`;
}

/** What is folded away until somebody adds one; who may configure nothing anywhere is told so instead. */
export function Adding({ what, children }) {
  const [vhosts] = useLive("/vhosts", 15);
  const where = within(vhosts, "configure");
  if (where && !where.length) {
    return html`<p class="muted">You may not add ${what}: no vhost gives you the permission to configure.</p>`;
  }
  return html`<details class="add"><summary>Add ${what}</summary>${children}</details>`;
}

const SHORT = {
  "x-message-ttl": "TTL", "x-expires": "Exp", "x-max-length": "Lim", "x-max-length-bytes": "Lim B",
  "x-overflow": "Ovfl", "x-dead-letter-exchange": "DLX", "x-dead-letter-routing-key": "DLK",
  "x-max-priority": "Pri", "x-single-active-consumer": "SAC", "x-delivery-limit": "DL",
  "x-max-age": "Age", "alternate-exchange": "AE", "x-consumer-timeout": "CT",
  "x-delayed-retry-type": "Retry",
};

/** The features of a queue or an exchange: [short, what it means]. */
export function features(row) {
  const found = [];
  if (row.durable) found.push(["D", "durable"]);
  if (row.auto_delete) found.push(["AD", "auto-delete"]);
  if (row.exclusive) found.push(["Excl", "exclusive"]);
  if (row.internal) found.push(["I", "internal"]);
  for (const [name, value] of Object.entries(row.arguments || {})) {
    if (name !== "x-queue-type") found.push([SHORT[name] || "Args", `${name}: ${JSON.stringify(value)}`]);
  }
  return found;
}

/** Arguments of queues with a value to begin with: [name, value, what it means, types it is for]. */
export const QUEUE_ARGUMENTS = [
  ["x-message-ttl", 60000, "messages expire after so many ms", "classic quorum"],
  ["x-expires", 1800000, "the queue goes after so many ms without use", "classic quorum"],
  ["x-max-length", 10000, "so many ready messages at most", "classic quorum"],
  ["x-max-length-bytes", 1000000000, "so many bytes of bodies at most", "classic quorum stream"],
  ["x-overflow", "reject-publish", "what happens when it is full: drop-head, reject-publish, block", "classic quorum"],
  ["x-dead-letter-exchange", "", "where dead letters go", "classic quorum"],
  ["x-dead-letter-routing-key", "", "their routing key, instead of their own", "classic quorum"],
  ["x-delivery-limit", 20, "dead after so many attempts", "classic quorum"],
  ["x-consumer-timeout", 1800000, "a consumer must acknowledge within so many ms", "classic quorum"],
  ["x-delayed-retry-type", "failed", "returned messages wait: failed, returned, all", "classic quorum"],
  ["x-delayed-retry-min", 1000, "so many ms before the second attempt", "classic quorum"],
  ["x-max-priority", 10, "priorities from 0 to this", "classic"],
  ["x-single-active-consumer", true, "one consumer at a time", "classic quorum"],
  ["x-max-age", "7D", "older messages go: Y, M, D, h, m, s", "stream"],
  ["x-stream-max-segment-size-bytes", 100000000, "what goes at once", "stream"],
];

/** Arguments that only a declaration has; the others a policy can set as well. */
const DECLARED = ["x-max-priority", "x-single-active-consumer"];
export const POLICY_KEYS = [
  ...QUEUE_ARGUMENTS.filter(([name]) => !DECLARED.includes(name)).map(([name, one, means]) => [name.slice(2), one, means]),
  ["alternate-exchange", "", "of an exchange: where messages go that no binding wants"],
];
