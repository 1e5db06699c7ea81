// Every scenario with amqp-client.js.
import { AMQPClient, AMQPSession } from '@cloudamqp/amqp-client';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);
const control = (word) => run(process.env.BROKER_CONTROL, [word]);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const certificate = (name) => readFileSync(`${process.env.CERTIFICATES}/${name}`);
const scenarios = {};

/** Everything that is in the queue. */
async function bodies(channel, queue) {
  const found = [];
  for (let got; (got = await channel.basicGet(queue, { noAck: true }));) {
    found.push(got.bodyString());
  }
  return found;
}

/** Wait until something is so. */
async function until(condition, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await sleep(20);
  }
}

/** A queue of this connection's own. */
async function temporary(channel, args = {}) {
  return (await channel.queueDeclare('', { exclusive: true }, args)).name;
}

/** An exchange of a type with a queue for each binding key. */
async function exchange(channel, name, type, keys, args = {}) {
  await channel.exchangeDeclare(name, type, { durable: false }, args);
  const queues = [];
  for (const key of keys) {
    queues.push(await temporary(channel));
    await channel.queueBind(queues.at(-1), name, key);
  }
  return queues;
}

/** Consume into an array. */
async function consume(channel, queue, params = { noAck: false }) {
  const arrived = [];
  const consumer = await channel.basicConsume(queue, params, (message) => arrived.push(message));
  return Object.assign(arrived, { consumer });
}

/** A second connection works. */
async function works(url, tls) {
  const connection = await new AMQPClient(url, tls).connect();
  const channel = await connection.channel();
  const queue = await temporary(channel);
  await channel.basicPublish('', queue, 'secret');
  assert.deepEqual(await bodies(channel, queue), ['secret']);
  await connection.close();
}

/** The first letter that arrives. */
async function letter(channel, queue) {
  let got;
  await until(async () => (got = await channel.basicGet(queue, { noAck: true })));
  return got;
}

scenarios['connect-plain'] = () => works('amqp://guest:guest@localhost');

scenarios['connect-refused'] = () =>
  assert.rejects(new AMQPClient('amqp://guest:wrong@localhost').connect(), /403|ACCESS_REFUSED/);

scenarios['connect-tls'] = async () => {
  await works('amqps://guest:guest@localhost', { ca: certificate('ca.pem') });
};

scenarios.topology = async (channel, connection) => {
  await channel.exchangeDeclare('js.exchange', 'direct', { durable: true });
  await channel.queueDeclare('js.queue', { durable: true });
  await channel.queueBind('js.queue', 'js.exchange', 'key');
  await channel.basicPublish('js.exchange', 'key', 'one');
  await channel.queueUnbind('js.queue', 'js.exchange', 'key');
  await channel.basicPublish('js.exchange', 'key', 'two');
  assert.deepEqual(await bodies(channel, 'js.queue'), ['one']);
  await channel.queueDelete('js.queue');
  await channel.exchangeDelete('js.exchange');
  await assert.rejects(channel.queueDeclare('js.queue', { passive: true }), /404|NOT_FOUND/);
  assert.deepEqual([channel.closed, connection.closed], [true, false]);
};

scenarios.inequivalent = async (channel) => {
  await channel.queueDeclare('js.kind', { exclusive: true });
  const again = channel.queueDeclare('js.kind', { exclusive: true }, { 'x-max-length': 1 });
  await assert.rejects(again, /406|PRECONDITION_FAILED/);
};

scenarios['exchange-direct'] = async (channel) => {
  const [red, blue] = await exchange(channel, 'js.direct', 'direct', ['red', 'blue']);
  for (const key of ['red', 'blue', 'green', 'red']) await channel.basicPublish('js.direct', key, key);
  assert.deepEqual(await bodies(channel, red), ['red', 'red']);
  assert.deepEqual(await bodies(channel, blue), ['blue']);
};

scenarios['exchange-fanout'] = async (channel) => {
  const queues = await exchange(channel, 'js.fanout', 'fanout', ['', '', '']);
  await channel.basicPublish('js.fanout', 'whatever', 'all');
  for (const queue of queues) assert.deepEqual(await bodies(channel, queue), ['all']);
};

scenarios['exchange-topic'] = async (channel) => {
  const [queue] = await exchange(channel, 'js.topic', 'topic', ['*.red.#']);
  for (const key of ['a.red', 'a.blue', 'b.red.x.y', 'red']) {
    await channel.basicPublish('js.topic', key, key);
  }
  assert.deepEqual(await bodies(channel, queue), ['a.red', 'b.red.x.y']);
};

