// The broker's HTTP API: requests, and views that stay up to date by themselves.
import { useEffect, useState } from "./lib.js";
import { parse } from "./exact.js";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** What all paths begin with: the broker may be below a path, its own or a proxy's. */
export const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** A name as one segment of a path. */
export const segment = (name) => encodeURIComponent(name);

let signedOut = () => {};
/** Nobody is logged in: nothing is asked for by itself until somebody is. */
let away = false;
/** Whom to tell that nobody is logged in any more. */
export const onSignedOut = (tell) => { signedOut = tell; };

/** A refusal of somebody who is not logged in; somebody who is, and may not, has 401 as well. */
const isNobody = (status, content) => status === 401 && content?.error === "not_authorized";

function ended() {
  away = true;
  source?.close();
  source = null;
  signedOut();
}

/** One request; the JSON that came back, null if there was none. Throws Refused. */
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`${ROOT}/api${path}`, options);
  } catch {
    throw new Refused(0, "The broker does not answer.");
  }
  const text = await answer.text();
  let content = null;
  try {
    content = text ? parse(text) : null;
  } catch { /* an answer of somebody in between */ }
  if (!answer.ok) {
    if (isNobody(answer.status, content)) ended();
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
    answer = await fetch(`${ROOT}/api/login`, {
      method: "POST",
      body: new URLSearchParams({ username, password }),
    });
  } catch {
    throw new Refused(0, "The broker does not answer.");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) {
    const wrong = answer.status === 401 && content?.reason === "Not_Authorized";
    throw new Refused(answer.status, wrong
      ? "User or password is wrong, or this user may not log in from here."
      : content?.reason || `Status ${answer.status}`);
  }
  away = false;
  reopen();
  return content;
}

export const signOut = () => fetch(`${ROOT}/api/login`, { method: "DELETE" });

/**
 * All views of the page share one stream: browsers open six connections to a host and no more.
 * A view is {path, seconds, content, error, tell: Set of functions}.
 */
const views = new Map();
let source = null;
let opening = 0;

function announce(view, change) {
  Object.assign(view, change);
  view.tell.forEach((tell) => tell({ content: view.content, error: view.error }));
}

function failed(view, event) {
  const { error, reason } = JSON.parse(event.data);
  if (error === "not_authorized") ended();
  announce(view, { error: new Refused(400, reason) });
}

function lost() {
  // Refused for good (no login any more), or the broker is away and the browser retries.
  if (source?.readyState === EventSource.CLOSED) {
    source = null;
    call("GET", "/whoami").then(() => reopen(1000), (refused) => refused.status !== 401 && reopen(3000));
  }
  views.forEach((view) => announce(view, { error: new Refused(0, "The broker does not answer.") }));
}

function open() {
  source?.close();
  source = null;
  if (document.hidden || away || !views.size) return;
  const asked = [...views.values()];
  const paths = JSON.stringify(asked.map((view) => [view.path, view.seconds]));
  source = new EventSource(`${ROOT}/api/live?paths=${encodeURIComponent(paths)}`);
  asked.forEach((view, at) => {
    source.addEventListener(`data-${at}`, (event) => {
      announce(view, { content: parse(event.data), error: null });
    });
    source.addEventListener(`failed-${at}`, (event) => failed(view, event));
  });
  source.onerror = lost;
}

/** Open the stream anew, once for all that changes at the same time. */
function reopen(afterMs = 0) {
  clearTimeout(opening);
  opening = setTimeout(open, afterMs);
}

document.addEventListener("visibilitychange", () => reopen());

function follow(path, seconds, tell) {
  const key = `${seconds} ${path}`;
  let view = views.get(key);
  if (view) {
    tell({ content: view.content, error: view.error });
  } else {
    view = { path, seconds, content: null, error: null, tell: new Set() };
    views.set(key, view);
    reopen();
  }
  view.tell.add(tell);
  return () => {
    view.tell.delete(tell);
    if (!view.tell.size) {
      views.delete(key);
      reopen();
    }
  };
}

/**
 * What a path shows, kept up to date: [content, error, again].
 * Nothing is asked for while the page is hidden, or with an empty path. With `stay` the content of the
 * path before is shown until that of the new one is there: a list that is sorted anew does not blink.
 */
export function useLive(path, seconds = 1, stay = false) {
  const [state, setState] = useState({ path, content: null, error: null });
  useEffect(() => (path
    ? follow(path, seconds, (now) => setState({ path, ...now })) : undefined), [path, seconds]);
  const fresh = state.path === path;
  return [fresh || stay ? state.content : null, fresh ? state.error : null, () => reopen()];
}
