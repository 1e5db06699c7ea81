// Every scenario with amqplib's promise API.
import amqp from 'amqplib';
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
  for (let got; (got = await channel.get(queue, { noAck: true }));) {
    found.push(got.content.toString());
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
async function temporary(channel, options = {}) {
  return (await channel.assertQueue('', { exclusive: true, ...options })).queue;
}

/** An exchange of a type with a queue for each binding key. */
async function exchange(channel, type, keys, options = {}) {
  const name = `amqplib.${type}`;
  await channel.assertExchange(name, type, { autoDelete: true, ...options });
  const queues = [];
  for (const key of keys) {
    queues.push(await temporary(channel));
    await channel.bindQueue(queues.at(-1), name, key);
  }
  return [name, ...queues];
}

/** Consume into an array. */
async function consume(channel, queue, options) {
  const arrived = [];
  const { consumerTag } = await channel.consume(queue, (message) => arrived.push(message), options);
  return Object.assign(arrived, { consumerTag });
}

/** A second connection works. */
async function works(url, options) {
  const connection = await amqp.connect(url, options);
  const channel = await connection.createChannel();
  const queue = await temporary(channel);
  channel.sendToQueue(queue, Buffer.from('secret'));
  assert.deepEqual(await bodies(channel, queue), ['secret']);
  await connection.close();
}

/** The reply code with which a channel closes. */
function closeCode(channel, action) {
  return new Promise((resolve, reject) => {
    channel.on('error', (error) => resolve(error.code));
    action().then(() => reject(new Error('it was allowed')), () => {});
  });
}

scenarios['connect-plain'] = async (channel, connection) => {
  assert.equal(connection.connection.serverProperties.product, 'RabbitMQ');
  await works('amqp://guest:guest@localhost');
};

scenarios['connect-amqplain'] = () =>
  works('amqp://localhost', { credentials: amqp.credentials.amqplain('guest', 'guest') });

scenarios['connect-external'] = () =>
  works('amqps://localhost', {
    ca: [certificate('ca.pem')],
    cert: certificate('client.pem'),
    key: certificate('client.key'),
    credentials: amqp.credentials.external(),
  });

scenarios['connect-anonymous'] = () =>
  works('amqp://localhost', {
    credentials: { mechanism: 'ANONYMOUS', response: () => Buffer.alloc(0) },
  });

scenarios['connect-refused'] = () =>
  assert.rejects(amqp.connect('amqp://guest:wrong@localhost'), /403.*ACCESS[_-]REFUSED/);

scenarios['connect-tls'] = () =>
  works('amqps://guest:guest@localhost', { ca: [certificate('ca.pem')] });

scenarios.topology = async (channel, connection) => {
  await channel.assertExchange('amqplib.exchange', 'direct', { durable: true });
  await channel.assertQueue('amqplib.queue', { durable: true });
  await channel.bindQueue('amqplib.queue', 'amqplib.exchange', 'key');
  channel.publish('amqplib.exchange', 'key', Buffer.from('one'));
  await channel.unbindQueue('amqplib.queue', 'amqplib.exchange', 'key');
  channel.publish('amqplib.exchange', 'key', Buffer.from('two'));
  assert.deepEqual(await bodies(channel, 'amqplib.queue'), ['one']);
  await channel.deleteQueue('amqplib.queue');
  await channel.deleteExchange('amqplib.exchange');
  assert.equal(await closeCode(channel, () => channel.checkQueue('amqplib.queue')), 404);
  await (await connection.createChannel()).close();
};

scenarios.inequivalent = async (channel) => {
  await channel.assertQueue('amqplib.kind', { exclusive: true });
  const again = () => channel.assertQueue('amqplib.kind', { exclusive: true, maxLength: 1 });
  assert.equal(await closeCode(channel, again), 406);
};

scenarios['exchange-direct'] = async (channel) => {
  const [name, red, blue] = await exchange(channel, 'direct', ['red', 'blue']);
  for (const key of ['red', 'blue', 'green', 'red']) channel.publish(name, key, Buffer.from(key));
  assert.deepEqual(await bodies(channel, red), ['red', 'red']);
  assert.deepEqual(await bodies(channel, blue), ['blue']);
};

scenarios['exchange-fanout'] = async (channel) => {
  const [name, ...queues] = await exchange(channel, 'fanout', ['', '', '']);
  channel.publish(name, 'whatever', Buffer.from('all'));
  for (const queue of queues) assert.deepEqual(await bodies(channel, queue), ['all']);
};

scenarios['exchange-topic'] = async (channel) => {
  const [name, queue] = await exchange(channel, 'topic', ['*.red.#']);
  for (const key of ['a.red', 'a.blue', 'b.red.x.y', 'red']) {
    channel.publish(name, key, Buffer.from(key));
  }
  assert.deepEqual(await bodies(channel, queue), ['a.red', 'b.red.x.y']);
};

scenarios['exchange-headers'] = async (channel) => {
  const [name] = await exchange(channel, 'headers', []);
  const queue = await temporary(channel);
  await channel.bindQueue(queue, name, '', { 'x-match': 'all', colour: 'red', size: 3 });
  for (const headers of [{ colour: 'red', size: 3, more: 1 }, { colour: 'red' }, {}]) {
    channel.publish(name, '', Buffer.from(`${Object.keys(headers).length}`), { headers });
  }
  assert.deepEqual(await bodies(channel, queue), ['3']);
};

scenarios['exchange-binding'] = async (channel) => {
  const [inner, queue] = await exchange(channel, 'fanout', ['']);
  await channel.assertExchange('amqplib.outer', 'direct', { autoDelete: true });
  await channel.bindExchange(inner, 'amqplib.outer', 'through');
  channel.publish('amqplib.outer', 'through', Buffer.from('in'));
  channel.publish('amqplib.outer', 'past', Buffer.from('out'));
  assert.deepEqual(await bodies(channel, queue), ['in']);
};

scenarios['alternate-exchange'] = async (channel) => {
  const [alternateExchange, queue] = await exchange(channel, 'fanout', ['']);
  const [name] = await exchange(channel, 'direct', [], { alternateExchange });
  channel.publish(name, 'nobody', Buffer.from('caught'));
  assert.deepEqual(await bodies(channel, queue), ['caught']);
  await channel.deleteExchange(name);
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
    timestamp: 1_700_000_000,
    type: 'order',
    userId: 'guest',
    appId: 'amqplib',
  };
  const queue = await temporary(channel);
  channel.sendToQueue(queue, Buffer.from('{}'), sent);
  const { properties } = await channel.get(queue, { noAck: true });
  assert.deepEqual({ ...properties }, { ...sent, clusterId: undefined });
};

