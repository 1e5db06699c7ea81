// Small things that several pages need.
import { html, useEffect, useState } from "../lib.js";
import { get, segment, useLive } from "../api.js";
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

/** The vhosts there are, those in which whoever is logged in has a `right` on something, or its `own`. */
export function VhostChoice({ name = "vhost", chosen, right, own = false }) {
  const [vhosts] = useLive("/vhosts", 15);
  const administrator = useMay()("administrator");
  const entered = own && !administrator ? vhosts?.filter((one) => one.rights.length) : vhosts;
  const names = (right ? within(vhosts, right) : entered?.map((one) => one.name)) || [];
  return html`<${Select} label="Vhost" name=${name} value=${chosen} options=${names} />`;
}

/** Why a list is empty for who has no permission anywhere; else what is said of an empty one. */
export function Nothing({ children }) {
  const [vhosts] = useLive("/vhosts", 15);
  const administrator = useMay()("administrator");
  return html`<${Empty}>${!administrator && vhosts && !vhosts.some((one) => one.rights.length)
    ? "You have a permission in no vhost. With one, what is in it is shown here." : children}<//>`;
}

/** Whether whoever is logged in has a right on anything in a vhost: what is at the other end of a binding is not known yet. */
export function useWithin(vhost, right) {
  const [vhosts] = useLive("/vhosts", 15);
  return within(vhosts, right)?.includes(vhost) !== false;
}

/** So many things are asked one by one what may be done with them; of more the broker decides at each. */
const ASKED = 200;

/**
 * What whoever is logged in may do with queues and exchanges, each {kind, vhost, name} with the kind as in
 * a path: patterns of names are the broker's to read. What is not known yet may be done.
 */
export function useRights(things) {
  const [known, setKnown] = useState({});
  const pathOf = (one) => `/${one.kind}/${segment(one.vhost)}/${segment(one.name)}`;
  const paths = [...new Set(things.map(pathOf))].slice(0, ASKED);
  useEffect(() => {
    let current = true;
    const missing = paths.filter((path) => !known[path]);
    Promise.all(missing.map(async (path) => {
      try {
        return [path, (await get(`${path}?columns=rights`)).rights];
      } catch {
        return null; // it is gone
      }
    })).then((found) => {
      if (current && missing.length) setKnown((now) => ({ ...now, ...Object.fromEntries(found.filter(Boolean)) }));
    });
    return () => { current = false; };
  }, [paths.join(" ")]);
  return (one, right) => known[pathOf(one)]?.includes(right) !== false;
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