scenarios['exchange-headers'] = async (channel) => {
  await exchange(channel, 'js.headers', 'headers', []);
  const queue = await temporary(channel);
  await channel.queueBind(queue, 'js.headers', '', { 'x-match': 'all', colour: 'red', size: 3 });
  for (const headers of [{ colour: 'red', size: 3, more: 1 }, { colour: 'red' }, {}]) {
    await channel.basicPublish('js.headers', '', `${Object.keys(headers).length}`, { headers });
  }
  assert.deepEqual(await bodies(channel, queue), ['3']);
};

scenarios['exchange-binding'] = async (channel) => {
  const [queue] = await exchange(channel, 'js.inner', 'fanout', ['']);
  await exchange(channel, 'js.outer', 'direct', []);
  await channel.exchangeBind('js.inner', 'js.outer', 'through');
  await channel.basicPublish('js.outer', 'through', 'in');
  await channel.basicPublish('js.outer', 'past', 'out');
  assert.deepEqual(await bodies(channel, queue), ['in']);
};

scenarios['alternate-exchange'] = async (channel) => {
  const [queue] = await exchange(channel, 'js.other', 'fanout', ['']);
  await exchange(channel, 'js.main', 'direct', [], { 'alternate-exchange': 'js.other' });
  await channel.basicPublish('js.main', 'nobody', 'caught');
  assert.deepEqual(await bodies(channel, queue), ['caught']);
};

scenarios.properties = async (channel) => {
  const sent = {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    headers: { text: 'größe', int: 42, long: 2 ** 40, double: 1.5, yes: true, list: [1, { a: 2 }] },
    deliveryMode: 2,
    priority: 3,
    correlationId: 'c1',
    replyTo: 'answers',
    expiration: '60000',
    messageId: 'm1',
    timestamp: new Date(1_700_000_000_000),
    type: 'order',
    userId: 'guest',
    appId: 'js',
  };
  const queue = await temporary(channel);
  await channel.basicPublish('', queue, '{}', sent);
  const { properties } = await channel.basicGet(queue, { noAck: true });
  assert.deepEqual({ ...properties }, sent);
};

scenarios.get = async (channel) => {
  const queue = await temporary(channel);
  for (const body of ['1', '2']) await channel.basicPublish('', queue, body);
  const first = await channel.basicGet(queue, { noAck: false });
  assert.deepEqual([first.bodyString(), first.messageCount], ['1', 1]);
  await first.ack();
  assert.deepEqual(await bodies(channel, queue), ['2']);
  assert.equal(await channel.basicGet(queue), null);
};

/** Publish numbers and consume them again, each acknowledged. */
async function inOrder(channel, queue, count) {
  for (let n = 0; n < count; n++) await channel.basicPublish('', queue, `${n}`);
  await channel.basicQos(200);
  const heard = [];
  const consumer = await channel.basicConsume(queue, { noAck: false }, async (message) => {
    heard.push(Number(message.bodyString()));
    await message.ack();
  });
  await until(() => heard.length === count, 30);
  assert.deepEqual(heard, [...Array(count).keys()]);
  await consumer.cancel();
}

scenarios['consume-ack'] = async (channel) => {
  await channel.queueDeclare('js.consumed', { durable: false });
  await inOrder(channel, 'js.consumed', 100);
  assert.equal((await channel.queueDelete('js.consumed')).messageCount, 0);
};

scenarios.requeue = async (channel) => {
  const queue = await temporary(channel);
  await channel.basicPublish('', queue, 'again');
  const first = await channel.basicGet(queue, { noAck: false });
  await first.nack(true);
  const second = await channel.basicGet(queue, { noAck: false });
  assert.deepEqual([first.redelivered, second.redelivered], [false, true]);
  await second.reject(false);
  assert.deepEqual(await bodies(channel, queue), []);
};

scenarios.confirms = async (channel) => {
  await channel.queueDeclare('js.confirmed', { durable: true });
  await channel.confirmSelect();
  const published = [];
  for (let n = 0; n < 1000; n++) {
    published.push(channel.basicPublish('', 'js.confirmed', 'x', { deliveryMode: 2 }));
  }
  await Promise.all(published);
  assert.equal((await channel.queueDelete('js.confirmed')).messageCount, 1000);
};

scenarios['mandatory-return'] = async (channel) => {
  const returned = [];
  channel.onReturn = (message) => returned.push(message);
  await channel.basicPublish('', 'js.nowhere', 'back', {}, true);
  await until(() => returned.length);
  assert.deepEqual([returned[0].replyCode, returned[0].bodyString()], [312, 'back']);
};

