// Long lists that the broker cuts: searching, filters, sorting, pages, columns, saved views, CSV.
import { html, useEffect, useRef, useState } from "./lib.js";
import { get, segment, useLive } from "./api.js";
import { ask, textOf } from "./dialog.js";
import { useKept } from "./kept.js";
import { setQuery, useRoute } from "./route.js";
import { count } from "./format.js";
import { useMay } from "./me.js";
import { Do, Select } from "./widgets.js";

/** Search, pages and sorting of a list that the broker cuts; its state is in the address. */
export function usePaged(path, {
  sort = "name", reverse = false, size = 100, extra = "", filters = [], types = [], inVhost, own = false,
} = {}) {
  const { query } = useRoute();
  const vhost = inVhost ? query.get("vhost") || "" : "";
  const place = vhost ? inVhost(segment(vhost)) : path;
  const state = {
    page: Number(query.get("page") || 1),
    name: query.get("name") || "",
    sort: query.get("sort") || sort,
    reverse: (query.get("reverse") || String(reverse)) === "true",
    size,
    only: filters.some(([one]) => one === query.get("only")) ? query.get("only") : "",
    filters,
    types,
    type: types.includes(query.get("type")) ? query.get("type") : "",
    regex: query.get("regex") === "true",
    vhost,
    vhosts: Boolean(inVhost),
    /** Whether it has only what is in vhosts of one's own. */
    own,
  };
  const asked = new URLSearchParams({
    page: state.page, page_size: size, sort: state.sort, sort_reverse: state.reverse,
  });
  if (state.name) asked.set("name", state.name);
  if (state.name && state.regex) asked.set("use_regex", true);
  if (state.type) asked.set("type", state.type);
  if (state.only) asked.set("only", state.only);
  return {
    ...state,
    path: `${place}?${asked}${extra}`,
    /** The same without a page: everything that is found. */
    all: (page, most) => `${place}?${new URLSearchParams([...asked, ["page", page], ["page_size", most]]
      .filter(([key], at, every) => every.findLastIndex(([other]) => other === key) === at))}${extra}`,
    narrow: (by) => setQuery({ ...by, page: "" }),
    search: (name) => setQuery({ name, page: "" }),
    turn: (page) => setQuery({ page: page > 1 ? page : "" }),
    order: (column) => setQuery({
      sort: column.sort,
      reverse: column.sort === state.sort ? !state.reverse : column.kind === "number",
      page: "",
    }),
  };
}

/** A search field; the key / goes there, Escape empties it. */
export function Search({ value, noun, onSearch }) {
  const input = useRef(null);
  const [typed, setTyped] = useState(value);
  useEffect(() => {
    const focus = (event) => {
      const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key === "/" && !inField) { event.preventDefault(); input.current?.focus(); }
    };
    window.addEventListener("keydown", focus);
    return () => window.removeEventListener("keydown", focus);
  }, []);
  useEffect(() => {
    if (typed === value) return undefined;
    const wait = setTimeout(() => onSearch(typed), 200);
    return () => clearTimeout(wait);
  }, [typed]);
  return html`<input ref=${input} type="search" value=${typed} placeholder=${`Search ${noun}  ( / )`}
    aria-label=${`Search ${noun}`} onInput=${(event) => setTyped(event.target.value)}
    onKeyDown=${(event) => { if (event.key === "Escape") setTyped(""); }} />`;
}

