<?php
// Every scenario with the extension php-amqp.

$scenarios = [];
$certificates = getenv('CERTIFICATES');

function equal($expected, $seen): void
{
    if ($expected !== $seen) {
        throw new Exception('seen ' . json_encode($seen) . ', expected ' . json_encode($expected));
    }
}

function control(string $word): void
{
    exec(escapeshellarg(getenv('BROKER_CONTROL')) . " $word", $output, $code);
    equal(0, $code);
}

function connect(array $credentials = []): AMQPConnection
{
    $connection = new AMQPConnection(['host' => 'localhost', 'read_timeout' => 10] + $credentials);
    $connection->connect();
    return $connection;
}

function works(array $credentials): void
{
    $connection = connect($credentials);
    $queue = temporary(new AMQPChannel($connection));
    send($queue->getChannel(), '', $queue->getName(), 'secret');
    equal(['secret'], bodies($queue));
    $connection->disconnect();
}

function named(AMQPChannel $channel, string $name, int $flags, array $arguments = []): AMQPQueue
{
    $queue = new AMQPQueue($channel);
    if ($name !== '') {
        $queue->setName($name);
    }
    $queue->setFlags($flags);
    $queue->setArguments($arguments);
    $queue->declareQueue();
    return $queue;
}

/** A queue of this connection's own. */
function temporary(AMQPChannel $channel, array $arguments = []): AMQPQueue
{
    return named($channel, '', AMQP_EXCLUSIVE, $arguments);
}

function exchange(AMQPChannel $channel, string $name, string $type, array $arguments = []): AMQPExchange
{
    $exchange = new AMQPExchange($channel);
    $exchange->setName($name);
    $exchange->setType($type);
    $exchange->setArguments($arguments);
    $exchange->declareExchange();
    return $exchange;
}

function bound(AMQPChannel $channel, string $exchange, string $key = '', array $arguments = []): AMQPQueue
{
    $queue = temporary($channel);
    $queue->bind($exchange, $key, $arguments);
    return $queue;
}

function send(
    AMQPChannel $channel, string $exchange, string $key, string $body,
    array $properties = [], int $flags = AMQP_NOPARAM
): void {
    $to = new AMQPExchange($channel);
    $to->setName($exchange);
    $to->publish($body, $key, $flags, $properties);
}

/** Everything that is in the queue. */
function bodies(AMQPQueue $queue): array
{
    $found = [];
    while ($message = $queue->get(AMQP_AUTOACK)) {
        $found[] = $message->getBody();
    }
    return $found;
}

function letter(AMQPQueue $queue): AMQPEnvelope
{
    for ($tries = 0; $tries < 100; $tries++) {
        if ($message = $queue->get(AMQP_AUTOACK)) {
            return $message;
        }
        usleep(100_000);
    }
    throw new Exception('no dead letter');
}

/** Consume until the callback has seen enough; false when nothing more comes in time. */
function consume(AMQPQueue $queue, callable $enough, int $flags = AMQP_NOPARAM): bool
{
    try {
        $queue->consume(fn (AMQPEnvelope $message) => !$enough($message), $flags);
        return true;
    } catch (AMQPQueueException $error) {
        if (str_contains($error->getMessage(), 'timeout')) {
            return false;
        }
        throw $error;
    }
}

function closeCode(callable $action): int
{
    try {
        $action();
    } catch (AMQPException $error) {
        return $error->getCode();
    }
    throw new Exception('it was allowed');
}

$scenarios['connect-plain'] = fn () => works([]);

$scenarios['connect-external'] = fn () => works([
    'port' => 5671, 'cacert' => "$certificates/ca.pem", 'cert' => "$certificates/client.pem",
    'key' => "$certificates/client.key", 'sasl_method' => AMQP_SASL_METHOD_EXTERNAL,
]);

$scenarios['connect-tls'] = fn () => works(['port' => 5671, 'cacert' => "$certificates/ca.pem"]);

$scenarios['connect-refused'] = function () {
    try {
        connect(['password' => 'wrong']);
    } catch (AMQPConnectionException $error) {
        equal(true, str_contains($error->getMessage(), 'ACCESS_REFUSED') || $error->getCode() === 403);
        return;
    }
    throw new Exception('it got in');
};

