// Rascal: publications and subscriptions from a configuration, retries, a dead-letter queue.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import assert from 'node:assert/strict';
import rascal from 'rascal';

const run = promisify(execFile);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const config = {
  vhosts: {
    '/': {
      connection: { url: 'amqp://guest:guest@localhost:5672/', retry: { min: 200, max: 500 } },
      exchanges: ['shop', 'delay', 'retry', 'dead_letters'],
      queues: {
        orders: {
          options: {
            arguments: {
              'x-dead-letter-exchange': 'dead_letters',
              'x-dead-letter-routing-key': 'shop.dead',
            },
          },
        },
        'delay:200ms': {
          options: {
            arguments: { 'x-message-ttl': 200, 'x-dead-letter-exchange': 'retry' },
          },
        },
        dead: {},
      },
      bindings: {
        orders: { source: 'shop', destination: 'orders', bindingKey: 'order.*' },
        delay: { source: 'delay', destination: 'delay:200ms', bindingKey: '#' },
        retry: { source: 'retry', destination: 'orders', bindingKey: 'orders.#' },
        dead: { source: 'dead_letters', destination: 'dead', bindingKey: 'shop.dead' },
      },
      publications: { order: { exchange: 'shop', routingKey: 'order.new', confirm: true } },
      subscriptions: {
        orders: { queue: 'orders', prefetch: 10 },
        dead: { queue: 'dead' },
      },
    },
  },
  recovery: {
    later: [
      { strategy: 'forward', attempts: 2, publication: 'again', xDeathFix: true },
      { strategy: 'nack' },
    ],
  },
};
config.vhosts['/'].publications.again = { exchange: 'delay', options: { CC: ['orders.again'] } };

const broker = await rascal.BrokerAsPromised.create(config);
broker.on('error', () => {});
const taken = [];
const dead = [];

async function until(condition, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('it did not happen in time');
    await sleep(20);
  }
}

function publish(content) {
  return new Promise((resolve, reject) => {
    broker.publish('order', content).then((publication) => {
      publication.on('success', resolve).on('error', reject).on('return', reject);
    }, reject);
  });
}

const orders = await broker.subscribe('orders');
orders.on('message', (message, content, ackOrNack) => {
  taken.push(content);
  if (content.item === 'unobtainable') {
    ackOrNack(new Error('no such thing'), config.recovery.later);
  } else {
    ackOrNack();
  }
});
const letters = await broker.subscribe('dead');
letters.on('message', (message, content, ackOrNack) => {
  dead.push(message.properties.headers);
  ackOrNack();
});

// A session that is cut off says so, and subscribes again.
for (const session of [orders, letters]) session.on('error', () => {});

const checks = {
  async confirmed() {
    assert.ok(await publish({ item: 'tea' }));
    await until(() => taken.length === 1);
    assert.deepEqual(taken, [{ item: 'tea' }]);
  },

  async ordered() {
    for (let number = 0; number < 10; number++) await publish({ number });
    await until(() => taken.length === 10);
    assert.deepEqual(taken.map(({ number }) => number), [...Array(10).keys()]);
  },

  async retried() {
    await publish({ item: 'unobtainable' });
    await until(() => dead.length === 1);
    assert.equal(taken.length, 3);
    assert.equal(dead[0]['x-death'][0].reason, 'rejected');
    assert.equal(dead[0]['x-death'][0].queue.replace(/^.*:/, ''), 'orders');
  },

  async recovered() {
    await run(process.env.BROKER_CONTROL, ['restart']);
    await until(() => {
      publish({ item: 'after' }).catch(() => {});
      return taken.some(({ item }) => item === 'after');
    }, 30);
  },
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(checks)) {
  taken.length = 0;
  try {
    await checks[name]();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name} - ${error}`.replaceAll('\n', ' '));
  }
}
process.exit(0);