/** A cell for a spreadsheet: quoted where needed, and never a formula. */
function csvCell(text) {
  const plain = text.replace(/\s+/g, " ").trim();
  const safe = /^[=+\-@\uff0b\uff0d\uff1d\uff20]/.test(plain) && Number.isNaN(Number(plain)) ? `'${plain}` : plain;
  return /[",;\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function download(name, type, text) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob([text], { type }));
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(anchor.href);
}

/** All that is found, not only this page, as a file for spreadsheets. */
async function saveCsv(paged, columns, noun) {
  const lines = [columns.map((one) => csvCell(one.title)).join(",")];
  for (let page = 1, pages = 1; page <= pages; page += 1) {
    const found = await get(paged.all(page, 500));
    pages = found.page_count;
    for (const row of found.items) {
      lines.push(columns.map((one) => csvCell(String(one.raw ? one.raw(row) : textOf(one.show(row))))).join(","));
    }
  }
  download(`${noun}s.csv`, "text/csv", `${lines.join("\n")}\n`);
}

/** Which columns are shown, remembered in this browser, and `unasked` not at first: [those shown, the choice of them]. */
export function useColumns(noun, columns, unasked = []) {
  const [hidden, setHidden] = useKept(`columns.${noun}`, unasked);
  const shown = columns.filter((one) => !one.title || one.leads || !hidden.includes(one.title));
  const turn = (title) => setHidden(hidden.includes(title)
    ? hidden.filter((one) => one !== title) : [...hidden, title]);
  const choice = html`<details class="menu"><summary>Columns</summary><div>
    ${columns.filter((one) => one.title && !one.leads).map((one) => html`<label><input type="checkbox"
      checked=${!hidden.includes(one.title)} onChange=${() => turn(one.title)} /> ${one.title}</label>`)}</div></details>`;
  return [shown, choice];
}

/** Views of this list by name: what is searched, filtered and sorted by, kept in this browser. */
function Views({ noun }) {
  const { query } = useRoute();
  const [views, setViews] = useKept(`views.${noun}`, []);
  const here = new URLSearchParams([...query].filter(([name]) => name !== "page")).toString();
  const save = async () => {
    const title = await ask({ title: "Keep this view", verb: "Keep",
      text: "What is searched, filtered and sorted by is kept under a name, in this browser.",
      field: { label: "Name of this view" } });
    if (title) setViews([...views.filter((one) => one.title !== title), { title, query: here }]);
  };
  return html`${views.map((one) => html`<span class="view" key=${one.title}>
      <a href=${`${window.location.hash.split("?")[0]}?${one.query}`}
        aria-current=${one.query === here ? "true" : undefined}>${one.title}</a>
      <button type="button" class="plain" aria-label=${`Forget the view ${one.title}`} title="Forget this view"
        onClick=${() => setViews(views.filter((other) => other !== one))}>×</button></span>`)}
    ${here && !views.some((one) => one.query === here) && html`<button type="button" class="small"
      onClick=${save}>Keep this view</button>`}`;
}

/** Which vhost, where there are several. */
function VhostFilter({ paged }) {
  const [vhosts] = useLive("/vhosts", 15);
  const administrator = useMay()("administrator");
  const seen = paged.own && !administrator ? vhosts?.filter((one) => one.rights.length) : vhosts;
  if (!paged.vhost && !(seen?.length > 1)) return null;
  return html`<${Select} label="Vhost" name="vhost" value=${paged.vhost} inline
    options=${[["", "all"], ...(seen || [{ name: paged.vhost }]).map((one) => one.name)]}
    onChange=${(event) => paged.narrow({ vhost: event.target.value })} />`;
}

/** The line above a list: the search field, filters, what was found, the pages, columns and a file. */
export function Finder({ paged, found, noun, columns, choice }) {
  return html`<div class="finder">
    <${Search} value=${paged.name} noun=${`${noun}s`} onSearch=${paged.search} />
    <label class="regex" title="The search is a regular expression"><input type="checkbox" checked=${paged.regex}
      onChange=${(event) => paged.narrow({ regex: event.target.checked || "" })} /> regex</label>
    ${paged.vhosts && html`<${VhostFilter} paged=${paged} />`}
    ${paged.types.length > 0 && html`<${Select} label="Type" name="type" value=${paged.type} inline
      options=${[["", "all"], ...paged.types]} onChange=${(event) => paged.narrow({ type: event.target.value })} />`}
    ${paged.filters.length > 0 && html`<${Select} label="Only" name="only" value=${paged.only} inline
      options=${[["", `all ${noun}s`], ...paged.filters]} onChange=${(event) => paged.narrow({ only: event.target.value })} />`}
    ${found && html`<span class="found" role="status">${count(found.filtered_count)}${found.filtered_count
      !== found.total_count ? ` of ${count(found.total_count)}` : ""} ${noun}${found.filtered_count
      === 1 ? "" : "s"}</span>`}
    ${found && found.page_count > 1 && html`<nav class="pages" aria-label="Parts of the list">
      <button type="button" disabled=${paged.page <= 1}
        onClick=${() => paged.turn(paged.page - 1)} aria-label="Page before">‹</button>
      <span>${count(paged.page)} / ${count(found.page_count)}</span>
      <button type="button" disabled=${paged.page >= found.page_count}
        onClick=${() => paged.turn(paged.page + 1)} aria-label="Page after">›</button></nav>`}
    <span class="tools"><${Views} noun=${noun} />${choice}
      ${columns && html`<${Do} kind="small" title="All that is found, as comma-separated values"
        action=${() => saveCsv(paged, columns.filter((one) => one.title), noun)}>CSV<//>`}</span>
  </div>`;
}