$scenarios['topology'] = function (AMQPChannel $channel) {
    $exchange = exchange($channel, 'ext.exchange', AMQP_EX_TYPE_DIRECT);
    $queue = named($channel, 'ext.queue', AMQP_DURABLE);
    $queue->bind('ext.exchange', 'key');
    $exchange->publish('one', 'key');
    $queue->unbind('ext.exchange', 'key');
    $exchange->publish('two', 'key');
    equal(['one'], bodies($queue));
    $queue->delete();
    $exchange->delete();
    equal(404, closeCode(fn () => named($channel, 'ext.queue', AMQP_PASSIVE)));
    equal(true, $channel->getConnection()->isConnected());
};

$scenarios['inequivalent'] = function (AMQPChannel $channel) {
    named($channel, 'ext.kind', AMQP_EXCLUSIVE);
    equal(406, closeCode(fn () => named($channel, 'ext.kind', AMQP_EXCLUSIVE, ['x-max-length' => 1])));
};

$scenarios['exchange-direct'] = function (AMQPChannel $channel) {
    $exchange = exchange($channel, 'ext.direct', AMQP_EX_TYPE_DIRECT);
    [$red, $blue] = [bound($channel, 'ext.direct', 'red'), bound($channel, 'ext.direct', 'blue')];
    foreach (['red', 'blue', 'green', 'red'] as $key) {
        $exchange->publish($key, $key);
    }
    equal(['red', 'red'], bodies($red));
    equal(['blue'], bodies($blue));
};

$scenarios['exchange-fanout'] = function (AMQPChannel $channel) {
    $exchange = exchange($channel, 'ext.fanout', AMQP_EX_TYPE_FANOUT);
    $queues = array_map(fn () => bound($channel, 'ext.fanout'), [1, 2, 3]);
    $exchange->publish('all', 'whatever');
    foreach ($queues as $queue) {
        equal(['all'], bodies($queue));
    }
};

$scenarios['exchange-topic'] = function (AMQPChannel $channel) {
    $exchange = exchange($channel, 'ext.topic', AMQP_EX_TYPE_TOPIC);
    $queue = bound($channel, 'ext.topic', '*.red.#');
    foreach (['a.red', 'a.blue', 'b.red.x.y', 'red'] as $key) {
        $exchange->publish($key, $key);
    }
    equal(['a.red', 'b.red.x.y'], bodies($queue));
};

$scenarios['exchange-headers'] = function (AMQPChannel $channel) {
    $exchange = exchange($channel, 'ext.headers', AMQP_EX_TYPE_HEADERS);
    $queue = bound($channel, 'ext.headers', '', ['x-match' => 'all', 'colour' => 'red', 'size' => 3]);
    foreach ([['colour' => 'red', 'size' => 3, 'more' => 1], ['colour' => 'red']] as $headers) {
        $exchange->publish((string) count($headers), '', AMQP_NOPARAM, ['headers' => $headers]);
    }
    equal(['3'], bodies($queue));
};

$scenarios['exchange-binding'] = function (AMQPChannel $channel) {
    $inner = exchange($channel, 'ext.inner', AMQP_EX_TYPE_FANOUT);
    $outer = exchange($channel, 'ext.outer', AMQP_EX_TYPE_DIRECT);
    $inner->bind('ext.outer', 'through');
    $queue = bound($channel, 'ext.inner');
    $outer->publish('in', 'through');
    $outer->publish('out', 'past');
    equal(['in'], bodies($queue));
};

$scenarios['alternate-exchange'] = function (AMQPChannel $channel) {
    exchange($channel, 'ext.other', AMQP_EX_TYPE_FANOUT);
    $main = exchange($channel, 'ext.main', AMQP_EX_TYPE_DIRECT, ['alternate-exchange' => 'ext.other']);
    $queue = bound($channel, 'ext.other');
    $main->publish('caught', 'nobody');
    equal(['caught'], bodies($queue));
};

