// A form that publishes one message.
import { html } from "../lib.js";
import { post, segment } from "../api.js";
import { Field, Form, Select } from "../widgets.js";
import { parsed } from "./shared.js";

export function PublishForm({ vhost, exchange, routingKey, payload = "" }) {
  const publish = async (form) => {
    const properties = parsed(form.properties, "Properties");
    const headers = parsed(form.headers, "Headers");
    if (Object.keys(headers).length) properties.headers = headers;
    properties.delivery_mode = form.mode === "persistent" ? 2 : 1;
    const { routed } = await post(`/exchanges/${segment(vhost)}/${segment(exchange)}/publish`, {
      routing_key: form.key ?? routingKey, payload: form.payload, payload_encoding: "string", properties,
    });
    if (!routed) throw new Error("Published, but no queue got it: nothing is bound for this key.");
    return "Published.";
  };
  return html`<${Form} label="Publish" action=${publish}>
    <div class="row">${routingKey === undefined && html`<${Field} label="Routing key" name="key" />`}
      <${Select} label="Delivery" name="mode" options=${["persistent", "transient"]} />
      <${Field} label="Headers (JSON)" name="headers" placeholder='{"name": "value"}' />
      <${Field} label="Properties (JSON)" name="properties" placeholder='{"content_type": "text/plain"}' /></div>
    <${Field} label="Body"><textarea name="payload" rows="4" spellcheck=${false}>${payload}</textarea><//>
  <//>`;
}
