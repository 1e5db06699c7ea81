// A form that publishes one message.
import { html } from "../lib.js";
import { post, segment, useLive } from "../api.js";
import { can } from "../me.js";
import { Empty, Field, Form, Hints, Select } from "../widgets.js";
import { parsed } from "./shared.js";

const PROPERTIES = [
  ["content_type", "application/json", "the kind of the body"], ["priority", 1, "0 to 255"],
  ["expiration", "60000", "it is dropped after so many ms"], ["correlation_id", "", "which request it answers"],
  ["reply_to", "", "queue for the answer"], ["message_id", "", ""], ["type", "", ""], ["app_id", "", ""],
  ["timestamp", 1750000000, "seconds since 1970"],
];

export function PublishForm({ vhost, exchange, routingKey, payload = "" }) {
  const [target] = useLive(`/exchanges/${segment(vhost)}/${segment(exchange)}?columns=rights,internal`, 30);
  const publish = async (form) => {
    const properties = parsed(form.properties, "Properties");
    const headers = parsed(form.headers, "Headers");
    if (Object.keys(headers).length) properties.headers = headers;
    properties.delivery_mode = form.mode === "persistent" ? 2 : 1;
    const { routed } = await post(`/exchanges/${segment(vhost)}/${segment(exchange)}/publish`, {
      routing_key: form.key ?? routingKey, payload: form.payload, payload_encoding: form.encoding, properties,
    });
    if (!routed) throw new Error("Published, but no queue got it: nothing is bound for this key.");
    return "Published.";
  };
  if (target?.internal) return html`<${Empty}>It is internal: only other exchanges publish to it.<//>`;
  if (!can(target, "write")) return html`<${Empty}>You have no permission to publish here.<//>`;
  return html`<${Form} label="Publish" action=${publish}>
    <div class="row">${routingKey === undefined && html`<${Field} label="Routing key" name="key" />`}
      <${Select} label="Delivery" name="mode" options=${["persistent", "transient"]} />
      <${Select} label="Payload is" name="encoding" options=${[["string", "text"], "base64"]} />
      <${Field} label="Headers (JSON)" name="headers" placeholder='{"name": "value"}' />
      <${Field} label="Properties (JSON)" name="properties" placeholder='{"content_type": "text/plain"}' /></div>
    <${Hints} field="properties" known=${PROPERTIES} />
    <${Field} label="Body"><textarea name="payload" rows="4" spellcheck=${false}>${payload}</textarea><//>
  <//>`;
}
