// What was counted of messages, and what of it is drawn.
import { html } from "../lib.js";
import { Facts } from "../widgets.js";
import { count, rate } from "../format.js";

export const DEPTH = (totals) => [
  { label: "ready", colour: "--ready", details: totals?.messages_ready_details },
  { label: "unacked", colour: "--unacked", details: totals?.messages_unacknowledged_details },
];

export const RATES = (stats) => [
  { label: "publish", colour: "--in", details: stats?.publish_details },
  { label: "confirm", colour: "--confirm", details: stats?.confirm_details },
  { label: "deliver", colour: "--out", details: stats?.deliver_get_details },
  { label: "ack", colour: "--ack", details: stats?.ack_details },
  { label: "redeliver", colour: "--bad", details: stats?.redeliver_details },
];

const COUNTED = [
  ["publish", "Published"], ["confirm", "Confirmed"], ["return_unroutable", "Returned: no queue"],
  ["drop_unroutable", "Dropped: no queue"], ["deliver", "Delivered, to acknowledge"],
  ["deliver_no_ack", "Delivered, acknowledged by that"], ["get", "Got, to acknowledge"],
  ["get_no_ack", "Got, acknowledged by that"], ["get_empty", "Got nothing"],
  ["redeliver", "Delivered again"], ["ack", "Acknowledged"],
];

/** All that is counted, since the start and per second, folded away. */
export const Totals = ({ stats }) => stats && html`<details class="add"><summary>All counts</summary>
  <${Facts} rows=${COUNTED.filter(([name]) => stats[name] !== undefined)
    .map(([name, title]) => [title, `${count(stats[name])}, ${rate(stats[`${name}_details`]?.rate ?? 0)}/s`])} /></details>`;