scenarios.get = async (channel) => {
  const queue = await temporary(channel);
  for (const body of ['1', '2']) channel.sendToQueue(queue, Buffer.from(body));
  const first = await channel.get(queue);
  assert.equal(first.content.toString(), '1');
  assert.equal(first.fields.messageCount, 1);
  channel.ack(first);
  assert.deepEqual(await bodies(channel, queue), ['2']);
  assert.equal(await channel.get(queue), false);
};

scenarios['consume-ack'] = async (channel) => {
  await channel.assertQueue('amqplib.consumed', { durable: false });
  for (let n = 0; n < 100; n++) channel.sendToQueue('amqplib.consumed', Buffer.from(`${n}`));
  const heard = [];
  await channel.consume('amqplib.consumed', (message) => {
    heard.push(Number(message.content));
    channel.ack(message);
  });
  await until(() => heard.length === 100);
  assert.deepEqual(heard, [...Array(100).keys()]);
  assert.equal((await channel.deleteQueue('amqplib.consumed')).messageCount, 0);
};

scenarios.requeue = async (channel) => {
  const queue = await temporary(channel);
  channel.sendToQueue(queue, Buffer.from('again'));
  const first = await channel.get(queue);
  assert.equal(first.fields.redelivered, false);
  channel.nack(first, false, true);
  const second = await channel.get(queue);
  assert.equal(second.fields.redelivered, true);
  channel.reject(second, false);
  assert.deepEqual(await bodies(channel, queue), []);
};

scenarios.confirms = async (_, connection) => {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('amqplib.confirmed', { durable: true });
  for (let n = 0; n < 1000; n++) {
    channel.sendToQueue('amqplib.confirmed', Buffer.from(`${n}`), { persistent: true });
  }
  await channel.waitForConfirms();
  assert.equal((await channel.deleteQueue('amqplib.confirmed')).messageCount, 1000);
};

scenarios['mandatory-return'] = async (channel) => {
  const returned = [];
  channel.on('return', (message) => returned.push(message));
  channel.sendToQueue('amqplib.nowhere', Buffer.from('back'), { mandatory: true });
  await until(() => returned.length);
  assert.equal(returned[0].fields.replyCode, 312);
  assert.equal(returned[0].content.toString(), 'back');
};

