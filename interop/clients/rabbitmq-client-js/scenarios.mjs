// Scenarios with rabbitmq-client, its publishers and its consumers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Connection, ConsumerStatus } from 'rabbitmq-client';

const control = (word) => promisify(execFile)(process.env.BROKER_CONTROL, [word]);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const scenarios = {};

/** Wait until something is so. */
async function until(condition, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await sleep(20);
  }
}

/** A consumer that is ready. */
async function consumer(rabbit, options, handler) {
  const made = rabbit.createConsumer(options, handler);
  made.on('error', () => {});
  await new Promise((resolve) => made.once('ready', resolve));
  return made;
}

scenarios['connect-plain'] = async (rabbit) => {
  await rabbit.onConnect(5000);
  assert.ok(rabbit.ready);
};

scenarios.topology = async (rabbit) => {
  await rabbit.exchangeDeclare({ exchange: 'client.exchange', type: 'direct', autoDelete: true });
  await rabbit.queueDeclare({ queue: 'client.queue', autoDelete: true });
  const binding = { exchange: 'client.exchange', queue: 'client.queue', routingKey: 'key' };
  await rabbit.queueBind(binding);
  const publisher = rabbit.createPublisher({ confirm: true });
  await publisher.send({ exchange: 'client.exchange', routingKey: 'key' }, 'm');
  assert.equal((await rabbit.basicGet({ queue: 'client.queue', noAck: true })).body, 'm');
  await publisher.close();
  await rabbit.queueUnbind(binding);
  await rabbit.exchangeDelete({ exchange: 'client.exchange' });
  await rabbit.queueDelete({ queue: 'client.queue' });
  const gone = rabbit.queueDeclare({ queue: 'client.queue', passive: true });
  await assert.rejects(gone, (error) => error.code === 'NOT_FOUND');
};

scenarios['consume-ack'] = async (rabbit) => {
  const arrived = [];
  const options = { queue: 'client.ack', queueOptions: { durable: true }, qos: { prefetchCount: 10 } };
  const reader = await consumer(rabbit, options, async (message) => {
    arrived.push(message.body);
  });
  const publisher = rabbit.createPublisher({ confirm: true });
  for (let n = 0; n < 100; n += 1) await publisher.send('client.ack', { n });
  await until(() => arrived.length === 100);
  await reader.close();
  await publisher.close();
  assert.deepEqual(arrived.map(({ n }) => n), [...Array(100).keys()]);
  assert.equal((await rabbit.queueDelete({ queue: 'client.ack' })).messageCount, 0);
};

scenarios.requeue = async (rabbit) => {
  const seen = [];
  const options = { queue: 'client.requeue', queueOptions: { exclusive: true } };
  const reader = await consumer(rabbit, options, async (message) => {
    seen.push(message.redelivered);
    return seen.length === 1 ? ConsumerStatus.REQUEUE : ConsumerStatus.ACK;
  });
  const publisher = rabbit.createPublisher({ confirm: true });
  await publisher.send('client.requeue', 'm');
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [false, true]);
  await reader.close();
  await publisher.close();
};

scenarios.confirms = async (rabbit) => {
  await rabbit.queueDeclare({ queue: 'client.confirms', durable: true });
  const publisher = rabbit.createPublisher({ confirm: true });
  const all = [];
  for (let n = 0; n < 1000; n += 1) {
    all.push(publisher.send({ routingKey: 'client.confirms', durable: true }, `${n}`));
  }
  await Promise.all(all);
  await publisher.close();
  assert.equal((await rabbit.queueDelete({ queue: 'client.confirms' })).messageCount, 1000);
};

scenarios.order = async (rabbit) => {
  const arrived = [];
  const options = { queue: 'client.order', queueOptions: { exclusive: true }, noAck: true };
  const reader = await consumer(rabbit, options, (message) => arrived.push(Number(message.body)));
  const channel = await rabbit.acquire();
  for (let n = 0; n < 10000; n += 1) await channel.basicPublish('client.order', `${n}`);
  await until(() => arrived.length === 10000, 30);
  assert.ok(arrived.every((number, place) => number === place));
  await channel.close();
  await reader.close();
};

scenarios.reconnect = async (rabbit) => {
  const arrived = [];
  const options = {
    queue: 'client.again',
    queueOptions: { durable: true },
    exchanges: [{ exchange: 'client.again', type: 'topic', durable: true }],
    queueBindings: [{ exchange: 'client.again', routingKey: 'key.*' }],
  };
  const reader = await consumer(rabbit, options, async (message) => {
    arrived.push(message.body);
  });
  const publisher = rabbit.createPublisher({ confirm: true, maxAttempts: 20 });
  await publisher.send({ exchange: 'client.again', routingKey: 'key.1' }, 'before');
  await until(() => arrived.includes('before'));
  const ready = new Promise((resolve) => reader.once('ready', resolve));
  await control('restart');
  await ready;
  await publisher.send({ exchange: 'client.again', routingKey: 'key.2' }, 'after');
  await until(() => arrived.includes('after'));
  await reader.close();
  await publisher.close();
  await rabbit.queueDelete({ queue: 'client.again' });
  await rabbit.exchangeDelete({ exchange: 'client.again' });
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios)) {
  const rabbit = new Connection({ url: 'amqp://guest:guest@localhost:5672', retryLow: 200 });
  rabbit.on('error', () => {});
  try {
    await scenarios[name](rabbit);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name} - ${error}`.replaceAll('\n', ' '));
  }
  await rabbit.close();
}
process.exit(0);