$scenarios['properties'] = function (AMQPChannel $channel) {
    $sent = [
        'content_type' => 'application/json', 'content_encoding' => 'utf-8', 'delivery_mode' => 2,
        'priority' => 3, 'correlation_id' => 'c1', 'reply_to' => 'answers', 'expiration' => '60000',
        'message_id' => 'm1', 'timestamp' => 1_700_000_000, 'type' => 'order', 'user_id' => 'guest',
        'app_id' => 'php', 'headers' => ['text' => 'größe', 'int' => 42, 'yes' => true],
    ];
    $queue = temporary($channel);
    send($channel, '', $queue->getName(), '{}', $sent);
    $got = $queue->get(AMQP_AUTOACK);
    equal($sent, [
        'content_type' => $got->getContentType(), 'content_encoding' => $got->getContentEncoding(),
        'delivery_mode' => (int) $got->getDeliveryMode(), 'priority' => (int) $got->getPriority(),
        'correlation_id' => $got->getCorrelationId(), 'reply_to' => $got->getReplyTo(),
        'expiration' => $got->getExpiration(), 'message_id' => $got->getMessageId(),
        'timestamp' => (int) (string) $got->getTimestamp(), 'type' => $got->getType(),
        'user_id' => $got->getUserId(), 'app_id' => $got->getAppId(), 'headers' => $got->getHeaders(),
    ]);
};

$scenarios['get'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    send($channel, '', $queue->getName(), '1');
    send($channel, '', $queue->getName(), '2');
    $first = $queue->get();
    equal('1', $first->getBody());
    // What is left the extension tells by declaring again.
    $queue->setFlags(AMQP_PASSIVE);
    equal(1, $queue->declareQueue());
    $queue->ack($first->getDeliveryTag());
    equal(['2'], bodies($queue));
    equal(false, (bool) $queue->get());
};

function inOrder(AMQPQueue $queue, int $count): void
{
    for ($number = 0; $number < $count; $number++) {
        send($queue->getChannel(), '', $queue->getName(), (string) $number);
    }
    $heard = [];
    $queue->getChannel()->setPrefetchCount(200);
    consume($queue, function (AMQPEnvelope $message) use ($queue, &$heard, $count) {
        $heard[] = (int) $message->getBody();
        $queue->ack($message->getDeliveryTag());
        return count($heard) === $count;
    });
    equal(range(0, $count - 1), $heard);
    $queue->cancel();
}

$scenarios['consume-ack'] = function (AMQPChannel $channel) {
    $queue = named($channel, 'ext.consumed', AMQP_NOPARAM);
    inOrder($queue, 100);
    equal(0, $queue->delete());
};

$scenarios['requeue'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    send($channel, '', $queue->getName(), 'again');
    $first = $queue->get();
    $queue->nack($first->getDeliveryTag(), AMQP_REQUEUE);
    $second = $queue->get();
    equal([false, true], [$first->isRedelivery(), $second->isRedelivery()]);
    $queue->reject($second->getDeliveryTag());
    equal([], bodies($queue));
};

$scenarios['confirms'] = function (AMQPChannel $channel) {
    $queue = named($channel, 'ext.confirmed', AMQP_DURABLE);
    $channel->confirmSelect();
    for ($number = 0; $number < 1000; $number++) {
        send($channel, '', 'ext.confirmed', 'x', ['delivery_mode' => AMQP_DURABLE]);
    }
    $channel->setConfirmCallback(
        fn (int $tag) => $tag < 1000,
        function () { throw new Exception('a nack'); }
    );
    $channel->waitForConfirm(20);
    equal(1000, $queue->delete());
};

$scenarios['mandatory-return'] = function (AMQPChannel $channel) {
    $returned = [];
    $channel->setReturnCallback(
        function ($code, $text, $exchange, $key, $properties, $body) use (&$returned) {
            $returned = [$code, $body];
            return false;
        }
    );
    send($channel, '', 'ext.nowhere', 'back', [], AMQP_MANDATORY);
    $channel->waitForBasicReturn(10);
    equal([312, 'back'], $returned);
};

$scenarios['prefetch'] = function () {
    $channel = new AMQPChannel(connect(['read_timeout' => 0.5]));
    $queue = temporary($channel);
    for ($number = 0; $number < 20; $number++) {
        send($channel, '', $queue->getName(), (string) $number);
    }
    $channel->setPrefetchCount(5);
    $tags = [];
    $hear = function (AMQPEnvelope $message) use (&$tags) {
        $tags[] = $message->getDeliveryTag();
        return count($tags) === 10;
    };
    equal(false, consume($queue, $hear));
    equal(5, count($tags));
    $queue->ack($tags[4], AMQP_MULTIPLE);
    equal(true, consume($queue, $hear, AMQP_JUST_CONSUME));
};

