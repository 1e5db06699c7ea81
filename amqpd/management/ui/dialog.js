// Questions: asked by the page itself, over everything else, until they are answered or left.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";

let show = null;

/**
 * Ask, and wait for the answer: what was typed, true where nothing is to be typed, null if it was left.
 * A question is {title, text, verb, danger, typed, field}: `typed` is what has to be typed before the
 * button can be pressed, `field` is {label, value, suggest} of a text that is wanted.
 */
export const ask = (question) => new Promise((answer) => show({ ...question, answer }));

/** Whether the action may go on; `confirm` is a title, or [title, more about it]. */
export async function sure({ confirm, verb, danger, typed }) {
  const [title, text] = Array.isArray(confirm) ? confirm : [confirm, ""];
  return await ask({ title, text, verb, danger, typed }) !== null;
}

/** Text of what a component shows: of its button, for instance. */
export const textOf = (one) => {
  if (one === null || one === undefined || typeof one === "boolean") return "";
  if (Array.isArray(one)) return one.map(textOf).filter(Boolean).join(" ").replace(/\s+/g, " ").trim();
  if (typeof one !== "object") return String(one);
  if (one.props?.children !== undefined) return textOf(one.props.children);
  return typeof one.type === "function" ? textOf(one.type(one.props)) : "";
};

/** Characters that no keyboard has and no field takes: such a name is not asked for. */
const UNTYPABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
/** What stands between two words of a name is seen; a name of blanks is quoted to be seen at all. */
const typable = (name) => (name.trim() && !UNTYPABLE.test(name) ? name : "delete");

function Suggestions({ id, typed, suggest }) {
  const [names, setNames] = useState([]);
  useEffect(() => {
    let current = true;
    const wait = setTimeout(() => {
      suggest(typed).then((found) => { if (current) setNames(found); }, () => { /* it is typed without help */ });
    }, 150);
    return () => { current = false; clearTimeout(wait); };
  }, [typed]);
  return html`<datalist id=${id}>${names.map((one) => html`<option value=${one} />`)}</datalist>`;
}

function Question({ asked, close }) {
  const place = useRef(null);
  const { title, text, verb = "Yes", danger, field } = asked;
  const wanted = asked.typed === undefined ? undefined : typable(asked.typed);
  const [typed, setTyped] = useState(field?.value || "");
  const ready = wanted === undefined ? !field || typed !== "" : typed === wanted;
  const left = () => {
    place.current?.close(); // gives the focus back to where it was
    close(null);
  };
  const said = (event) => {
    event.preventDefault();
    if (!ready) return;
    place.current.close();
    close(field ? typed : true);
  };
  useLayoutEffect(() => {
    const dialog = place.current;
    dialog.showModal();
    dialog.querySelector("input, [data-first]").focus();
    // Another page, or the login: the question is about nothing that is seen any more.
    window.addEventListener("hashchange", left);
    return () => {
      window.removeEventListener("hashchange", left);
      if (dialog.open) dialog.close();
    };
  }, []);
  const input = (label) => html`<label class="field"><span>${label}</span>
    <input value=${typed} autocomplete="off" spellcheck=${false} required list=${field?.suggest && "suggestions"}
      onInput=${(event) => setTyped(event.target.value)} /></label>`;
  return html`<dialog class="question" ref=${place} role=${field ? "dialog" : "alertdialog"} aria-labelledby="asked"
      aria-describedby=${text ? "asked-more" : undefined}
      onCancel=${(event) => { event.preventDefault(); left(); }}>
    <form onSubmit=${said}><h2 id="asked">${title}</h2>${text && html`<p id="asked-more">${text}</p>`}
      ${wanted !== undefined && input(html`To go on, type <code>${wanted}</code>`)}
      ${field && input(field.label)}
      ${field?.suggest && html`<${Suggestions} id="suggestions" typed=${typed} suggest=${field.suggest} />`}
      <div class="answers"><button type="button" onClick=${left}>Cancel</button>
        <button class=${danger ? "danger" : "main"} data-first disabled=${!ready}>${verb}</button></div>
    </form></dialog>`;
}

/** The place of questions: once on the page. */
export function Questions() {
  const [asked, setAsked] = useState(null);
  useLayoutEffect(() => {
    show = (question) => setAsked((before) => {
      before?.answer(null);
      return question;
    });
    return () => { show = null; };
  }, []);
  const close = (answer) => {
    setAsked(null);
    asked.answer(answer);
  };
  return asked && html`<${Question} asked=${asked} close=${close} />`;
}
