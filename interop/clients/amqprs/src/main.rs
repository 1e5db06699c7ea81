//! Scenarios with amqprs.

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicGetArguments,
    BasicNackArguments, BasicPublishArguments, Channel, ConfirmSelectArguments,
    ExchangeDeclareArguments, ExchangeDeleteArguments, QueueBindArguments, QueueDeclareArguments,
    QueueDeleteArguments, QueueUnbindArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return};
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
type Scenario = for<'a> fn(&'a Connection, &'a Channel) -> Running<'a>;

const PATIENCE: Duration = Duration::from_secs(20);

// -- what the scenarios share

fn equal<T: PartialEq + Debug>(expected: T, seen: T) -> Outcome {
    if expected == seen {
        return Ok(());
    }
    Err(format!("seen {seen:?}, expected {expected:?}").into())
}

/// What the broker says of a channel by itself.
#[derive(Clone, Default)]
struct Heard {
    /// The highest publish that it has confirmed.
    confirmed: Arc<AtomicU64>,
    /// The reply code with which it closed the channel.
    closed: Arc<AtomicU16>,
}

#[async_trait::async_trait]
impl ChannelCallback for Heard {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), amqprs::error::Error> {
        self.closed.store(close.reply_code(), Ordering::SeqCst);
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }
    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }
    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.confirmed.fetch_max(ack.delivery_tag(), Ordering::SeqCst);
    }
    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}
    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {}
}

/// Waits until something is so.
async fn until(condition: impl Fn() -> bool) -> Outcome {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(timeout(PATIENCE, waiting).await?)
}

/// A queue of this connection's own.
async fn temporary(channel: &Channel) -> Outcome<String> {
    let declared = channel.queue_declare(QueueDeclareArguments::exclusive_server_named()).await?;
    Ok(declared.ok_or("no answer")?.0)
}

async fn count(channel: &Channel, queue: &str) -> Outcome<u32> {
    let passive = QueueDeclareArguments::new(queue).passive(true).finish();
    Ok(channel.queue_declare(passive).await?.ok_or("no answer")?.1)
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) -> Outcome {
    let arguments = BasicPublishArguments::new(exchange, key);
    let properties = BasicProperties::default().with_delivery_mode(2).finish();
    channel.basic_publish(properties, body.into(), arguments).await?;
    Ok(())
}

/// Number, whether it came before, and body of the next message.
async fn next(
    messages: &mut tokio::sync::mpsc::UnboundedReceiver<amqprs::channel::ConsumerMessage>,
) -> Outcome<(u64, bool, String)> {
    let message = timeout(PATIENCE, messages.recv()).await?.ok_or("the consumer ended")?;
    let deliver = message.deliver.ok_or("no deliver")?;
    let body = String::from_utf8(message.content.ok_or("no content")?)?;
    Ok((deliver.delivery_tag(), deliver.redelivered(), body))
}

// -- the scenarios

async fn connect_plain(connection: &Connection, _: &Channel) -> Outcome {
    equal(true, connection.is_open())
}

async fn topology(connection: &Connection, channel: &Channel) -> Outcome {
    let (queue, exchange) = ("amqprs.queue", "amqprs.exchange");
    channel.exchange_declare(ExchangeDeclareArguments::new(exchange, "direct")).await?;
    channel.queue_declare(QueueDeclareArguments::durable_client_named(queue)).await?;
    channel.queue_bind(QueueBindArguments::new(queue, exchange, "key")).await?;
    publish(channel, exchange, "key", "m").await?;
    let got = channel.basic_get(BasicGetArguments::new(queue).no_ack(true).finish()).await?;
    equal(b"m".to_vec(), got.ok_or("nothing there")?.2)?;
    channel.queue_unbind(QueueUnbindArguments::new(queue, exchange, "key")).await?;
    channel.exchange_delete(ExchangeDeleteArguments::new(exchange)).await?;
    channel.queue_delete(QueueDeleteArguments::new(queue)).await?;
    let other = connection.open_channel(None).await?;
    let heard = Heard::default();
    other.register_callback(heard.clone()).await?;
    equal(true, count(&other, queue).await.is_err())?;
    until(|| heard.closed.load(Ordering::SeqCst) == 404).await?;
    equal(true, connection.is_open())
}

