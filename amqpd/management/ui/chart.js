// Lines over time: a minute, an hour or a day of samples, drawn by uPlot.
import { html, useEffect, useRef, useState } from "./lib.js";
import uPlot from "./vendor/uplot.js";
import { count } from "./format.js";
import { useScheme } from "./appearance.js";

/** Seconds shown, and seconds between two samples. */
export const RANGES = { minute: [60, 1], hour: [3600, 15], day: [86400, 300] };

/** The part of a query that asks for samples of one range. */
export function sampled(range) {
  const [age, step] = RANGES[range];
  return `&lengths_age=${age}&lengths_incr=${step}&msg_rates_age=${age}&msg_rates_incr=${step}`
    + `&data_rates_age=${age}&data_rates_incr=${step}&node_stats_age=${age}&node_stats_incr=${step}`;
}

export function RangeChoice({ range, choose }) {
  return html`<div class="choice" role="group" aria-label="Time shown">
    ${Object.keys(RANGES).map((one) => html`<button type="button" aria-pressed=${one === range}
      onClick=${() => choose(one)}>${one}</button>`)}</div>`;
}

export function useRange() {
  return useState("minute");
}

const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** A moment on the axis: the time of day, with seconds where ticks are closer than a minute. */
const clock = (at, step) => new Date(at * 1000).toLocaleTimeString("en-GB", {
  hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}),
});

const amount = (n, growing) => (n === undefined || n === null ? "–"
  : growing && n < 10 ? n.toFixed(1) : count(Math.round(n)));

/** Samples of RabbitMQ's form as [seconds, values]: totals as they are, or their growth. */
function series(samples, growing) {
  const points = [...(samples || [])].sort((a, b) => a.timestamp - b.timestamp);
  const times = [];
  const values = [];
  points.forEach((one, at) => {
    if (!growing) {
      times.push(one.timestamp / 1000);
      values.push(one.sample);
    } else if (at) {
      const before = points[at - 1];
      const seconds = (one.timestamp - before.timestamp) / 1000;
      times.push(one.timestamp / 1000);
      values.push(seconds > 0 ? Math.max(0, (one.sample - before.sample) / seconds) : 0);
    }
  });
  return [times, values];
}

/** What is shown of the time: a minute at least, since one sample alone would stand among years. */
function span(plot, from, to) {
  const last = plot.data[0].at(-1);
  return last === undefined ? [from, to] : [Math.min(from, last - 60), last];
}

/**
 * A chart; `lines` are {label, colour, details} with RabbitMQ's `*_details`, `growing` for
 * counters that are shown as rates; `show` is how a value is written, `tick` one on the axis.
 */
export function Chart({
  title, lines, growing = false, show = (n) => amount(n, growing), tick = (n) => short.format(n),
}) {
  const place = useRef(null);
  const plot = useRef(null);
  const shown = lines.filter((one) => one.details?.samples?.length);
  const keys = shown.map((one) => one.label).join();
  const scheme = useScheme();
  useEffect(() => {
    if (!shown.length) return undefined;
    const axis = {
      stroke: styleOf("--muted"),
      grid: { stroke: styleOf("--line"), width: 1 },
      ticks: { stroke: styleOf("--line"), width: 1 },
    };
    plot.current = new uPlot({
      width: place.current.clientWidth,
      height: 180,
      legend: { live: true },
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: span },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        { ...axis, space: 70, values: (_, ticks, __, ___, step) => ticks.map((at) => clock(at, step)) },
        { ...axis, size: 74, values: (_, ticks) => ticks.map((n) => tick(n)) },
      ],
      series: [
        { value: (plot, n) => (n === null ? "now" : clock(n, 1)) },
        ...shown.map((one) => ({
          label: one.label,
          stroke: styleOf(one.colour),
          width: 2,
          // Without a cursor: the newest.
          value: (plot, n, at) => show(n ?? plot.data[at]?.at(-1)),
        })),
      ],
    }, [[], ...shown.map(() => [])], place.current);
    const around = place.current;
    const fit = new ResizeObserver(() => {
      plot.current?.setSize({ width: around.clientWidth, height: 180 });
    });
    fit.observe(around);
    return () => {
      fit.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [keys, growing, scheme]);
  useEffect(() => {
    if (!plot.current || !shown.length) return;
    const found = shown.map((one) => series(one.details.samples, growing));
    plot.current.setData([found[0][0], ...found.map(([, values]) => values)]);
  });
  return html`<figure class="chart"><figcaption>${title}</figcaption>
    ${shown.length ? html`<div ref=${place}></div>`
      : html`<div class="waiting">Nothing yet: the first samples come within seconds.</div>`}
  </figure>`;
}
