// The broker's HTTP API: requests, and views that stay up to date by themselves.
import { useEffect, useRef, useState } from "./lib.js";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** A name as one segment of a path. */
export const segment = (name) => encodeURIComponent(name);

let signedOut = () => {};
/** Whom to tell that nobody is logged in any more. */
export const onSignedOut = (tell) => { signedOut = tell; };

/** One request; the JSON that came back, null if there was none. Throws Refused. */
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/api${path}`, options);
  } catch {
    throw new Refused(0, "The broker does not answer.");
  }
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch { /* an answer of somebody in between */ }
  if (!answer.ok) {
    if (answer.status === 401) signedOut();
    throw new Refused(answer.status, content?.reason || `Status ${answer.status}`);
  }
  return content;
}

export const get = (path) => call("GET", path);
export const put = (path, body = {}) => call("PUT", path, body);
export const post = (path, body = {}) => call("POST", path, body);
export const remove = (path, headers) => call("DELETE", path, undefined, headers);

export async function signIn(username, password) {
  let answer;
  try {
    answer = await fetch("/api/login", {
      method: "POST",
      body: new URLSearchParams({ username, password }),
    });
  } catch {
    throw new Refused(0, "The broker does not answer.");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) {
    const wrong = answer.status === 401 && content?.reason !== "Not management user";
    throw new Refused(answer.status, wrong
      ? "User or password is wrong, or this user may not log in from here."
      : content?.reason || `Status ${answer.status}`);
  }
  return content;
}

export const signOut = () => fetch("/api/login", { method: "DELETE" });

/**
 * What a path shows, kept up to date: [content, error, again].
 * Nothing is asked for while the page is hidden, or with an empty path.
 */
export function useLive(path, seconds = 1) {
  const [state, setState] = useState({ path, content: null, error: null });
  const [round, setRound] = useState(0);
  const shown = useRef(path);
  shown.current = path;
  useEffect(() => {
    if (!path) return undefined;
    let source = null;
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(
        `/api/live?path=${encodeURIComponent(path)}&interval=${seconds}`,
      );
      source.addEventListener("data", (event) => {
        setState({ path, content: JSON.parse(event.data), error: null });
      });
      source.addEventListener("failed", (event) => {
        const { error, reason } = JSON.parse(event.data);
        if (error === "not_authorised" && /login/i.test(reason)) signedOut();
        setState((now) => ({ ...now, path, error: new Refused(400, reason) }));
      });
      source.onerror = () => {
        // Refused for good (no login any more), or the broker is away and the browser retries.
        if (source.readyState === EventSource.CLOSED) {
          source = null;
          call("GET", "/whoami").then(() => setTimeout(open, 1000), () => setTimeout(open, 3000));
        }
        setState((now) => ({ ...now, error: new Refused(0, "The broker does not answer.") }));
      };
    };
    const close = () => { source?.close(); source = null; };
    const look = () => (document.hidden ? close() : open());
    open();
    document.addEventListener("visibilitychange", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      close();
    };
  }, [path, seconds, round]);
  const fresh = state.path === path;
  return [fresh ? state.content : null, fresh ? state.error : null, () => setRound((n) => n + 1)];
}
