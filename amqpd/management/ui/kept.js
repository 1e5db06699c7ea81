// What this browser remembers: appearance, starred queues, saved views. Nothing of it is sent.
import { useEffect, useState } from "./lib.js";

const CHANGED = "amqpd.kept";

export function kept(name, otherwise) {
  try {
    const text = window.localStorage.getItem(`amqpd.${name}`);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // no storage, or something that we have not written
  }
}

export function keep(name, value) {
  try {
    if (value === null) window.localStorage.removeItem(`amqpd.${name}`);
    else window.localStorage.setItem(`amqpd.${name}`, JSON.stringify(value));
  } catch { /* it holds until the page is closed */ }
  window.dispatchEvent(new CustomEvent(CHANGED));
}

/** What is kept under a name, and how to keep something else; other tabs are heard. */
export function useKept(name, otherwise) {
  const [value, setValue] = useState(() => kept(name, otherwise));
  useEffect(() => {
    const look = () => setValue(kept(name, otherwise));
    window.addEventListener(CHANGED, look);
    window.addEventListener("storage", look);
    return () => {
      window.removeEventListener(CHANGED, look);
      window.removeEventListener("storage", look);
    };
  }, [name]);
  return [value, (one) => keep(name, one)];
}
