// The pieces that pages are made of.
import { html, useEffect, useRef, useState } from "./lib.js";
import { sure, textOf } from "./dialog.js";
import { go } from "./route.js";
import { parse } from "./exact.js";
import { time } from "./format.js";

/** An error in words, or nothing. */
export const Trouble = ({ error }) => (error
  ? html`<p class="trouble" role="alert">${error.message}</p>` : null);

/** A moment as the broker writes it for everybody. */
const MOMENT = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00/g;

/** A text of the broker's: what stands between backticks is code, moments are told in the reader's zone. */
export const Words = ({ text }) => String(text).split("`").map((one, at) => (at % 2
  ? html`<code>${one}</code>` : one.replace(MOMENT, (moment) => time(Date.parse(moment.replace(" ", "T"))))));

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

/**
 * A button that does something and says what went wrong; `confirm` is asked first, a title or
 * [title, more]; `typed` has to be typed then.
 */
export function Do({ action, confirm, typed, kind = "", title, disabled, label, children }) {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (event) => {
    event.preventDefault();
    const danger = kind.includes("danger");
    if (confirm && !await sure({ confirm, typed, danger, verb: textOf(children) })) return;
    setState({ busy: true, error: null });
    try {
      await action();
      setState({ busy: false, error: null });
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return html`<button type="button" class=${kind} title=${title} onClick=${run} aria-label=${label}
      disabled=${disabled || state.busy}>${children}</button>
    <${Trouble} error=${state.error} />`;
}

/**
 * What is known for a field of JSON: a press adds the name with a value to be changed.
 * `known` are [name, value, what it means].
 */
export function Hints({ field, known }) {
  const [error, setError] = useState(null);
  const add = (name, value) => (event) => {
    const input = event.target.form.elements[field];
    try {
      const now = input.value.trim() ? parse(input.value) : {};
      input.value = JSON.stringify({ ...now, [name]: now[name] ?? value });
      input.focus();
      setError(null);
    } catch {
      setError(new Error("What is there is not JSON: mend or empty it first."));
    }
  };
  return html`<p class="hints"><span class="muted">Add</span> ${known.map(([name, value, means]) => html`
    <button type="button" class="small" title=${means} onClick=${add(name, value)}>${name.replace(/^x-/, "")}</button> `)}</p>
    <${Trouble} error=${error} />`;
}

/** A form; `action(values)` gets what was typed, and may throw; `confirm` is asked first, as by `Do`. */
export function Form({ action, label, done, confirm, typed, danger = false, kind = "", children }) {
  const [state, setState] = useState({ busy: false, error: null, said: "" });
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    if (confirm && !await sure({ confirm, typed, danger, verb: label })) return;
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
    <div class="row"><button class=${danger ? "danger" : "main"} disabled=${state.busy}>${label}</button>
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

/**
 * A list with a head that sorts. Where `href` gives a place, a press anywhere in the row goes there;
 * the column that has `leads` is a link, for the keyboard and for other tabs. On a narrow screen rows
 * are cards; the roles are said because a table that is not laid out as one is none for screen readers.
 */
export function Table({ columns, rows, href, sort, reverse, onSort, label }) {
  const open = (row) => (event) => {
    const target = href?.(row);
    const marked = window.getSelection()?.toString();
    if (target && !marked && !event.target.closest("a, button, input")) window.location.hash = target;
  };
  const cell = (one, row) => (one.leads && href?.(row)
    ? html`<a class="leads" href=${href(row)}>${one.show(row)}</a>` : one.show(row));
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0"><table role="table" aria-label=${label}>
    <thead role="rowgroup"><tr role="row">
    ${columns.map((one, at) => html`<th class=${one.kind} key=${one.title || at} scope="col" role="columnheader" title=${one.means}
        aria-sort=${sort && sort === one.sort ? (reverse ? "descending" : "ascending") : undefined}>
      ${one.sort && onSort
        ? html`<button type="button" class="plain" onClick=${() => onSort(one)}>${one.title}
            ${sort === one.sort ? (reverse ? " ↓" : " ↑") : ""}</button>`
        : one.head || one.title || html`<span class="unseen">What can be done</span>`}</th>`)}
    </tr></thead><tbody role="rowgroup">
    ${rows.map((row, at) => html`<tr key=${row.key ?? at} role="row" class=${href ? "opens" : ""} onClick=${href && open(row)}>
      ${columns.map((one) => html`<td role="cell" class=${one.leads ? "lead" : one.kind}
        data-label=${one.title || undefined}>${cell(one, row)}</td>`)}</tr>`)}
    </tbody></table></div>`;
}

/** Tabs whose choice is in the address. */
export function Tabs({ base, tabs, chosen }) {
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = tabs.map(([name]) => name);
    const next = names[(names.indexOf(chosen) + step + names.length) % names.length];
    go(...base, next);
    event.currentTarget.querySelector(`[data-tab="${next}"]`)?.focus();
  };
  const place = useRef(null);
  useEffect(() => {
    // On a narrow screen they do not fit side by side.
    place.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [chosen]);
  return html`<div class="tabs" role="tablist" ref=${place} onKeyDown=${turn}>${tabs.map(([name, title]) => html`
    <button type="button" role="tab" aria-selected=${name === chosen} data-tab=${name}
      tabindex=${name === chosen ? 0 : -1} onClick=${() => go(...base, name)}>${title}</button>`)}</div>`;
}
