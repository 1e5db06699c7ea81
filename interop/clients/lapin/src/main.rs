//! Every scenario with lapin.

use futures_lite::StreamExt;
use lapin::auth::AuthProvider;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    Event, ExchangeKind,
};
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
type Scenario = for<'a> fn(&'a Connection, &'a Channel) -> Running<'a>;

const URI: &str = "amqp://guest:guest@localhost:5672/%2f";
const PATIENCE: Duration = Duration::from_secs(10);

// -- what the scenarios share

fn equal<T: PartialEq + Debug>(expected: T, seen: T) -> Outcome {
    if expected == seen {
        return Ok(());
    }
    Err(format!("seen {seen:?}, expected {expected:?}").into())
}

/// The reply code of an error that the broker sent.
fn code<T>(result: lapin::Result<T>) -> Outcome<u16> {
    match result {
        Ok(_) => Err("it was allowed".into()),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(reason) => Ok(reason.get_id()),
            _ => Err(error.into()),
        },
    }
}

async fn control(word: &str) -> Outcome {
    let command = std::env::var("BROKER_CONTROL")?;
    let status = tokio::process::Command::new(command).arg(word).status().await?;
    equal(true, status.success())
}

async fn connect() -> lapin::Result<Connection> {
    Connection::connect(URI, ConnectionProperties::default()).await
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut made = FieldTable::default();
    for (key, value) in entries {
        made.insert((*key).into(), value.clone());
    }
    made
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn int(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

async fn send(channel: &Channel, exchange: &str, key: &str, body: &str) -> Outcome<Confirmation> {
    send_with(channel, exchange, key, body.as_bytes(), BasicProperties::default()).await
}

async fn send_with(
    channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties,
) -> Outcome<Confirmation> {
    let options = BasicPublishOptions::default();
    let confirm = channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await?;
    Ok(confirm.await?)
}

async fn declare(
    channel: &Channel, name: &str, options: QueueDeclareOptions, arguments: FieldTable,
) -> lapin::Result<String> {
    let queue = channel.queue_declare(name.into(), options, arguments).await?;
    Ok(queue.name().to_string())
}

/// A queue of this connection's own.
async fn temporary(channel: &Channel, arguments: FieldTable) -> lapin::Result<String> {
    declare(channel, "", QueueDeclareOptions::exclusive(), arguments).await
}

async fn bind(
    channel: &Channel, queue: &str, exchange: &str, key: &str, arguments: FieldTable,
) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await
}

/// An exchange of a type, with a queue for each key.
async fn exchange(
    channel: &Channel, name: &str, kind: ExchangeKind, keys: &[&str],
) -> Outcome<Vec<String>> {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
    let mut queues = Vec::new();
    for key in keys {
        let queue = temporary(channel, FieldTable::default()).await?;
        bind(channel, &queue, name, key, FieldTable::default()).await?;
        queues.push(queue);
    }
    Ok(queues)
}

async fn bodies(channel: &Channel, queue: &str) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(queue.into(), options).await? {
        found.push(String::from_utf8_lossy(&message.delivery.data).into());
    }
    Ok(found)
}

fn strings(found: &[&str]) -> Vec<String> {
    found.iter().map(|one| one.to_string()).collect()
}

async fn consume(
    channel: &Channel, queue: &str, tag: &str, arguments: FieldTable,
) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), tag.into(), options, arguments).await
}

async fn next(consumer: &mut Consumer) -> Outcome<Delivery> {
    match timeout(PATIENCE, consumer.next()).await? {
        Some(delivery) => Ok(delivery?),
        None => Err("the consumer is closed".into()),
    }
}

