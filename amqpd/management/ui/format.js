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
  return `${(at && n < 100) || (n > 0 && n < 1) ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
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

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** A body made readable: JSON indented, with numbers and keys as they are written; else as it is. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  // Not by JSON.stringify: it would round large numbers and lose a key that is there twice.
  const tokens = text.match(TOKENS);
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return tokens.map((one, at) => {
    if (one === "{" || one === "[") {
      if (/^[}\]]$/.test(tokens[at + 1])) return one;
      depth += 1;
      return one + line();
    }
    if (one === "}" || one === "]") {
      if (/^[{[]$/.test(tokens[at - 1])) return one;
      depth -= 1;
      return line() + one;
    }
    return one === "," ? one + line() : one === ":" ? ": " : one;
  }).join("");
}

export const octets = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

/** Octets as people read them: where, in hexadecimal, as ASCII. */
export function hexdump(all) {
  const lines = [];
  for (let at = 0; at < all.length; at += 16) {
    const row = [...all.subarray(at, at + 16)];
    const hex = row.map((one) => one.toString(16).padStart(2, "0")).join(" ").padEnd(48);
    const ascii = row.map((one) => (one > 31 && one < 127 ? String.fromCharCode(one) : ".")).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex} ${ascii}`);
  }
  return lines.join("\n");
}

export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