scenarios.prefetch = async (channel) => {
  const queue = await temporary(channel);
  for (let n = 0; n < 20; n++) await channel.basicPublish('', queue, `${n}`);
  await channel.prefetch(5);
  const arrived = await consume(channel, queue);
  await until(() => arrived.length === 5);
  await sleep(300);
  assert.equal(arrived.length, 5);
  await arrived[4].ack(true);
  await until(() => arrived.length === 10);
};

scenarios.ttl = async (channel) => {
  const plain = await temporary(channel);
  const brief = await temporary(channel, { 'x-message-ttl': 50 });
  await channel.basicPublish('', plain, 'gone', { expiration: '50' });
  await channel.basicPublish('', plain, 'stays');
  await channel.basicPublish('', brief, 'gone');
  await sleep(400);
  assert.deepEqual(await bodies(channel, plain), ['stays']);
  assert.deepEqual(await bodies(channel, brief), []);
};

scenarios['dead-letter'] = async (channel) => {
  const [dead] = await exchange(channel, 'js.dlx', 'fanout', ['']);
  await channel.queueDeclare('js.alive', { exclusive: true }, {
    'x-dead-letter-exchange': 'js.dlx',
    'x-dead-letter-routing-key': 'dead',
  });
  await channel.basicPublish('', 'js.alive', 'bad');
  await (await channel.basicGet('js.alive', { noAck: false })).reject(false);
  const { routingKey, properties } = await letter(channel, dead);
  const [death] = properties.headers['x-death'];
  assert.equal(routingKey, 'dead');
  assert.deepEqual([death.queue, death.reason, death.count], ['js.alive', 'rejected', 1]);
};

scenarios.priority = async (channel) => {
  const queue = await temporary(channel, { 'x-max-priority': 5 });
  for (const [n, priority] of [1, 5, 0, 5, 3].entries()) {
    await channel.basicPublish('', queue, `${priority}${n}`, { priority });
  }
  assert.deepEqual(await bodies(channel, queue), ['51', '53', '34', '10', '02']);
};

scenarios['max-length'] = async (channel) => {
  const queue = await temporary(channel, { 'x-max-length': 3, 'x-overflow': 'reject-publish' });
  await channel.confirmSelect();
  for (const body of ['0', '1', '2']) await channel.basicPublish('', queue, body);
  await assert.rejects(channel.basicPublish('', queue, '3'));
  assert.deepEqual(await bodies(channel, queue), ['0', '1', '2']);
};

scenarios.quorum = async (channel) => {
  const [dead] = await exchange(channel, 'js.dlx', 'fanout', ['']);
  await channel.queueDeclare('js.quorum', { durable: true }, {
    'x-queue-type': 'quorum',
    'x-delivery-limit': 2,
    'x-dead-letter-exchange': 'js.dlx',
  });
  await channel.basicPublish('', 'js.quorum', 'poison', { deliveryMode: 2 });
  const counts = [];
  await channel.basicConsume('js.quorum', { noAck: false }, async (message) => {
    counts.push(message.properties.headers?.['x-delivery-count'] ?? 0);
    await message.reject(true);
  });
  const { properties } = await letter(channel, dead);
  assert.deepEqual(counts, [0, 1, 2]);
  assert.equal(properties.headers['x-death'][0].reason, 'delivery_limit');
  await channel.queueDelete('js.quorum');
};

scenarios.stream = async (channel, connection) => {
  await channel.queueDeclare('js.stream', { durable: true }, { 'x-queue-type': 'stream' });
  await channel.confirmSelect();
  for (let n = 0; n < 10; n++) await channel.basicPublish('', 'js.stream', `${n}`);
  for (const offset of [5, 'first']) {
    const reading = await connection.channel();
    await reading.prefetch(100);
    const read = [];
    const params = { noAck: false, args: { 'x-stream-offset': offset } };
    await reading.basicConsume('js.stream', params, async (message) => {
      read.push([message.properties.headers['x-stream-offset'], Number(message.bodyString())]);
      await message.ack();
    });
    const expected = [...Array(10).keys()].slice(offset === 5 ? 5 : 0).map((n) => [n, n]);
    await until(() => read.length === expected.length);
    assert.deepEqual(read, expected);
    await reading.close();
  }
  await channel.queueDelete('js.stream');
};

