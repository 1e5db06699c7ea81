// How full something is.
import { html } from "./lib.js";

/** `calm`: that it is nearly all of it is no warning. */
export function Meter({ label, part, text, bad = false, calm = false }) {
  const kind = bad ? "bad" : part > 0.8 && !calm ? "warn" : "";
  return html`<div class=${`gauge ${kind}`}><span>${label}</span>
    <progress max="1" value=${Math.min(1, Math.max(0, part || 0))} aria-label=${label}></progress>
    <b>${text}</b></div>`;
}
