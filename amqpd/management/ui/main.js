// The page as a whole: who is logged in, where one is, what is shown.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./lib.js";
import { ROOT, get, onSignedOut, signIn, signOut, useLive } from "./api.js";
import { link, useRoute } from "./route.js";
import { Field, Form, Trouble } from "./widgets.js";
import { plural } from "./format.js";
import { Overview } from "./pages/overview.js";
import { Connections, OneConnection } from "./pages/connections.js";
import { Channels, OneChannel } from "./pages/channels.js";
import { Exchanges, OneExchange } from "./pages/exchanges.js";
import { Queues } from "./pages/queues.js";
import { OneQueue } from "./pages/queue.js";
import { Streams } from "./pages/streams.js";
import { Admin } from "./pages/admin.js";
import { OneNode } from "./pages/node.js";
import { OneUser } from "./pages/users.js";
import { OneVhost } from "./pages/vhosts.js";
import { Alarms } from "./pages/alarms.js";
import { Audit, Log } from "./pages/log.js";
import { Jump } from "./jump.js";
import { Questions } from "./dialog.js";
import { Appearance } from "./appearance.js";
import { Me, may } from "./me.js";

const PAGES = [
  ["overview", "Overview"],
  ["connections", "Connections"],
  ["channels", "Channels"],
  ["exchanges", "Exchanges"],
  ["queues", "Queues"],
  ["streams", "Streams"],
  ["alarms", "Alarms", "monitoring"],
  ["log", "Log", "administrator"],
  ["audit", "Audit", "administrator"],
  ["admin", "Admin"],
];
/** Places that are no page of the list, and under which of them they are. */
const WITHIN = { nodes: "overview", users: "admin", vhosts: "admin", policies: "admin", limits: "admin", "operator-policies": "admin" };
/** Alerts that are told of on every page. */
const RECENT_MS = 3600 * 1000;

function Credentials({ entered, user: first, password: secret = "" }) {
  const [user, setUser] = useState(first);
  const [password, setPassword] = useState(secret);
  const enter = async () => {
    entered(await signIn(user, password));
  };
  return html`<${Form} label="Log in" action=${enter}>
      <${Field} label="User" name="username" value=${user} autocomplete="username" required
        autofocus onInput=${(event) => setUser(event.target.value)} />
      <${Field} label="Password" name="password" type="password" value=${password} required
        autocomplete="current-password" onInput=${(event) => setPassword(event.target.value)} />
    <//>`;
}

function SignIn({ entered }) {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(window.location.hostname);
  const guest = local ? "guest" : "";
  return html`<main class="sign-in"><img src="ui/icon.svg" alt="" width="48" height="48" />
    <h1>amqpd</h1>
    <${Credentials} entered=${entered} user=${guest} password=${guest} />
    ${local && html`<small>guest / guest works from this machine only, unless it was changed.</small>`}
  </main>`;
}

/** A login that has ended, over the page as it was: what was typed there is kept for who comes back. */
function SignInAgain({ me, entered, leave }) {
  const place = useRef(null);
  useEffect(() => {
    place.current.showModal();
    place.current.querySelector("[type=password]").focus();
  }, []);
  return html`<dialog class="sign-in" ref=${place} aria-labelledby="ended" onCancel=${(event) => event.preventDefault()}
      onClose=${() => place.current?.showModal()}><h2 id="ended">Your login has ended</h2>
    <p>Its time is over, the broker was restarted, or you have another password or other tags.
      What you have typed is kept: log in to go on.</p>
    <${Credentials} entered=${entered} user=${me.name} />
    <button type="button" class="small" onClick=${leave}>Leave this page</button></dialog>`;
}

/** What is wrong, on every page. */
function Banners({ overview, me }) {
  const [alarms] = useLive(may(me, "monitoring") ? "/alarms" : "", 5);
  const said = [];
  const words = { memory: "consumers make room", disk: "there is space" };
  for (const one of overview?.alarms || []) {
    said.push(html`Low on ${one}: <a href=${`${link("connections")}?sort=state`}>publishers</a> are blocked until ${words[one]}.
      ${may(me, "monitoring") && html` <a href=${link("alarms")}>How much is left</a>`}`);
  }
  const alerts = (alarms?.alerts || []).filter((one) => one.at_ms > Date.now() - RECENT_MS);
  if (alerts.length) {
    said.push(html`<a href=${link("alarms")}>${plural(alerts.length, "alert")} of the audit in the last hour</a>${": "}
      '${alerts[0].about}', ${alerts[0].text}`);
  }
  if (overview?.sync === false) said.push("Without syncs: a power cut loses confirmed messages.");
  return said.map((one, at) => html`<p class="alarm" role="alert" key=${at}>${one}</p>`);
}