scenarios.prefetch = async (channel) => {
  const queue = await temporary(channel);
  for (let n = 0; n < 20; n++) channel.sendToQueue(queue, Buffer.from(`${n}`));
  await channel.prefetch(5);
  const arrived = await consume(channel, queue);
  await until(() => arrived.length === 5);
  await sleep(300);
  assert.equal(arrived.length, 5);
  channel.ack(arrived[4], true);
  await until(() => arrived.length === 10);
};

scenarios.ttl = async (channel) => {
  const plain = await temporary(channel);
  const brief = await temporary(channel, { messageTtl: 50 });
  channel.sendToQueue(plain, Buffer.from('gone'), { expiration: 50 });
  channel.sendToQueue(plain, Buffer.from('stays'));
  channel.sendToQueue(brief, Buffer.from('gone'));
  await sleep(400);
  assert.deepEqual(await bodies(channel, plain), ['stays']);
  assert.deepEqual(await bodies(channel, brief), []);
};

/** The first letter that arrives. */
async function letter(channel, queue) {
  let got;
  await until(async () => (got = await channel.get(queue, { noAck: true })));
  return got;
}

scenarios['dead-letter'] = async (channel) => {
  const [deadLetterExchange, dead] = await exchange(channel, 'fanout', ['']);
  const options = { exclusive: true, deadLetterExchange, deadLetterRoutingKey: 'dead' };
  await channel.assertQueue('amqplib.alive', options);
  channel.sendToQueue('amqplib.alive', Buffer.from('bad'));
  channel.reject(await channel.get('amqplib.alive'), false);
  const { fields, properties } = await letter(channel, dead);
  const [death] = properties.headers['x-death'];
  assert.equal(fields.routingKey, 'dead');
  assert.deepEqual([death.queue, death.reason, death.count], ['amqplib.alive', 'rejected', 1]);
};

scenarios.priority = async (channel) => {
  const queue = await temporary(channel, { maxPriority: 5 });
  [1, 5, 0, 5, 3].forEach((priority, n) =>
    channel.sendToQueue(queue, Buffer.from(`${priority}${n}`), { priority }));
  assert.deepEqual(await bodies(channel, queue), ['51', '53', '34', '10', '02']);
};

scenarios['max-length'] = async (_, connection) => {
  const channel = await connection.createConfirmChannel();
  const queue = await temporary(channel, {
    maxLength: 3,
    arguments: { 'x-overflow': 'reject-publish' },
  });
  for (const body of ['0', '1', '2']) channel.sendToQueue(queue, Buffer.from(body));
  await channel.waitForConfirms();
  await assert.rejects(new Promise((resolve, reject) =>
    channel.sendToQueue(queue, Buffer.from('3'), {}, (error) => (error ? reject(error) : resolve()))));
  assert.deepEqual(await bodies(channel, queue), ['0', '1', '2']);
};

scenarios.quorum = async (channel) => {
  const [deadLetterExchange, dead] = await exchange(channel, 'fanout', ['']);
  await channel.assertQueue('amqplib.quorum', {
    durable: true,
    deadLetterExchange,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 },
  });
  channel.sendToQueue('amqplib.quorum', Buffer.from('poison'), { persistent: true });
  const counts = [];
  await channel.consume('amqplib.quorum', (message) => {
    counts.push(message.properties.headers['x-delivery-count'] ?? 0);
    channel.reject(message, true);
  });
  const { properties } = await letter(channel, dead);
  assert.deepEqual(counts, [0, 1, 2]);
  assert.equal(properties.headers['x-death'][0].reason, 'delivery_limit');
  await channel.deleteQueue('amqplib.quorum');
};

scenarios.stream = async (channel, connection) => {
  const publishing = await connection.createConfirmChannel();
  const options = { durable: true, arguments: { 'x-queue-type': 'stream' } };
  await publishing.assertQueue('amqplib.stream', options);
  for (let n = 0; n < 10; n++) publishing.sendToQueue('amqplib.stream', Buffer.from(`${n}`));
  await publishing.waitForConfirms();
  for (const offset of [5, 'first']) {
    const reading = await connection.createChannel();
    await reading.prefetch(100);
    const read = [];
    await reading.consume('amqplib.stream', (message) => {
      assert.equal(Number(message.content), message.properties.headers['x-stream-offset']);
      read.push(message.properties.headers['x-stream-offset']);
      reading.ack(message);
    }, { arguments: { 'x-stream-offset': offset } });
    const expected = [...Array(10).keys()].slice(offset === 5 ? 5 : 0);
    await until(() => read.length === expected.length);
    assert.deepEqual(read, expected);
    await reading.close();
  }
  await channel.deleteQueue('amqplib.stream');
};