/// Waits for a message in a queue that nobody consumes.
async fn letter(channel: &Channel, queue: &str) -> Outcome<Delivery> {
    for _ in 0..100 {
        let options = BasicGetOptions { no_ack: true };
        if let Some(message) = channel.basic_get(queue.into(), options).await? {
            return Ok(message.delivery);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err("no dead letter".into())
}

fn header(delivery: &Delivery, name: &str) -> Option<AMQPValue> {
    let headers = delivery.properties.headers().as_ref()?;
    headers.inner().get(name).cloned()
}

/// An entry of the first table in x-death.
fn death(delivery: &Delivery, name: &str) -> Outcome<AMQPValue> {
    if let Some(AMQPValue::FieldArray(deaths)) = header(delivery, "x-death")
        && let Some(AMQPValue::FieldTable(first)) = deaths.as_slice().first()
        && let Some(value) = first.inner().get(name)
    {
        return Ok(value.clone());
    }
    Err(format!("no {name} in x-death").into())
}

async fn works(connection: lapin::Result<Connection>) -> Outcome {
    let connection = connection?;
    let channel = connection.create_channel().await?;
    let queue = temporary(&channel, FieldTable::default()).await?;
    send(&channel, "", &queue, "secret").await?;
    equal(strings(&["secret"]), bodies(&channel, &queue).await?)?;
    Ok(connection.close(200, "bye".into()).await?)
}

fn certificate(name: &str) -> Outcome<Vec<u8>> {
    let folder = std::env::var("CERTIFICATES")?;
    Ok(std::fs::read(format!("{folder}/{name}"))?)
}

async fn secure(uri: &str, identity: Option<OwnedIdentity>) -> Outcome {
    let authority = String::from_utf8(certificate("ca.pem")?)?;
    let tls = OwnedTLSConfig { identity, cert_chain: Some(authority) };
    let runtime = lapin::runtime::default_runtime()?;
    let options = ConnectionProperties::default();
    works(Connection::connect_with_config(uri, options, tls, runtime).await).await
}

// -- the scenarios

async fn connect_plain(connection: &Connection, _: &Channel) -> Outcome {
    equal(true, connection.status().connected())?;
    works(connect().await).await
}

async fn connect_amqplain(_: &Connection, _: &Channel) -> Outcome {
    let uri = format!("{URI}?auth_mechanism=amqplain");
    works(Connection::connect(&uri, ConnectionProperties::default()).await).await
}

async fn connect_external(_: &Connection, _: &Channel) -> Outcome {
    let identity = OwnedIdentity::PKCS8 {
        pem: certificate("client.pem")?,
        key: certificate("client.key")?,
    };
    let uri = "amqps://localhost:5671/%2f?auth_mechanism=external";
    secure(uri, Some(identity)).await
}

struct Anonymous;

impl AuthProvider for Anonymous {
    fn mechanism(&self) -> ShortString {
        "ANONYMOUS".into()
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        Ok("".into())
    }
}

async fn connect_anonymous(_: &Connection, _: &Channel) -> Outcome {
    let options = ConnectionProperties::default().with_auth_provider(Anonymous);
    works(Connection::connect(URI, options).await).await
}

async fn connect_refused(_: &Connection, _: &Channel) -> Outcome {
    let uri = "amqp://guest:wrong@localhost:5672/%2f";
    let refused = Connection::connect(uri, ConnectionProperties::default()).await;
    equal(403, code(refused)?)
}

async fn connect_tls(_: &Connection, _: &Channel) -> Outcome {
    secure("amqps://guest:guest@localhost:5671/%2f", None).await
}

async fn topology(connection: &Connection, channel: &Channel) -> Outcome {
    exchange(channel, "lapin.exchange", ExchangeKind::Direct, &[]).await?;
    let none = FieldTable::default;
    declare(channel, "lapin.queue", QueueDeclareOptions::durable(), none()).await?;
    bind(channel, "lapin.queue", "lapin.exchange", "key", none()).await?;
    send(channel, "lapin.exchange", "key", "one").await?;
    let names = ("lapin.queue".into(), "lapin.exchange".into(), "key".into());
    channel.queue_unbind(names.0, names.1, names.2, none()).await?;
    send(channel, "lapin.exchange", "key", "two").await?;
    equal(strings(&["one"]), bodies(channel, "lapin.queue").await?)?;
    channel.queue_delete("lapin.queue".into(), QueueDeleteOptions::default()).await?;
    let options = ExchangeDeleteOptions::default();
    channel.exchange_delete("lapin.exchange".into(), options).await?;
    let passive = QueueDeclareOptions::default().passive();
    equal(404, code(declare(channel, "lapin.queue", passive, none()).await)?)?;
    equal((false, true), (channel.status().connected(), connection.status().connected()))
}

async fn inequivalent(_: &Connection, channel: &Channel) -> Outcome {
    let options = QueueDeclareOptions::exclusive();
    declare(channel, "lapin.kind", options, FieldTable::default()).await?;
    let other = table(&[("x-max-length", int(1))]);
    equal(406, code(declare(channel, "lapin.kind", options, other).await)?)
}

async fn exchange_direct(_: &Connection, channel: &Channel) -> Outcome {
    let keys = ["red", "blue"];
    let queues = exchange(channel, "lapin.direct", ExchangeKind::Direct, &keys).await?;
    for key in ["red", "blue", "green", "red"] {
        send(channel, "lapin.direct", key, key).await?;
    }
    equal(strings(&["red", "red"]), bodies(channel, &queues[0]).await?)?;
    equal(strings(&["blue"]), bodies(channel, &queues[1]).await?)
}

async fn exchange_fanout(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.fanout", ExchangeKind::Fanout, &["", "", ""]).await?;
    send(channel, "lapin.fanout", "whatever", "all").await?;
    for queue in queues {
        equal(strings(&["all"]), bodies(channel, &queue).await?)?;
    }
    Ok(())
}

async fn exchange_topic(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.topic", ExchangeKind::Topic, &["*.red.#"]).await?;
    for key in ["a.red", "a.blue", "b.red.x.y", "red"] {
        send(channel, "lapin.topic", key, key).await?;
    }
    equal(strings(&["a.red", "b.red.x.y"]), bodies(channel, &queues[0]).await?)
}

async fn exchange_headers(_: &Connection, channel: &Channel) -> Outcome {
    exchange(channel, "lapin.headers", ExchangeKind::Headers, &[]).await?;
    let queue = temporary(channel, FieldTable::default()).await?;
    let wanted = [("x-match", text("all")), ("colour", text("red")), ("size", int(3))];
    bind(channel, &queue, "lapin.headers", "", table(&wanted)).await?;
    for count in [2, 1] {
        let headers = BasicProperties::default().with_headers(table(&wanted[1..=count]));
        let body = count.to_string();
        send_with(channel, "lapin.headers", "", body.as_bytes(), headers).await?;
    }
    equal(strings(&["2"]), bodies(channel, &queue).await?)
}

async fn exchange_binding(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.inner", ExchangeKind::Fanout, &[""]).await?;
    exchange(channel, "lapin.outer", ExchangeKind::Direct, &[]).await?;
    let (inner, outer) = ("lapin.inner".into(), "lapin.outer".into());
    let options = ExchangeBindOptions::default();
    channel.exchange_bind(inner, outer, "through".into(), options, FieldTable::default()).await?;
    send(channel, "lapin.outer", "through", "in").await?;
    send(channel, "lapin.outer", "past", "out").await?;
    equal(strings(&["in"]), bodies(channel, &queues[0]).await?)
}

async fn alternate_exchange(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.other", ExchangeKind::Fanout, &[""]).await?;
    let arguments = table(&[("alternate-exchange", text("lapin.other"))]);
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare("lapin.main".into(), ExchangeKind::Direct, options, arguments).await?;
    send(channel, "lapin.main", "nobody", "caught").await?;
    equal(strings(&["caught"]), bodies(channel, &queues[0]).await?)
}

async fn properties(_: &Connection, channel: &Channel) -> Outcome {
    let mut list = FieldArray::default();
    list.push(int(1));
    list.push(AMQPValue::FieldTable(table(&[("a", int(2))])));
    let headers = table(&[
        ("text", text("größe")),
        ("int", int(42)),
        ("long", AMQPValue::LongLongInt(1 << 40)),
        ("yes", AMQPValue::Boolean(true)),
        ("double", AMQPValue::Double(1.5)),
        ("list", AMQPValue::FieldArray(list)),
    ]);
    let sent = persistent()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_priority(3)
        .with_correlation_id("c1".into())
        .with_reply_to("answers".into())
        .with_expiration("60000".into())
        .with_message_id("m1".into())
        .with_timestamp(1_700_000_000)
        .with_type("order".into())
        .with_user_id("guest".into())
        .with_app_id("lapin".into());
    let queue = temporary(channel, FieldTable::default()).await?;
    send_with(channel, "", &queue, b"{}", sent.clone()).await?;
    equal(sent, letter(channel, &queue).await?.properties)
}

async fn get(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    send(channel, "", &queue, "1").await?;
    send(channel, "", &queue, "2").await?;
    let options = BasicGetOptions::default();
    let first = channel.basic_get(queue.as_str().into(), options).await?.ok_or("empty")?;
    equal((b"1".to_vec(), 1), (first.delivery.data.clone(), first.message_count))?;
    first.delivery.ack(BasicAckOptions::default()).await?;
    equal(strings(&["2"]), bodies(channel, &queue).await?)
}

async fn consume_ack(_: &Connection, channel: &Channel) -> Outcome {
    let options = QueueDeclareOptions::default();
    declare(channel, "lapin.consumed", options, FieldTable::default()).await?;
    in_order(channel, "lapin.consumed", 100).await?;
    let options = QueueDeleteOptions::default();
    equal(0, channel.queue_delete("lapin.consumed".into(), options).await?)
}

/// Publishes numbers and consumes them again, each acknowledged.
async fn in_order(channel: &Channel, queue: &str, count: u32) -> Outcome {
    for number in 0..count {
        send(channel, "", queue, &number.to_string()).await?;
    }
    channel.basic_qos(200, BasicQosOptions::default()).await?;
    let mut consumer = consume(channel, queue, "", FieldTable::default()).await?;
    for number in 0..count {
        let delivery = next(&mut consumer).await?;
        equal(number.to_string().into_bytes(), delivery.data.clone())?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?)
}

async fn requeue(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    send(channel, "", &queue, "again").await?;
    let options = BasicGetOptions::default();
    let first = channel.basic_get(queue.as_str().into(), options).await?.ok_or("empty")?;
    let again = BasicNackOptions { requeue: true, ..Default::default() };
    first.delivery.nack(again).await?;
    let second = channel.basic_get(queue.as_str().into(), options).await?.ok_or("empty")?;
    equal((false, true), (first.delivery.redelivered, second.delivery.redelivered))?;
    second.delivery.reject(BasicRejectOptions::default()).await?;
    equal(strings(&[]), bodies(channel, &queue).await?)
}

async fn confirms(_: &Connection, channel: &Channel) -> Outcome {
    let options = QueueDeclareOptions::durable();
    declare(channel, "lapin.confirmed", options, FieldTable::default()).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        let options = BasicPublishOptions::default();
        let key = "lapin.confirmed".into();
        waiting.push(channel.basic_publish("".into(), key, options, b"x", persistent()).await?);
    }
    for confirm in waiting {
        equal(true, confirm.await?.is_ack())?;
    }
    let options = QueueDeleteOptions::default();
    equal(1000, channel.queue_delete("lapin.confirmed".into(), options).await?)
}

async fn mandatory_return(_: &Connection, channel: &Channel) -> Outcome {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let none = BasicProperties::default();
    let confirm = channel.basic_publish("".into(), "lapin.nowhere".into(), options, b"back", none);
    let back = confirm.await?.await?.take_message().ok_or("not returned")?;
    equal((312, b"back".to_vec()), (back.reply_code, back.delivery.data.clone()))
}

async fn prefetch(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    for number in 0..20 {
        send(channel, "", &queue, &number.to_string()).await?;
    }
    channel.basic_qos(5, BasicQosOptions::default()).await?;
    let mut consumer = consume(channel, &queue, "", FieldTable::default()).await?;
    for _ in 0..4 {
        next(&mut consumer).await?;
    }
    let fifth = next(&mut consumer).await?;
    equal(true, timeout(Duration::from_millis(300), consumer.next()).await.is_err())?;
    fifth.ack(BasicAckOptions { multiple: true }).await?;
    next(&mut consumer).await?;
    Ok(())
}

async fn ttl(_: &Connection, channel: &Channel) -> Outcome {
    let plain = temporary(channel, FieldTable::default()).await?;
    let brief = temporary(channel, table(&[("x-message-ttl", int(50))])).await?;
    let expiring = BasicProperties::default().with_expiration("50".into());
    send_with(channel, "", &plain, b"gone", expiring).await?;
    send(channel, "", &plain, "stays").await?;
    send(channel, "", &brief, "gone").await?;
    sleep(Duration::from_millis(400)).await;
    equal(strings(&["stays"]), bodies(channel, &plain).await?)?;
    equal(strings(&[]), bodies(channel, &brief).await?)
}

async fn dead_letter(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.dlx", ExchangeKind::Fanout, &[""]).await?;
    let arguments = table(&[
        ("x-dead-letter-exchange", text("lapin.dlx")),
        ("x-dead-letter-routing-key", text("dead")),
    ]);
    declare(channel, "lapin.alive", QueueDeclareOptions::exclusive(), arguments).await?;
    send(channel, "", "lapin.alive", "bad").await?;
    let options = BasicGetOptions::default();
    let bad = channel.basic_get("lapin.alive".into(), options).await?.ok_or("empty")?;
    bad.delivery.reject(BasicRejectOptions::default()).await?;
    let dead = letter(channel, &queues[0]).await?;
    equal("dead", dead.routing_key.as_str())?;
    equal(text("lapin.alive"), death(&dead, "queue")?)?;
    equal(text("rejected"), death(&dead, "reason")?)?;
    equal(AMQPValue::LongLongInt(1), death(&dead, "count")?)
}

async fn priority(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, table(&[("x-max-priority", int(5))])).await?;
    for (number, level) in [1, 5, 0, 5, 3].into_iter().enumerate() {
        let properties = BasicProperties::default().with_priority(level);
        let body = format!("{level}{number}");
        send_with(channel, "", &queue, body.as_bytes(), properties).await?;
    }
    equal(strings(&["51", "53", "34", "10", "02"]), bodies(channel, &queue).await?)
}