$scenarios['ttl'] = function (AMQPChannel $channel) {
    $plain = temporary($channel);
    $brief = temporary($channel, ['x-message-ttl' => 50]);
    send($channel, '', $plain->getName(), 'gone', ['expiration' => '50']);
    send($channel, '', $plain->getName(), 'stays');
    send($channel, '', $brief->getName(), 'gone');
    usleep(400_000);
    equal(['stays'], bodies($plain));
    equal([], bodies($brief));
};

$scenarios['dead-letter'] = function (AMQPChannel $channel) {
    exchange($channel, 'ext.dlx', AMQP_EX_TYPE_FANOUT);
    $dead = bound($channel, 'ext.dlx');
    $arguments = ['x-dead-letter-exchange' => 'ext.dlx', 'x-dead-letter-routing-key' => 'dead'];
    $queue = named($channel, 'ext.alive', AMQP_EXCLUSIVE, $arguments);
    send($channel, '', 'ext.alive', 'bad');
    $queue->reject($queue->get()->getDeliveryTag());
    $letter = letter($dead);
    $death = $letter->getHeader('x-death')[0];
    equal(
        ['dead', 'ext.alive', 'rejected', 1],
        [$letter->getRoutingKey(), $death['queue'], $death['reason'], (int) $death['count']]
    );
};

$scenarios['priority'] = function (AMQPChannel $channel) {
    $queue = temporary($channel, ['x-max-priority' => 5]);
    foreach ([1, 5, 0, 5, 3] as $number => $level) {
        send($channel, '', $queue->getName(), "$level$number", ['priority' => $level]);
    }
    equal(['51', '53', '34', '10', '02'], bodies($queue));
};

$scenarios['max-length'] = function (AMQPChannel $channel) {
    $queue = temporary($channel, ['x-max-length' => 3, 'x-overflow' => 'reject-publish']);
    $said = [];
    $channel->confirmSelect();
    $channel->setConfirmCallback(
        function () use (&$said) { $said[] = 'ack'; return false; },
        function () use (&$said) { $said[] = 'nack'; return false; }
    );
    foreach (['0', '1', '2', '3'] as $body) {
        send($channel, '', $queue->getName(), $body);
        $channel->waitForConfirm(10);
    }
    equal(['ack', 'ack', 'ack', 'nack'], $said);
    equal(['0', '1', '2'], bodies($queue));
};

$scenarios['quorum'] = function (AMQPChannel $channel) {
    exchange($channel, 'ext.dlx', AMQP_EX_TYPE_FANOUT);
    $dead = bound($channel, 'ext.dlx');
    $arguments = ['x-queue-type' => 'quorum', 'x-delivery-limit' => 2, 'x-dead-letter-exchange' => 'ext.dlx'];
    $queue = named($channel, 'ext.quorum', AMQP_DURABLE, $arguments);
    send($channel, '', 'ext.quorum', 'poison', ['delivery_mode' => 2]);
    $counts = [];
    consume($queue, function (AMQPEnvelope $message) use ($queue, &$counts) {
        $counts[] = (int) ($message->getHeaders()['x-delivery-count'] ?? 0);
        $queue->reject($message->getDeliveryTag(), AMQP_REQUEUE);
        return count($counts) === 3;
    });
    equal([0, 1, 2], $counts);
    equal('delivery_limit', letter($dead)->getHeader('x-death')[0]['reason']);
    $queue->delete();
};

$scenarios['stream'] = function (AMQPChannel $channel) {
    named($channel, 'ext.stream', AMQP_DURABLE, ['x-queue-type' => 'stream']);
    for ($number = 0; $number < 10; $number++) {
        send($channel, '', 'ext.stream', (string) $number);
    }
    $channel->setPrefetchCount(100);
    foreach ([[5, 5], ['first', 0]] as [$offset, $from]) {
        $stream = new AMQPQueue($channel);
        $stream->setName('ext.stream');
        $stream->setArgument('x-stream-offset', $offset);
        $read = [];
        consume($stream, function (AMQPEnvelope $message) use ($stream, &$read, $from) {
            $read[] = $message->getHeader('x-stream-offset');
            equal((string) end($read), $message->getBody());
            $stream->ack($message->getDeliveryTag());
            return count($read) === 10 - $from;
        });
        equal(range($from, 9), $read);
        $stream->cancel();
    }
    $stream->delete();
};

