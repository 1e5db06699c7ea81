// Small things that several pages need.
import { html } from "../lib.js";
import { useLive } from "../api.js";
import { Select } from "../widgets.js";

/** JSON of a form's field; an empty one is an empty object. */
export function parsed(text, what) {
  if (!text?.trim()) return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: not JSON (${error.message})`);
  }
}

export function VhostChoice({ name = "vhost", chosen }) {
  const [vhosts] = useLive("/vhosts", 15);
  return html`<${Select} label="Vhost" name=${name} value=${chosen} options=${(vhosts || []).map((one) => one.name)} />`;
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