function Page({ words, me }) {
  const [page, ...rest] = words;
  switch (page) {
    case "connections":
      return rest.length ? html`<${OneConnection} name=${rest[0]} />` : html`<${Connections} />`;
    case "channels": return rest.length ? html`<${OneChannel} name=${rest[0]} />` : html`<${Channels} />`;
    case "exchanges":
      return rest.length > 1
        ? html`<${OneExchange} vhost=${rest[0]} name=${rest[1]} key=${rest.join("/")} />`
        : html`<${Exchanges} />`;
    case "queues":
      return rest.length > 1
        ? html`<${OneQueue} vhost=${rest[0]} name=${rest[1]} tab=${rest[2] || "overview"}
            key=${rest.slice(0, 2).join("/")} me=${me} />`
        : html`<${Queues} />`;
    case "streams": return html`<${Streams} />`;
    case "alarms": return html`<${Alarms} />`;
    case "log": return html`<${Log} />`;
    case "audit": return html`<${Audit} />`;
    // As RabbitMQ has them: one of each; all of them are a part of the administration.
    case "nodes": return rest.length ? html`<${OneNode} name=${rest[0]} key=${rest[0]} />` : html`<${Overview} />`;
    case "users":
      return rest.length ? html`<${OneUser} name=${rest[0]} me=${me} key=${rest[0]} />`
        : html`<${Admin} words=${["users"]} me=${me} />`;
    case "vhosts":
      return rest.length ? html`<${OneVhost} name=${rest[0]} key=${rest[0]} />`
        : html`<${Admin} words=${["vhosts"]} me=${me} />`;
    case "policies": case "limits": case "operator-policies": return html`<${Admin} words=${[page]} me=${me} />`;
    case "admin": return html`<${Admin} words=${rest} me=${me} />`;
    default: return html`<${Overview} />`;
  }
}

/** A page that fails takes no other with it. */
function Guarded({ words, me }) {
  const [error, again] = useErrorBoundary((failed) => console.error(failed));
  return error ? html`<p class="trouble" role="alert">This page failed: ${error.message}.
      <button type="button" onClick=${again}>Try again</button></p>` : html`<${Page} words=${words} me=${me} />`;
}

function Shell({ me, leave }) {
  const { words } = useRoute();
  const place = words[0] || "overview";
  const chosen = WITHIN[place] || place;
  const [overview, trouble] = useLive("/overview", 5);
  const pages = useRef(null);
  useEffect(() => {
    // On a narrow screen the pages do not fit side by side.
    pages.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [chosen]);
  useEffect(() => {
    const title = words.length > 2 ? words[2] && words[2] !== "overview" ? words[2] : words[2 - 1]
      : WITHIN[place] ? words[1] : "";
    document.title = `${title ? `${title} · ` : ""}${chosen} · ${overview?.cluster_name || "amqpd"}`;
  }, [words.join("/"), overview?.cluster_name]);
  // Some pages have a heading of their own.
  const titled = chosen === "alarms" || (chosen === "queues" && words.length > 2)
    || (["nodes", "users", "vhosts"].includes(place) && words.length > 1);
  return html`
    <header class="top">
      <a class="brand" href=${link("overview")}><img src="ui/icon.svg" alt="" width="24" height="24" />
        <b>amqpd</b> <span>${overview?.cluster_name}</span></a>
      <nav aria-label="Pages" ref=${pages}>${PAGES.filter(([, , tag]) => may(me, tag)).map(([name, title]) => html`
        <a href=${link(name)} aria-current=${name === chosen ? "page" : undefined}>${title}</a>`)}</nav>
      <${Jump} />
      <div class="me"><${Appearance} /><span title=${(me.tags || []).join(", ")}>${me.name}</span>
        <button type="button" onClick=${leave}>Log out</button></div>
    </header>
    <${Banners} overview=${overview} me=${me} />
    ${trouble?.status === 0 && html`<p class="alarm" role="alert">The broker does not answer. Trying again…</p>`}
    <main class=${trouble?.status === 0 ? "stale" : ""}>${!titled && html`<h1 class="unseen">${PAGES.find(([name]) => name === chosen)?.[1] || "Overview"}</h1>`}
      <${Guarded} words=${words} me=${me} key=${place} /></main>
    <footer>amqpd ${overview?.amqpd_version} · <a href=${`${ROOT}/metrics`}>metrics</a></footer>`;
}

function App() {
  const [me, setMe] = useState(undefined);
  const [ended, setEnded] = useState(false);
  const [error, setError] = useState(null);
  useEffect(() => {
    onSignedOut(() => setEnded(true));
    get("/whoami").then(setMe, (refused) => {
      setMe(null);
      if (refused.status !== 401) setError(refused);
    });
  }, []);
  if (me === undefined) return null;
  const entered = (who) => {
    setEnded(false);
    setError(null);
    setMe(who);
  };
  if (me === null) return html`<${SignIn} entered=${entered} /><${Trouble} error=${error} />`;
  const leave = async () => { await signOut(); setMe(null); };
  // Somebody else begins anew, and sees nothing of who was here before.
  return html`<${Me.Provider} value=${me}><div class=${ended ? "away" : ""} inert=${ended} key=${me.name}>
      <${Shell} me=${me} leave=${leave} /><${Questions} /></div>
    ${ended && html`<${SignInAgain} me=${me} entered=${entered} leave=${leave} />`}<//>`;
}

render(html`<${App} />`, document.getElementById("app"));
