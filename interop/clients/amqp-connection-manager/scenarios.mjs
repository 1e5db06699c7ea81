// What amqp-connection-manager adds to amqplib: channels that set themselves up again.
import amqp from 'amqp-connection-manager';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

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

/** A channel of its own with a queue; whatever is in `setup` happens on each connection. */
async function channelWith(connection, queue, options = {}) {
  const setup = (channel) => {
    // amqplib ends the connection, too, when nobody listens.
    channel.on('error', () => {});
    return channel.assertQueue(queue, { autoDelete: true, ...options });
  };
  const channel = connection.createChannel({ setup });
  await channel.waitForConnect();
  return channel;
}

scenarios['connect-plain'] = async (connection) => {
  await connection.connect();
  assert.equal(connection.connection.connection.serverProperties.product, 'RabbitMQ');
};

scenarios.topology = async (connection) => {
  const channel = await channelWith(connection, 'manager.topology');
  await channel.assertExchange('manager.exchange', 'direct', { autoDelete: true });
  await channel.bindQueue('manager.topology', 'manager.exchange', 'key');
  await channel.publish('manager.exchange', 'key', Buffer.from('m'));
  assert.equal((await channel.get('manager.topology', { noAck: true })).content.toString(), 'm');
  await channel.unbindQueue('manager.topology', 'manager.exchange', 'key');
  await channel.deleteExchange('manager.exchange');
  await channel.deleteQueue('manager.topology');
  await assert.rejects(channel.checkQueue('manager.topology'), /404/);
  assert.ok(connection.isConnected());
};

scenarios['consume-ack'] = async (connection) => {
  const channel = await channelWith(connection, 'manager.ack', { autoDelete: false });
  const arrived = [];
  await channel.consume('manager.ack', (message) => {
    arrived.push(message.content.toString());
    channel.ack(message);
  });
  for (let n = 0; n < 100; n += 1) await channel.sendToQueue('manager.ack', Buffer.from(`${n}`));
  await until(() => arrived.length === 100);
  await channel.cancelAll();
  assert.deepEqual(arrived, [...Array(100).keys()].map(String));
  assert.equal((await channel.checkQueue('manager.ack')).messageCount, 0);
  await channel.deleteQueue('manager.ack');
};

scenarios.requeue = async (connection) => {
  const channel = await channelWith(connection, 'manager.requeue');
  const seen = [];
  await channel.consume('manager.requeue', (message) => {
    seen.push(message.fields.redelivered);
    if (seen.length === 1) channel.nack(message, false, true);
    else channel.ack(message);
  });
  await channel.sendToQueue('manager.requeue', Buffer.from('m'));
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [false, true]);
};

scenarios.confirms = async (connection) => {
  const channel = await channelWith(connection, 'manager.confirms', { durable: true });
  const all = [];
  for (let n = 0; n < 1000; n += 1) {
    all.push(channel.sendToQueue('manager.confirms', Buffer.from(`${n}`), { persistent: true }));
  }
  assert.ok((await Promise.all(all)).every((confirmed) => confirmed === true));
  assert.equal((await channel.checkQueue('manager.confirms')).messageCount, 1000);
  await channel.deleteQueue('manager.confirms');
};

scenarios.order = async (connection) => {
  const channel = await channelWith(connection, 'manager.order');
  const arrived = [];
  const keep = (message) => arrived.push(Number(message.content));
  await channel.consume('manager.order', keep, { noAck: true });
  for (let n = 0; n < 10000; n += 1) channel.sendToQueue('manager.order', Buffer.from(`${n}`));
  await until(() => arrived.length === 10000, 30);
  assert.ok(arrived.every((number, place) => number === place));
};

scenarios.reconnect = async (connection) => {
  const channel = await channelWith(connection, 'manager.again', { durable: true, autoDelete: false });
  const arrived = [];
  const keep = (message) => arrived.push(message.content.toString());
  await channel.consume('manager.again', keep, { noAck: true });
  await channel.sendToQueue('manager.again', Buffer.from('before'));
  await until(() => arrived.includes('before'));
  const lost = new Promise((resolve) => connection.once('disconnect', resolve));
  await Promise.all([lost, control('restart')]);
  // Kept until the connection is back.
  await channel.sendToQueue('manager.again', Buffer.from('after'));
  await until(() => arrived.includes('after'));
  await channel.deleteQueue('manager.again');
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios)) {
  const connection = amqp.connect('amqp://localhost', { reconnectTimeInSeconds: 0.2 });
  try {
    await scenarios[name](connection);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name} - ${error}`.replaceAll('\n', ' '));
  }
  await connection.close();
}
process.exit(0);