async fn max_length(_: &Connection, channel: &Channel) -> Outcome {
    let full = [("x-max-length", int(3)), ("x-overflow", text("reject-publish"))];
    let queue = temporary(channel, table(&full)).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for number in ["0", "1", "2"] {
        equal(true, send(channel, "", &queue, number).await?.is_ack())?;
    }
    equal(true, send(channel, "", &queue, "3").await?.is_nack())?;
    equal(strings(&["0", "1", "2"]), bodies(channel, &queue).await?)
}

async fn quorum(_: &Connection, channel: &Channel) -> Outcome {
    let queues = exchange(channel, "lapin.dlx2", ExchangeKind::Fanout, &[""]).await?;
    let arguments = table(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", int(2)),
        ("x-dead-letter-exchange", text("lapin.dlx2")),
    ]);
    declare(channel, "lapin.quorum", QueueDeclareOptions::durable(), arguments).await?;
    send_with(channel, "", "lapin.quorum", b"poison", persistent()).await?;
    let mut consumer = consume(channel, "lapin.quorum", "", FieldTable::default()).await?;
    let mut counts = Vec::new();
    for _ in 0..3 {
        let delivery = next(&mut consumer).await?;
        counts.push(header(&delivery, "x-delivery-count").and_then(|count| count.as_long_long_int()));
        delivery.reject(BasicRejectOptions { requeue: true }).await?;
    }
    equal(vec![Some(1), Some(2)], counts[1..].to_vec())?;
    equal(text("delivery_limit"), death(&letter(channel, &queues[0]).await?, "reason")?)?;
    channel.queue_delete("lapin.quorum".into(), QueueDeleteOptions::default()).await?;
    Ok(())
}

