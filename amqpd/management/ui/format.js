// Numbers, sizes, times and values as people read them.
const whole = new Intl.NumberFormat("en-US");

export const count = (n) => (n === undefined || n === null || n === "" ? "–" : whole.format(n));

export function rate(n) {
  if (n === undefined || n === null) return "–";
  if (n === 0) return "0";
  return n < 10 ? n.toFixed(1) : whole.format(Math.round(n));
}

export function bytes(n) {
  if (n === undefined || n === null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) { n /= 1000; at += 1; }
  return `${at && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const time = (ms) => (ms ? new Date(ms).toLocaleString() : "–");

/** How long ago a moment of the broker's is. */
export const age = (moment) => (moment ? duration(Math.max(0, Date.now() - Date.parse(moment))) : "");

export function value(one) {
  if (one === null || one === undefined) return "";
  return typeof one === "object" ? JSON.stringify(one) : String(one);
}

/** A body made readable: JSON indented, anything else as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