$scenarios['rpc'] = function (AMQPChannel $channel) {
    $requests = temporary($channel);
    $replies = new AMQPQueue($channel);
    $replies->setName('amq.rabbitmq.reply-to');
    // A consumer is registered without waiting for its messages.
    $replies->consume(null, AMQP_AUTOACK);
    $ask = ['reply_to' => 'amq.rabbitmq.reply-to', 'correlation_id' => '7'];
    send($channel, '', $requests->getName(), 'hello', $ask);
    $request = $requests->get(AMQP_AUTOACK);
    $answer = ['correlation_id' => $request->getCorrelationId()];
    send($channel, '', $request->getReplyTo(), strtoupper($request->getBody()), $answer);
    $heard = [];
    consume($replies, function (AMQPEnvelope $message) use (&$heard) {
        $heard = [$message->getCorrelationId(), $message->getBody()];
        return true;
    }, AMQP_JUST_CONSUME);
    equal(['7', 'HELLO'], $heard);
};

$scenarios['single-active'] = function (AMQPChannel $channel) {
    // Not an exclusive queue: the extension would make its consumers exclusive, too.
    $queue = named($channel, 'ext.single', AMQP_NOPARAM, ['x-single-active-consumer' => true]);
    $queue->consume(null, AMQP_NOPARAM, 'first');
    $other = new AMQPQueue($channel);
    $other->setName($queue->getName());
    $other->consume(null, AMQP_NOPARAM, 'second');
    $heard = [];
    $hear = function (AMQPEnvelope $message) use (&$heard, $queue) {
        $heard[] = $message->getConsumerTag() . $message->getBody();
        $queue->ack($message->getDeliveryTag());
        return count($heard) !== 1;
    };
    send($channel, '', $queue->getName(), '1');
    send($channel, '', $queue->getName(), '2');
    consume($queue, $hear, AMQP_JUST_CONSUME);
    $queue->cancel('first');
    send($channel, '', $queue->getName(), '3');
    consume($other, $hear, AMQP_JUST_CONSUME);
    equal(['first1', 'first2', 'second3'], $heard);
};

$scenarios['exclusive'] = function (AMQPChannel $channel) {
    $other = connect();
    named(new AMQPChannel($other), 'ext.mine', AMQP_EXCLUSIVE);
    equal(405, closeCode(fn () => named($channel, 'ext.mine', AMQP_PASSIVE)));
    $other->disconnect();
};

$scenarios['tx'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    $channel->startTransaction();
    send($channel, '', $queue->getName(), 'no');
    $channel->rollbackTransaction();
    send($channel, '', $queue->getName(), 'yes');
    $channel->commitTransaction();
    equal(['yes'], bodies($queue));
};

$scenarios['large-body'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    $body = random_bytes(8 << 20);
    send($channel, '', $queue->getName(), $body);
    equal(true, $body === $queue->get(AMQP_AUTOACK)->getBody());
};

$scenarios['order'] = fn (AMQPChannel $channel) => inOrder(temporary($channel), 10_000);

$scenarios['reconnect'] = function () {
    $heard = [];
    $consuming = function (AMQPConnection $connection) {
        $channel = new AMQPChannel($connection);
        exchange($channel, 'ext.again', AMQP_EX_TYPE_DIRECT);
        $queue = named($channel, 'ext.again', AMQP_DURABLE);
        $queue->bind('ext.again', 'key');
        return $queue;
    };
    $hear = function (AMQPEnvelope $message) use (&$heard) {
        $heard[] = $message->getBody();
        return true;
    };
    $connection = connect();
    $queue = $consuming($connection);
    send($queue->getChannel(), 'ext.again', 'key', 'before');
    consume($queue, $hear, AMQP_AUTOACK);
    control('restart');
    try {
        consume($queue, $hear, AMQP_AUTOACK | AMQP_JUST_CONSUME);
    } catch (AMQPException) {
        $connection->reconnect();
        $queue = $consuming($connection);
    }
    send($queue->getChannel(), 'ext.again', 'key', 'after');
    consume($queue, $hear, AMQP_AUTOACK);
    equal(['before', 'after'], $heard);
};

foreach (array_slice($argv, 1) ?: array_keys($scenarios) as $name) {
    try {
        $connection = connect();
        $scenarios[$name](new AMQPChannel($connection));
        echo "ok $name\n";
    } catch (Throwable $problem) {
        $why = get_class($problem) . ' ' . $problem->getMessage();
        echo "not ok $name - " . strtr($why, "\n", ' ') . "\n";
    }
    try {
        $connection->disconnect();
    } catch (Throwable) {
        // The scenario ended it.
    }
}
