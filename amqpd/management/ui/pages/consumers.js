// Consumers: of a queue, or of a channel.
import { html, useContext } from "../lib.js";
import { remove, segment } from "../api.js";
import { link } from "../route.js";
import { Badge, Do, Table } from "../widgets.js";
import { Me, may } from "../me.js";
import { age, count, plural, value } from "../format.js";

const OF = { title: "Of", show: (one) => html`<a href=${link("channels", one.channel_details?.name || "")}>
    ${one.channel_details?.user_provided_name || one.channel_details?.name}</a>
    ${one.channel_details?.user_provided_name && html`<small>${one.channel_details.name}</small>`}` };
const FROM = { title: "From", show: (one) => html`<a href=${link("queues", one.queue.vhost, one.queue.name)}>${one.queue.name}</a>` };

function Cancel({ one, vhost }) {
  const me = useContext(Me);
  const channel = one.channel_details;
  if (!channel || !(may(me, "administrator") || channel.user === me?.name)) return null;
  return html`<${Do} kind="small danger" action=${() => remove(`/consumers/${segment(vhost)}/${
    segment(channel.connection_name)}/${channel.number}/${segment(one.consumer_tag)}`)}
    confirm=${[`Cancel the consumer '${one.consumer_tag}'?`,
      `It gets nothing more; what it has not acknowledged (${plural(one.messages_unacknowledged || 0, "message")}) stays with it.`]}>Cancel<//>`;
}

/** `queues`: says from which queue each takes; without it, of which channel it is. */
export const ConsumerTable = ({ consumers, vhost, queues }) => html`<${Table} label="Consumers"
  rows=${consumers.map((one) => ({ ...one, key: `${one.channel_details?.name} ${one.consumer_tag}` }))} columns=${[
    { title: "Consumer", show: (one) => html`<code>${one.consumer_tag}</code>` },
    queues ? FROM : OF,
    { title: "Active", show: (one) => (one.active === false ? "waiting" : "yes") },
    { title: "Acks", show: (one) => (one.ack_required ? "manual" : "automatic") },
    { title: "Unacked", kind: "number", show: (one) => html`${count(one.messages_unacknowledged)}
        ${one.prefetch_count > 0 && one.messages_unacknowledged >= one.prefetch_count
    && html` <${Badge} kind="warn" title="It gets nothing more before it acknowledges">full<//>`}` },
    { title: "Oldest unacked", kind: "number", means: "How long the consumer has had the oldest message that it has not acknowledged",
      show: (one) => age(one.oldest_unacked_since) },
    { title: "Prefetch", kind: "number", show: (one) => (one.prefetch_count ? count(one.prefetch_count) : "no limit") },
    { title: "Priority", kind: "number", show: (one) => one.priority || "" },
    { title: "Exclusive", show: (one) => (one.exclusive ? "yes" : "") },
    { title: "Arguments", show: (one) => (Object.keys(one.arguments || {}).length ? value(one.arguments) : "") },
    { title: "", show: (one) => html`<${Cancel} one=${one} vhost=${vhost} />` },
  ]} />`;