async fn stream(connection: &Connection, channel: &Channel) -> Outcome {
    let arguments = table(&[("x-queue-type", text("stream"))]);
    declare(channel, "lapin.stream", QueueDeclareOptions::durable(), arguments).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for number in 0..10 {
        send(channel, "", "lapin.stream", &number.to_string()).await?;
    }
    for (from, offset) in [(5, AMQPValue::LongLongInt(5)), (0, text("first"))] {
        let reading = connection.create_channel().await?;
        reading.basic_qos(100, BasicQosOptions::default()).await?;
        let arguments = table(&[("x-stream-offset", offset)]);
        let mut consumer = consume(&reading, "lapin.stream", "", arguments).await?;
        for number in from..10i64 {
            let delivery = next(&mut consumer).await?;
            let offset = Some(AMQPValue::LongLongInt(number));
            equal(offset, header(&delivery, "x-stream-offset"))?;
            equal(number.to_string().into_bytes(), delivery.data.clone())?;
            delivery.ack(BasicAckOptions::default()).await?;
        }
        reading.close(200, "read".into()).await?;
    }
    channel.queue_delete("lapin.stream".into(), QueueDeleteOptions::default()).await?;
    Ok(())
}

async fn rpc(_: &Connection, channel: &Channel) -> Outcome {
    let requests = temporary(channel, FieldTable::default()).await?;
    let mut served = consume(channel, &requests, "", FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let reply_to = "amq.rabbitmq.reply-to";
    let none = FieldTable::default();
    let mut answers = channel.basic_consume(reply_to.into(), "".into(), options, none).await?;
    let ask = BasicProperties::default()
        .with_reply_to(reply_to.into())
        .with_correlation_id("7".into());
    send_with(channel, "", &requests, b"hello", ask).await?;
    let request = next(&mut served).await?;
    let back = request.properties.reply_to().as_ref().ok_or("no reply-to")?.to_string();
    let id = request.properties.correlation_id().clone().ok_or("no correlation-id")?;
    let properties = BasicProperties::default().with_correlation_id(id);
    send_with(channel, "", &back, &request.data.to_ascii_uppercase(), properties).await?;
    let answer = next(&mut answers).await?;
    equal(b"HELLO".to_vec(), answer.data.clone())?;
    equal(Some("7".into()), answer.properties.correlation_id().clone())
}

async fn consumer_cancel(connection: &Connection, channel: &Channel) -> Outcome {
    let options = QueueDeclareOptions::default();
    declare(channel, "lapin.cancelled", options, FieldTable::default()).await?;
    let mut consumer = consume(channel, "lapin.cancelled", "", FieldTable::default()).await?;
    let other = connection.create_channel().await?;
    other.queue_delete("lapin.cancelled".into(), QueueDeleteOptions::default()).await?;
    equal(true, timeout(PATIENCE, consumer.next()).await?.is_none())
}

async fn single_active(_: &Connection, channel: &Channel) -> Outcome {
    let arguments = table(&[("x-single-active-consumer", AMQPValue::Boolean(true))]);
    let queue = temporary(channel, arguments).await?;
    let mut first = consume(channel, &queue, "first", FieldTable::default()).await?;
    let mut second = consume(channel, &queue, "second", FieldTable::default()).await?;
    for body in ["1", "2"] {
        send(channel, "", &queue, body).await?;
        let delivery = next(&mut first).await?;
        equal(body.as_bytes().to_vec(), delivery.data.clone())?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    channel.basic_cancel("first".into(), BasicCancelOptions::default()).await?;
    send(channel, "", &queue, "3").await?;
    equal(b"3".to_vec(), next(&mut second).await?.data.clone())
}

async fn exclusive(_: &Connection, channel: &Channel) -> Outcome {
    let other = connect().await?;
    let owning = other.create_channel().await?;
    let options = QueueDeclareOptions::exclusive();
    declare(&owning, "lapin.mine", options, FieldTable::default()).await?;
    let passive = QueueDeclareOptions::default().passive();
    equal(405, code(declare(channel, "lapin.mine", passive, FieldTable::default()).await)?)?;
    Ok(other.close(200, "bye".into()).await?)
}

async fn tx(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    channel.tx_select().await?;
    send(channel, "", &queue, "no").await?;
    channel.tx_rollback().await?;
    send(channel, "", &queue, "yes").await?;
    channel.tx_commit().await?;
    equal(strings(&["yes"]), bodies(channel, &queue).await?)
}

async fn large_body(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    let body: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    send_with(channel, "", &queue, &body, BasicProperties::default()).await?;
    equal(true, body == letter(channel, &queue).await?.data)
}

async fn order(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel, FieldTable::default()).await?;
    in_order(channel, &queue, 10_000).await
}

async fn blocked(connection: &Connection, channel: &Channel) -> Outcome {
    let mut events = Box::pin(connection.events_listener());
    control("block").await?;
    let mut seen = Vec::new();
    for _ in 0..100 {
        let options = BasicPublishOptions::default();
        let none = BasicProperties::default();
        channel.basic_publish("".into(), "lapin.nowhere".into(), options, b"x", none).await?;
        match timeout(Duration::from_millis(300), events.next()).await {
            Ok(Some(Event::ConnectionBlocked(_))) => {
                seen.push("blocked");
                break;
            }
            _ => continue,
        }
    }
    control("unblock").await?;
    while let Some(event) = timeout(3 * PATIENCE, events.next()).await? {
        if let Event::ConnectionUnblocked = event {
            seen.push("unblocked");
            break;
        }
    }
    equal(vec!["blocked", "unblocked"], seen)
}

async fn reconnect(_: &Connection, _: &Channel) -> Outcome {
    let options = ConnectionProperties::default().enable_auto_recover();
    let connection = Connection::connect(URI, options).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    let kind = ExchangeKind::Direct;
    channel.exchange_declare("lapin.again".into(), kind, durable, none()).await?;
    declare(&channel, "lapin.again", QueueDeclareOptions::exclusive(), none()).await?;
    bind(&channel, "lapin.again", "lapin.again", "key", none()).await?;
    let mut consumer = consume(&channel, "lapin.again", "", none()).await?;
    send(&channel, "lapin.again", "key", "before").await?;
    let before = next(&mut consumer).await?;
    before.ack(BasicAckOptions::default()).await?;
    control("restart").await?;
    // As in lapin's example: an error says that recovery is under way.
    let mut tries = 0;
    let after = loop {
        tries += 1;
        if tries > 20 {
            return Err("not recovered".into());
        }
        if let Err(error) = send(&channel, "lapin.again", "key", "after").await {
            let error = error.downcast::<lapin::Error>()?;
            timeout(PATIENCE, channel.wait_for_recovery(*error)).await??;
            continue;
        }
        match timeout(Duration::from_secs(1), consumer.next()).await {
            Ok(Some(Ok(delivery))) => break delivery,
            Ok(Some(Err(error))) => timeout(PATIENCE, channel.wait_for_recovery(error)).await??,
            Ok(None) => return Err("the consumer is closed".into()),
            Err(_) => continue,
        }
    };
    equal(b"after".to_vec(), after.data.clone())
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), (|c, h| Box::pin($name(c, h))) as Scenario)),*]
    };
}

