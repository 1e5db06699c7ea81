// How full something is.
import { html } from "./lib.js";

export function Meter({ label, part, text, bad = false }) {
  const kind = bad ? "bad" : part > 0.8 ? "warn" : "";
  return html`<div class=${`gauge ${kind}`}><span>${label}</span>
    <progress max="1" value=${Math.min(1, Math.max(0, part || 0))} aria-label=${label}></progress>
    <b>${text}</b></div>`;
}