scenarios.rpc = async (channel) => {
  const requests = await temporary(channel);
  await channel.consume(requests, ({ content, properties: { replyTo, correlationId } }) => {
    channel.sendToQueue(replyTo, Buffer.from(`${content}`.toUpperCase()), { correlationId });
  }, { noAck: true });
  const replyTo = 'amq.rabbitmq.reply-to';
  const answers = await consume(channel, replyTo, { noAck: true });
  channel.sendToQueue(requests, Buffer.from('hello'), { replyTo, correlationId: '7' });
  await until(() => answers.length);
  assert.equal(answers[0].content.toString(), 'HELLO');
  assert.equal(answers[0].properties.correlationId, '7');
};

scenarios['consumer-cancel'] = async (channel, connection) => {
  await channel.assertQueue('amqplib.cancelled', { durable: false });
  const arrived = await consume(channel, 'amqplib.cancelled');
  await (await connection.createChannel()).deleteQueue('amqplib.cancelled');
  await until(() => arrived.length);
  assert.deepEqual([...arrived], [null]);
};

scenarios['single-active'] = async (channel) => {
  const queue = await temporary(channel, { arguments: { 'x-single-active-consumer': true } });
  const first = await consume(channel, queue, { noAck: true });
  const second = await consume(channel, queue, { noAck: true });
  for (const body of ['1', '2']) channel.sendToQueue(queue, Buffer.from(body));
  await until(() => first.length === 2);
  assert.equal(second.length, 0);
  await channel.cancel(first.consumerTag);
  channel.sendToQueue(queue, Buffer.from('3'));
  await until(() => second.length);
  assert.equal(second[0].content.toString(), '3');
};

scenarios.exclusive = async (channel) => {
  const other = await amqp.connect('amqp://localhost');
  await (await other.createChannel()).assertQueue('amqplib.mine', { exclusive: true });
  assert.equal(await closeCode(channel, () => channel.checkQueue('amqplib.mine')), 405);
  await other.close();
};

scenarios['large-body'] = async (channel) => {
  const queue = await temporary(channel);
  const body = randomBytes(8 << 20);
  channel.sendToQueue(queue, body);
  assert.ok(body.equals((await channel.get(queue, { noAck: true })).content));
};

scenarios.order = async (channel) => {
  const queue = await temporary(channel);
  for (let n = 0; n < 10_000; n++) channel.sendToQueue(queue, Buffer.from(`${n}`));
  await channel.prefetch(200);
  const heard = [];
  await channel.consume(queue, (message) => {
    heard.push(Number(message.content));
    channel.ack(message);
  });
  await until(() => heard.length === 10_000, 30);
  assert.deepEqual(heard, [...Array(10_000).keys()]);
};

scenarios.blocked = async (channel, connection) => {
  const seen = [];
  connection.on('blocked', () => seen.push('blocked'));
  connection.on('unblocked', () => seen.push('unblocked'));
  await control('block');
  try {
    await until(async () => {
      channel.sendToQueue('amqplib.nowhere', Buffer.from('x'));
      await sleep(200);
      return seen.includes('blocked');
    }, 30);
  } finally {
    await control('unblock');
  }
  await until(() => seen.includes('unblocked'), 30);
};

scenarios.reconnect = async () => {
  const heard = [];
  let channel;
  const setup = async (model) => {
    channel = await model.createChannel();
    channel.on('error', () => {});
    await channel.assertExchange('amqplib.again', 'direct', { durable: true });
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'amqplib.again', 'key');
    await channel.consume(queue, (message) => heard.push(`${message.content}`), { noAck: true });
  };
  const recovery = { initialDelay: 200, setup };
  const connection = await amqp.connect('amqp://localhost', { recovery });
  connection.on('error', () => {});
  channel.publish('amqplib.again', 'key', Buffer.from('before'));
  await until(() => heard.includes('before'));
  const again = new Promise((resolve) => connection.once('connect', resolve));
  await Promise.all([again, control('restart')]);
  channel.publish('amqplib.again', 'key', Buffer.from('after'));
  await until(() => heard.includes('after'));
  await connection.close();
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios)) {
  try {
    const connection = await amqp.connect('amqp://localhost');
    connection.on('error', () => {});
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await scenarios[name](channel, connection);
    await connection.close().catch(() => {});
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name} - ${error}`.replaceAll('\n', ' '));
  }
}
process.exit(0);
