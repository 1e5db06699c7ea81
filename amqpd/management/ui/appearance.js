// Dark or light: as the system has it, until somebody chooses; remembered in this browser.
import { html, useEffect, useState } from "./lib.js";

const NAME = "amqpd.appearance";
const CHANGED = "amqpd.appearance";
const CHOICES = [
  ["", "◐", "as the system has it"], ["light", "☀", "light"], ["dark", "☾", "dark"],
];
const system = window.matchMedia("(prefers-color-scheme: dark)");

const chosen = () => document.documentElement.dataset.theme || "";

function choose(one) {
  if (one) document.documentElement.dataset.theme = one;
  else delete document.documentElement.dataset.theme;
  try {
    if (one) window.localStorage.setItem(NAME, one);
    else window.localStorage.removeItem(NAME);
  } catch { /* it holds until the page is closed */ }
  window.dispatchEvent(new CustomEvent(CHANGED));
}

/** What is seen now, "dark" or "light"; whoever draws with colours draws anew when it changes. */
export function useScheme() {
  const look = () => chosen() || (system.matches ? "dark" : "light");
  const [scheme, setScheme] = useState(look);
  useEffect(() => {
    const again = () => setScheme(look());
    window.addEventListener(CHANGED, again);
    system.addEventListener("change", again);
    return () => {
      window.removeEventListener(CHANGED, again);
      system.removeEventListener("change", again);
    };
  }, []);
  return scheme;
}

/** The button: each press is the next of system, light and dark. */
export function Appearance() {
  const [at, setAt] = useState(() => CHOICES.findIndex(([one]) => one === chosen()));
  const [, sign, words] = CHOICES[at];
  const turn = () => {
    const next = (at + 1) % CHOICES.length;
    setAt(next);
    choose(CHOICES[next][0]);
  };
  return html`<button type="button" class="small appearance" onClick=${turn}
    title=${`Appearance: ${words}`} aria-label=${`Appearance: ${words}`}>${sign}</button>`;
}
