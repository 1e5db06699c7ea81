// Where one is: the part of the address behind #, in segments, and its query.
import { useLayoutEffect, useState } from "./lib.js";

function here() {
  const [path, query] = window.location.hash.replace(/^#\/?/, "").split("?");
  return {
    words: path.split("/").filter(Boolean).map(decodeURIComponent),
    query: new URLSearchParams(query || ""),
  };
}

export function useRoute() {
  const [route, setRoute] = useState(here);
  // Not after the next picture: whoever is faster than that would go nowhere.
  useLayoutEffect(() => {
    const look = () => setRoute(here());
    window.addEventListener("hashchange", look);
    return () => window.removeEventListener("hashchange", look);
  }, []);
  return route;
}

export const link = (...words) => `#/${words.map(encodeURIComponent).join("/")}`;
export const go = (...words) => { window.location.hash = link(...words); };

/** Change the query without a new entry in the history. */
export function setQuery(changes) {
  const { words, query } = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  window.history.replaceState(null, "", `${link(...words)}${text ? `?${text}` : ""}`);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}