async fn consume_ack(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel).await?;
    for number in 0..100 {
        publish(channel, "", &queue, &number.to_string()).await?;
    }
    let arguments = BasicConsumeArguments::new(&queue, "reader");
    let (tag, mut messages) = channel.basic_consume_rx(arguments).await?;
    for number in 0..100 {
        let (delivery_tag, redelivered, body) = next(&mut messages).await?;
        equal((false, number.to_string()), (redelivered, body))?;
        channel.basic_ack(BasicAckArguments::new(delivery_tag, false)).await?;
    }
    channel.basic_cancel(BasicCancelArguments::new(&tag)).await?;
    equal(0, count(channel, &queue).await?)
}

async fn requeue(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel).await?;
    publish(channel, "", &queue, "m").await?;
    let arguments = BasicConsumeArguments::new(&queue, "reader");
    let (_tag, mut messages) = channel.basic_consume_rx(arguments).await?;
    let (first, before, _) = next(&mut messages).await?;
    channel.basic_nack(BasicNackArguments::new(first, false, true)).await?;
    let (second, again, _) = next(&mut messages).await?;
    channel.basic_nack(BasicNackArguments::new(second, false, false)).await?;
    equal((false, true), (before, again))?;
    equal(0, count(channel, &queue).await?)
}

async fn confirms(connection: &Connection, _: &Channel) -> Outcome {
    let channel = connection.open_channel(None).await?;
    let heard = Heard::default();
    channel.register_callback(heard.clone()).await?;
    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    let queue = "amqprs.confirms";
    channel.queue_declare(QueueDeclareArguments::durable_client_named(queue)).await?;
    for number in 0..1000 {
        publish(&channel, "", queue, &number.to_string()).await?;
    }
    until(|| heard.confirmed.load(Ordering::SeqCst) == 1000).await?;
    equal(1000, count(&channel, queue).await?)?;
    channel.queue_delete(QueueDeleteArguments::new(queue)).await?;
    // A channel that is dropped closes by itself, beside the connection, which fails at times.
    channel.close().await?;
    Ok(())
}

async fn order(_: &Connection, channel: &Channel) -> Outcome {
    let queue = temporary(channel).await?;
    let arguments = BasicConsumeArguments::new(&queue, "reader").manual_ack(false).finish();
    let (_tag, mut messages) = channel.basic_consume_rx(arguments).await?;
    for number in 0..10_000 {
        publish(channel, "", &queue, &number.to_string()).await?;
    }
    for number in 0..10_000 {
        equal(number.to_string(), next(&mut messages).await?.2)?;
    }
    Ok(())
}

// -- all of them, each on a connection of its own

async fn perform(run: Scenario) -> Outcome {
    let arguments = OpenConnectionArguments::new("localhost", 5672, "guest", "guest");
    let connection = Connection::open(&arguments).await?;
    let channel = connection.open_channel(None).await?;
    run(&connection, &channel).await?;
    channel.close().await?;
    connection.close().await?;
    Ok(())
}

#[tokio::main]
async fn main() {
    let all: [(&str, Scenario); 6] = [
        ("connect-plain", |connection, channel| Box::pin(connect_plain(connection, channel))),
        ("topology", |connection, channel| Box::pin(topology(connection, channel))),
        ("consume-ack", |connection, channel| Box::pin(consume_ack(connection, channel))),
        ("requeue", |connection, channel| Box::pin(requeue(connection, channel))),
        ("confirms", |connection, channel| Box::pin(confirms(connection, channel))),
        ("order", |connection, channel| Box::pin(order(connection, channel))),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in all {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == name) {
            continue;
        }
        match perform(run).await {
            Ok(()) => println!("ok {name}"),
            Err(error) => println!("not ok {name} - {error}"),
        }
    }
}