scenarios.rpc = async (channel) => {
  const requests = await temporary(channel);
  await channel.basicConsume(requests, { noAck: true }, async (request) => {
    const { replyTo, correlationId } = request.properties;
    await channel.basicPublish('', replyTo, request.bodyString().toUpperCase(), { correlationId });
  });
  const replyTo = 'amq.rabbitmq.reply-to';
  const answers = await consume(channel, replyTo, { noAck: true });
  await channel.basicPublish('', requests, 'hello', { replyTo, correlationId: '7' });
  await until(() => answers.length);
  assert.deepEqual([answers[0].bodyString(), answers[0].properties.correlationId], ['HELLO', '7']);

  // And the library's own, on top of it.
  const session = await AMQPSession.connect('amqp://localhost');
  await session.rpcServer('js.rpc', async (request) => request.bodyString().toUpperCase());
  const reply = await session.rpcCall('js.rpc', 'hello', { timeout: 5000 });
  assert.equal(reply.bodyString(), 'HELLO');
  await session.stop();
};

scenarios['consumer-cancel'] = async (channel, connection) => {
  await channel.queueDeclare('js.cancelled', { durable: false });
  const { consumer } = await consume(channel, 'js.cancelled');
  const told = consumer.wait(10_000);
  await (await connection.channel()).queueDelete('js.cancelled');
  await assert.rejects(told, /cancel/i);
};

scenarios['single-active'] = async (channel) => {
  const queue = await temporary(channel, { 'x-single-active-consumer': true });
  const first = await consume(channel, queue, { noAck: true });
  const second = await consume(channel, queue, { noAck: true });
  for (const body of ['1', '2']) await channel.basicPublish('', queue, body);
  await until(() => first.length === 2);
  assert.equal(second.length, 0);
  await first.consumer.cancel();
  await channel.basicPublish('', queue, '3');
  await until(() => second.length);
  assert.equal(second[0].bodyString(), '3');
};

scenarios.exclusive = async (channel) => {
  const other = await new AMQPClient('amqp://localhost').connect();
  await (await other.channel()).queueDeclare('js.mine', { exclusive: true });
  await assert.rejects(channel.queueDeclare('js.mine', { passive: true }), /405|RESOURCE_LOCKED/);
  await other.close();
};

scenarios.tx = async (channel) => {
  const queue = await temporary(channel);
  await channel.txSelect();
  await channel.basicPublish('', queue, 'no');
  await channel.txRollback();
  await channel.basicPublish('', queue, 'yes');
  await channel.txCommit();
  assert.deepEqual(await bodies(channel, queue), ['yes']);
};

scenarios['large-body'] = async (channel) => {
  const queue = await temporary(channel);
  const body = randomBytes(8 << 20);
  await channel.basicPublish('', queue, body);
  assert.ok(body.equals((await channel.basicGet(queue, { noAck: true })).body));
};

scenarios.order = async (channel) => inOrder(channel, await temporary(channel), 10_000);

scenarios.blocked = async (channel, connection) => {
  const seen = [];
  connection.onblocked = () => seen.push('blocked');
  connection.onunblocked = () => seen.push('unblocked');
  await control('block');
  try {
    await until(async () => {
      // A blocked client refuses to publish.
      await channel.basicPublish('', 'js.nowhere', 'x').catch(() => {});
      await sleep(200);
      return seen.includes('blocked');
    }, 30);
  } finally {
    await control('unblock');
  }
  await until(() => seen.includes('unblocked'), 30);
};

scenarios.reconnect = async () => {
  let connected = 0;
  const session = await AMQPSession.connect('amqp://localhost', {
    reconnectInterval: 500,
    onconnect: () => { connected += 1; },
    logger: null,
  });
  const exchange = await session.directExchange('js.again', { durable: true });
  const queue = await session.queue('js.again', { durable: true });
  await queue.bind(exchange, 'key');
  const heard = [];
  await queue.subscribe((message) => { heard.push(message.bodyString()); });
  await exchange.publish('before', { routingKey: 'key' });
  await until(() => heard.includes('before'));
  await control('restart');
  await until(async () => {
    await exchange.publish('after', { routingKey: 'key' }).catch(() => sleep(250));
    return heard.includes('after');
  }, 30);
  await session.stop();
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios)) {
  try {
    const connection = await new AMQPClient('amqp://guest:guest@localhost', undefined, null).connect();
    connection.onerror = () => {};
    await scenarios[name](await connection.channel(), connection);
    if (!connection.closed) await connection.close().catch(() => {});
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name} - ${error}`.replaceAll('\n', ' '));
  }
}
process.exit(0);
