// The pieces that pages are made of.
import { html, useEffect, useRef, useState } from "./lib.js";
import { go, setQuery, useRoute } from "./route.js";
import { count } from "./format.js";

/** An error in words, or nothing. */
export const Trouble = ({ error }) => (error
  ? html`<p class="trouble" role="alert">${error.message}</p>` : null);

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export const Badge = ({ kind = "", title, children }) => html`
  <span class=${`badge ${kind}`} title=${title}>${children}</span>`;

export const Stat = ({ label, children, href, kind = "" }) => html`
  <a class=${`stat ${kind}`} href=${href}><b>${children}</b><span>${label}</span></a>`;

export const Section = ({ title, aside, children }) => html`
  <section><header><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>
    ${children}</section>`;

/** Names and values, one a line; those without a value are left out. */
export const Facts = ({ rows }) => html`
  <dl class="facts">${rows.filter(([, one]) => one !== undefined && one !== null && one !== "")
    .map(([name, one]) => html`<div><dt>${name}</dt><dd>${one}</dd></div>`)}</dl>`;

/** A button that does something and says what went wrong; `confirm` is asked first. */
export function Do({ action, confirm, kind = "", title, disabled, children }) {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (event) => {
    event.preventDefault();
    if (confirm && !window.confirm(confirm)) return;
    setState({ busy: true, error: null });
    try {
      await action();
      setState({ busy: false, error: null });
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return html`<button type="button" class=${kind} title=${title} onClick=${run}
      disabled=${disabled || state.busy}>${children}</button>
    <${Trouble} error=${state.error} />`;
}

/** A form; `action(values)` gets what was typed, and may throw. */
export function Form({ action, label, done, kind = "", children }) {
  const [state, setState] = useState({ busy: false, error: null, said: "" });
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const values = Object.fromEntries(new FormData(form));
    setState({ busy: true, error: null, said: "" });
    try {
      const said = await action(values);
      setState({ busy: false, error: null, said: typeof said === "string" ? said : done || "" });
      if (kind !== "inline") form.reset();
    } catch (error) {
      setState({ busy: false, error, said: "" });
    }
  };
  return html`<form class=${`form ${kind}`} onSubmit=${submit}>${children}
    <div class="row"><button class="main" disabled=${state.busy}>${label}</button>
      ${state.said && html`<span class="said" role="status">${state.said}</span>`}</div>
    <${Trouble} error=${state.error} /></form>`;
}

export const Field = ({ label, hint, inline, children, ...attributes }) => html`
  <label class=${inline ? "field inline" : "field"}><span>${label}</span>
    ${children || html`<input autocomplete="off" spellcheck=${false} ...${attributes} />`}
    ${hint && html`<small>${hint}</small>`}</label>`;

/** Options are texts, or pairs of what is sent and what is shown. */
export const Select = ({ label, name, options, value, onChange, inline }) => html`
  <${Field} label=${label} inline=${inline}><select name=${name} value=${value} onChange=${onChange}>
    ${options.map((one) => {
    const [sent, shown] = Array.isArray(one) ? one : [one, one];
    return html`<option value=${sent}>${shown}</option>`;
  })}</select><//>`;

/** A list with a head that sorts; rows are links where `href` gives one. */
export function Table({ columns, rows, href, sort, reverse, onSort, label }) {
  const open = (row) => (event) => {
    const target = href?.(row);
    if (target && !event.target.closest("a, button, input")) window.location.hash = target;
  };
  const key = (row) => (event) => { if (event.key === "Enter") open(row)(event); };
  return html`<div class="scroll"><table aria-label=${label}><thead><tr>
    ${columns.map((one) => html`<th class=${one.kind} key=${one.title}
        aria-sort=${sort && sort === one.sort ? (reverse ? "descending" : "ascending") : undefined}>
      ${one.sort && onSort
        ? html`<button type="button" class="plain" onClick=${() => onSort(one)}>${one.title}
            ${sort === one.sort ? (reverse ? " ↓" : " ↑") : ""}</button>` : one.title}</th>`)}
    </tr></thead><tbody>
    ${rows.map((row, at) => html`<tr key=${row.key ?? at} class=${href ? "opens" : ""}
        tabindex=${href ? 0 : undefined} onClick=${href && open(row)} onKeyDown=${href && key(row)}>
      ${columns.map((one) => html`<td class=${one.kind}>${one.show(row)}</td>`)}</tr>`)}
    </tbody></table></div>`;
}

/** Search, pages and sorting of a list that the broker cuts; its state is in the address. */
export function usePaged(path, { sort = "name", reverse = false, size = 100, extra = "" } = {}) {
  const { query } = useRoute();
  const state = {
    page: Number(query.get("page") || 1),
    name: query.get("name") || "",
    sort: query.get("sort") || sort,
    reverse: (query.get("reverse") || String(reverse)) === "true",
    size,
  };
  const asked = new URLSearchParams({
    page: state.page, page_size: size, sort: state.sort, sort_reverse: state.reverse,
  });
  if (state.name) asked.set("name", state.name);
  return {
    ...state,
    path: `${path}?${asked}${extra}`,
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

/** The line above a list: the search field, what was found, the pages. */
export function Finder({ paged, found, noun, children }) {
  return html`<div class="finder">
    <${Search} value=${paged.name} noun=${`${noun}s`} onSearch=${paged.search} />
    ${children}
    ${found && html`<span class="found">${count(found.filtered_count)}${found.filtered_count
      !== found.total_count ? ` of ${count(found.total_count)}` : ""} ${noun}${found.filtered_count
      === 1 ? "" : "s"}</span>`}
    ${found && found.page_count > 1 && html`<nav class="pages" aria-label="Pages">
      <button type="button" disabled=${paged.page <= 1}
        onClick=${() => paged.turn(paged.page - 1)} aria-label="Page before">‹</button>
      <span>${count(paged.page)} / ${count(found.page_count)}</span>
      <button type="button" disabled=${paged.page >= found.page_count}
        onClick=${() => paged.turn(paged.page + 1)} aria-label="Page after">›</button></nav>`}
  </div>`;
}

/** Tabs whose choice is in the address. */
export function Tabs({ base, tabs, chosen }) {
  return html`<nav class="tabs" role="tablist">${tabs.map(([name, title]) => html`
    <button type="button" role="tab" aria-selected=${name === chosen}
      onClick=${() => go(...base, name)}>${title}</button>`)}</nav>`;
}
