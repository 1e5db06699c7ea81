// Go to anything by its name: Ctrl K, some letters, Enter.
import { html, useContext, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";
import { get } from "./api.js";
import { Me, may } from "./me.js";
import { link } from "./route.js";

const MOST = 6;
/** Where something is by its name: list, what it is called, its place, and who may ask for the list. */
const KINDS = [
  ["queues", "queue", (row) => link("queues", row.vhost, row.name)],
  ["exchanges", "exchange", (row) => link("exchanges", row.vhost, row.name || "amq.default")],
  ["connections", "connection", (row) => link("connections", row.name)],
  ["vhosts", "vhost", (row) => link("vhosts", row.name)],
  ["users", "user", (row) => link("users", row.name), "administrator"],
];

async function find(text, me) {
  const query = new URLSearchParams({ page: 1, page_size: MOST, name: text, sort: "name", columns: "name,vhost,user_provided_name" });
  const lists = await Promise.all(KINDS.filter(([, , , tag]) => may(me, tag)).map(async ([path, kind, place]) => {
    const { items } = await get(`/${path}?${query}`);
    return items.map((row) => ({ kind, name: row.user_provided_name || row.name, vhost: row.vhost, place: place(row) }));
  }));
  return lists.flat();
}

export function Jump() {
  const me = useContext(Me);
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [found, setFound] = useState([]);
  const [chosen, choose] = useState(0);
  const input = useRef(null);
  const place = useRef(null);
  useLayoutEffect(() => {
    const key = (event) => {
      if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        setOpen((now) => !now);
      }
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, []);
  // Before it is seen: what is typed at once is not to be lost.
  useLayoutEffect(() => {
    if (open) {
      place.current.showModal();
      input.current.focus();
    }
    setText("");
    setFound([]);
  }, [open]);
  useEffect(() => {
    if (!text) { setFound([]); return undefined; }
    let current = true;
    const wait = setTimeout(() => {
      find(text, me).then((rows) => { if (current) { setFound(rows); choose(0); } }, () => {});
    }, 120);
    return () => { current = false; clearTimeout(wait); };
  }, [text]);
  const leave = () => {
    place.current?.close(); // gives the focus back
    setOpen(false);
  };
  const go = (row) => { window.location.hash = row.place; leave(); };
  const key = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (found.length) choose((now) => (now + step + found.length) % found.length);
    } else if (event.key === "Enter" && found[chosen]) go(found[chosen]);
  };
  return html`<button type="button" class="small jump-open" title="Ctrl K" onClick=${() => setOpen(true)}>
      Go to… <kbd>Ctrl K</kbd></button>
    ${open && html`<dialog class="jump" ref=${place} aria-label="Go to" onKeyDown=${key} onClose=${() => setOpen(false)}
        onClick=${(event) => { if (event.target === event.currentTarget) leave(); }}><div>
        <input ref=${input} type="search" value=${text} aria-label="Name of a queue, an exchange, a connection, a vhost or a user"
          placeholder="Name of a queue, an exchange, a connection, a vhost or a user" onInput=${(event) => setText(event.target.value)} />
        <ul role="listbox" aria-label="Found">${found.map((row, at) => html`<li key=${row.place} role="option"
          aria-selected=${at === chosen} onClick=${() => go(row)}><span class="name">${row.name || "(default)"}</span>
          <small>${row.kind}${row.vhost && row.vhost !== "/" ? ` in ${row.vhost}` : ""}</small></li>`)}</ul>
        ${text && !found.length && html`<p class="empty">Nothing of that name.</p>`}
        <p class="muted">↑ ↓ choose, Enter goes there, Esc closes. In lists <kbd>/</kbd> searches.</p>
      </div></dialog>`}`;
}