async fn perform(run: Scenario) -> Outcome {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    let outcome = timeout(6 * PATIENCE, run(&connection, &channel)).await?;
    // The scenario may have ended it already.
    let _ = connection.close(200, "bye".into()).await;
    outcome
}

#[tokio::main]
async fn main() {
    let all = scenarios![
        connect_plain, connect_amqplain, connect_external, connect_anonymous, connect_refused,
        connect_tls, topology, inequivalent, exchange_direct, exchange_fanout, exchange_topic,
        exchange_headers, exchange_binding, alternate_exchange, properties, get, consume_ack,
        requeue, confirms, mandatory_return, prefetch, ttl, dead_letter, priority, max_length,
        quorum, stream, rpc, consumer_cancel, single_active, exclusive, tx, large_body, order,
        blocked, reconnect,
    ];
    let names: Vec<String> = std::env::args().skip(1).collect();
    let known: HashMap<String, Scenario> =
        all.iter().map(|(name, run)| (name.replace('_', "-"), *run)).collect();
    for (name, _) in all {
        let name = name.replace('_', "-");
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        match perform(known[&name]).await {
            Ok(()) => println!("ok {name}"),
            Err(problem) => println!("not ok {name} - {}", problem.to_string().replace('\n', " ")),
        }
    }
}
