<?php
// Every scenario with php-amqplib.

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPSSLConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPIOException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

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

function connect(
    string $password = 'guest',
    string $method = 'PLAIN',
    ?string $response = null
): AMQPStreamConnection {
    return new AMQPStreamConnection(
        'localhost', 5672, 'guest', $password, '/', false, $method, $response, 'en_US', 10.0, 60.0
    );
}

function works(AMQPStreamConnection $connection): void
{
    $channel = $connection->channel();
    $queue = temporary($channel);
    $channel->basic_publish(new AMQPMessage('secret'), '', $queue);
    equal(['secret'], bodies($channel, $queue));
    $connection->close();
}

/** A queue of this connection's own. */
function temporary(AMQPChannel $channel, array $arguments = []): string
{
    return $channel->queue_declare('', false, false, true, true, false, new AMQPTable($arguments))[0];
}

function bound(AMQPChannel $channel, string $exchange, string $key = '', array $arguments = []): string
{
    $queue = temporary($channel);
    $channel->queue_bind($queue, $exchange, $key, false, new AMQPTable($arguments));
    return $queue;
}

function send(AMQPChannel $channel, string $exchange, string $key, string $body, array $properties = []): void
{
    $channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $key);
}

/** Everything that is in the queue. */
function bodies(AMQPChannel $channel, string $queue): array
{
    $found = [];
    while ($message = $channel->basic_get($queue, true)) {
        $found[] = $message->getBody();
    }
    return $found;
}

/** Serve the channel until something is so. */
function eventually(AMQPChannel $channel, callable $condition, float $seconds = 10): void
{
    $end = microtime(true) + $seconds;
    while (!$condition()) {
        if (microtime(true) > $end) {
            throw new Exception('it did not happen in time');
        }
        try {
            $channel->wait(null, false, 0.1);
        } catch (AMQPTimeoutException) {
        }
    }
}

/** The first message that arrives in a queue that nobody consumes. */
function letter(AMQPChannel $channel, string $queue): AMQPMessage
{
    for ($tries = 0; $tries < 100; $tries++) {
        if ($message = $channel->basic_get($queue, true)) {
            return $message;
        }
        usleep(100_000);
    }
    throw new Exception('no dead letter');
}

function headers(AMQPMessage $message): array
{
    return $message->has('application_headers')
        ? $message->get('application_headers')->getNativeData() : [];
}

/** The reply code with which the broker closes the channel. */
function closeCode(callable $action): int
{
    try {
        $action();
    } catch (AMQPProtocolChannelException $error) {
        return $error->getCode();
    }
    throw new Exception('it was allowed');
}

$scenarios['connect-plain'] = function (AMQPChannel $channel) {
    equal('RabbitMQ', $channel->getConnection()->getServerProperties()['product'][1]);
    works(connect());
};

$scenarios['connect-amqplain'] = fn () => works(connect('guest', 'AMQPLAIN'));

$scenarios['connect-external'] = fn () => works(new AMQPSSLConnection(
    'localhost', 5671, '', '', '/',
    [
        'cafile' => "$certificates/ca.pem",
        'local_cert' => "$certificates/client.pem",
        'local_pk' => "$certificates/client.key",
    ],
    ['login_method' => 'EXTERNAL']
));

$scenarios['connect-anonymous'] = fn () => works(
    new AMQPStreamConnection('localhost', 5672, '', '', '/', false, 'ANONYMOUS')
);

$scenarios['connect-refused'] = function () {
    try {
        connect('wrong');
    } catch (AMQPConnectionClosedException $error) {
        equal(403, $error->getCode());
        return;
    }
    throw new Exception('it got in');
};

$scenarios['connect-tls'] = fn () => works(new AMQPSSLConnection(
    'localhost', 5671, 'guest', 'guest', '/', ['cafile' => "$certificates/ca.pem", 'verify_peer' => true]
));

$scenarios['topology'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.exchange', 'direct', false, true, false);
    $channel->queue_declare('php.queue', false, true, false, false);
    $channel->queue_bind('php.queue', 'php.exchange', 'key');
    send($channel, 'php.exchange', 'key', 'one');
    $channel->queue_unbind('php.queue', 'php.exchange', 'key');
    send($channel, 'php.exchange', 'key', 'two');
    equal(['one'], bodies($channel, 'php.queue'));
    $channel->queue_delete('php.queue');
    $channel->exchange_delete('php.exchange');
    equal(404, closeCode(fn () => $channel->queue_declare('php.queue', true)));
    equal(false, $channel->is_open());
    works(connect());
};

$scenarios['inequivalent'] = function (AMQPChannel $channel) {
    $channel->queue_declare('php.kind', false, false, true);
    $other = new AMQPTable(['x-max-length' => 1]);
    equal(406, closeCode(
        fn () => $channel->queue_declare('php.kind', false, false, true, true, false, $other)
    ));
};

$scenarios['exchange-direct'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.direct', 'direct');
    [$red, $blue] = [bound($channel, 'php.direct', 'red'), bound($channel, 'php.direct', 'blue')];
    foreach (['red', 'blue', 'green', 'red'] as $key) {
        send($channel, 'php.direct', $key, $key);
    }
    equal(['red', 'red'], bodies($channel, $red));
    equal(['blue'], bodies($channel, $blue));
};

$scenarios['exchange-fanout'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.fanout', 'fanout');
    $queues = array_map(fn () => bound($channel, 'php.fanout'), [1, 2, 3]);
    send($channel, 'php.fanout', 'whatever', 'all');
    foreach ($queues as $queue) {
        equal(['all'], bodies($channel, $queue));
    }
};

$scenarios['exchange-topic'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.topic', 'topic');
    $queue = bound($channel, 'php.topic', '*.red.#');
    foreach (['a.red', 'a.blue', 'b.red.x.y', 'red'] as $key) {
        send($channel, 'php.topic', $key, $key);
    }
    equal(['a.red', 'b.red.x.y'], bodies($channel, $queue));
};

$scenarios['exchange-headers'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.headers', 'headers');
    $wanted = ['x-match' => 'all', 'colour' => 'red', 'size' => 3];
    $queue = bound($channel, 'php.headers', '', $wanted);
    foreach ([['colour' => 'red', 'size' => 3, 'more' => 1], ['colour' => 'red']] as $headers) {
        $table = ['application_headers' => new AMQPTable($headers)];
        send($channel, 'php.headers', '', (string) count($headers), $table);
    }
    equal(['3'], bodies($channel, $queue));
};

$scenarios['exchange-binding'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.inner', 'fanout');
    $channel->exchange_declare('php.outer', 'direct');
    $channel->exchange_bind('php.inner', 'php.outer', 'through');
    $queue = bound($channel, 'php.inner');
    send($channel, 'php.outer', 'through', 'in');
    send($channel, 'php.outer', 'past', 'out');
    equal(['in'], bodies($channel, $queue));
};

$scenarios['alternate-exchange'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.other', 'fanout');
    $arguments = new AMQPTable(['alternate-exchange' => 'php.other']);
    $channel->exchange_declare('php.main', 'direct', false, false, true, false, false, $arguments);
    $queue = bound($channel, 'php.other');
    send($channel, 'php.main', 'nobody', 'caught');
    equal(['caught'], bodies($channel, $queue));
};

$scenarios['properties'] = function (AMQPChannel $channel) {
    $headers = ['text' => 'größe', 'int' => 42, 'long' => 1 << 40, 'yes' => true, 'list' => [1, ['a' => 2]]];
    $sent = [
        'content_type' => 'application/json', 'content_encoding' => 'utf-8', 'delivery_mode' => 2,
        'priority' => 3, 'correlation_id' => 'c1', 'reply_to' => 'answers', 'expiration' => '60000',
        'message_id' => 'm1', 'timestamp' => 1_700_000_000, 'type' => 'order', 'user_id' => 'guest',
        'app_id' => 'php',
    ];
    $queue = temporary($channel);
    send($channel, '', $queue, '{}', $sent + ['application_headers' => new AMQPTable($headers)]);
    $got = $channel->basic_get($queue, true);
    foreach ($sent as $name => $value) {
        equal([$name, (string) $value], [$name, (string) $got->get($name)]);
    }
    equal($headers, headers($got));
};

$scenarios['get'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    send($channel, '', $queue, '1');
    send($channel, '', $queue, '2');
    $first = $channel->basic_get($queue);
    equal(['1', 1], [$first->getBody(), $first->getMessageCount()]);
    $first->ack();
    equal(['2'], bodies($channel, $queue));
    equal(null, $channel->basic_get($queue));
};

$scenarios['consume-ack'] = function (AMQPChannel $channel) {
    $channel->queue_declare('php.consumed', false, false, false, false);
    inOrder($channel, 'php.consumed', 100);
    equal(0, $channel->queue_delete('php.consumed'));
};

function inOrder(AMQPChannel $channel, string $queue, int $count): void
{
    for ($number = 0; $number < $count; $number++) {
        send($channel, '', $queue, (string) $number);
    }
    $heard = [];
    $channel->basic_qos(0, 200, false);
    $tag = $channel->basic_consume($queue, callback: function (AMQPMessage $message) use (&$heard) {
        $heard[] = (int) $message->getBody();
        $message->ack();
    });
    eventually($channel, function () use (&$heard, $count) { return count($heard) === $count; }, 30);
    equal(range(0, $count - 1), $heard);
    $channel->basic_cancel($tag);
}

$scenarios['requeue'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    send($channel, '', $queue, 'again');
    $first = $channel->basic_get($queue);
    $first->nack(true);
    $second = $channel->basic_get($queue);
    equal([false, true], [(bool) $first->isRedelivered(), (bool) $second->isRedelivered()]);
    $second->reject(false);
    equal([], bodies($channel, $queue));
};

$scenarios['confirms'] = function (AMQPChannel $channel) {
    $channel->queue_declare('php.confirmed', false, true, false, false);
    $acked = 0;
    $channel->set_ack_handler(function () use (&$acked) { $acked++; });
    $channel->confirm_select();
    for ($number = 0; $number < 1000; $number++) {
        send($channel, '', 'php.confirmed', 'x', ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
    }
    $channel->wait_for_pending_acks(20);
    equal([1000, 1000], [$acked, $channel->queue_delete('php.confirmed')]);
};

$scenarios['mandatory-return'] = function (AMQPChannel $channel) {
    $returned = [];
    $channel->set_return_listener(
        function ($code, $text, $exchange, $key, AMQPMessage $message) use (&$returned) {
            $returned = [$code, $message->getBody()];
        }
    );
    $channel->basic_publish(new AMQPMessage('back'), '', 'php.nowhere', true);
    eventually($channel, function () use (&$returned) { return (bool) $returned; });
    equal([312, 'back'], $returned);
};

$scenarios['prefetch'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    for ($number = 0; $number < 20; $number++) {
        send($channel, '', $queue, (string) $number);
    }
    $heard = [];
    $channel->basic_qos(0, 5, false);
    $channel->basic_consume($queue, callback: function (AMQPMessage $message) use (&$heard) {
        $heard[] = $message;
    });
    eventually($channel, function () use (&$heard) { return count($heard) === 5; });
    try {
        $channel->wait(null, false, 0.3);
    } catch (AMQPTimeoutException) {
    }
    equal(5, count($heard));
    $heard[4]->ack(true);
    eventually($channel, function () use (&$heard) { return count($heard) === 10; });
};

$scenarios['ttl'] = function (AMQPChannel $channel) {
    $plain = temporary($channel);
    $brief = temporary($channel, ['x-message-ttl' => 50]);
    send($channel, '', $plain, 'gone', ['expiration' => '50']);
    send($channel, '', $plain, 'stays');
    send($channel, '', $brief, 'gone');
    usleep(400_000);
    equal(['stays'], bodies($channel, $plain));
    equal([], bodies($channel, $brief));
};

$scenarios['dead-letter'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.dlx', 'fanout');
    $dead = bound($channel, 'php.dlx');
    $arguments = ['x-dead-letter-exchange' => 'php.dlx', 'x-dead-letter-routing-key' => 'dead'];
    $channel->queue_declare('php.alive', false, false, true, true, false, new AMQPTable($arguments));
    send($channel, '', 'php.alive', 'bad');
    $channel->basic_get('php.alive')->reject(false);
    $letter = letter($channel, $dead);
    $death = headers($letter)['x-death'][0];
    equal(
        ['dead', 'php.alive', 'rejected', 1],
        [$letter->getRoutingKey(), $death['queue'], $death['reason'], $death['count']]
    );
};

$scenarios['priority'] = function (AMQPChannel $channel) {
    $queue = temporary($channel, ['x-max-priority' => 5]);
    foreach ([1, 5, 0, 5, 3] as $number => $level) {
        send($channel, '', $queue, "$level$number", ['priority' => $level]);
    }
    equal(['51', '53', '34', '10', '02'], bodies($channel, $queue));
};

$scenarios['max-length'] = function (AMQPChannel $channel) {
    $queue = temporary($channel, ['x-max-length' => 3, 'x-overflow' => 'reject-publish']);
    $said = [];
    $channel->set_ack_handler(function () use (&$said) { $said[] = 'ack'; });
    $channel->set_nack_handler(function () use (&$said) { $said[] = 'nack'; });
    $channel->confirm_select();
    foreach (['0', '1', '2', '3'] as $body) {
        send($channel, '', $queue, $body);
        $channel->wait_for_pending_acks(10);
    }
    equal(['ack', 'ack', 'ack', 'nack'], $said);
    equal(['0', '1', '2'], bodies($channel, $queue));
};

$scenarios['quorum'] = function (AMQPChannel $channel) {
    $channel->exchange_declare('php.dlx', 'fanout');
    $dead = bound($channel, 'php.dlx');
    $arguments = ['x-queue-type' => 'quorum', 'x-delivery-limit' => 2, 'x-dead-letter-exchange' => 'php.dlx'];
    $channel->queue_declare('php.quorum', false, true, false, false, false, new AMQPTable($arguments));
    send($channel, '', 'php.quorum', 'poison', ['delivery_mode' => 2]);
    $counts = [];
    $channel->basic_consume('php.quorum', callback: function (AMQPMessage $message) use (&$counts) {
        $counts[] = headers($message)['x-delivery-count'] ?? 0;
        $message->reject(true);
    });
    eventually($channel, function () use (&$counts) { return count($counts) === 3; });
    equal([0, 1, 2], $counts);
    equal('delivery_limit', headers(letter($channel, $dead))['x-death'][0]['reason']);
    $channel->queue_delete('php.quorum');
};

$scenarios['stream'] = function (AMQPChannel $channel) {
    $arguments = new AMQPTable(['x-queue-type' => 'stream']);
    $channel->queue_declare('php.stream', false, true, false, false, false, $arguments);
    $channel->confirm_select();
    for ($number = 0; $number < 10; $number++) {
        send($channel, '', 'php.stream', (string) $number);
    }
    $channel->wait_for_pending_acks(10);
    $channel->basic_qos(0, 100, false);
    foreach ([[5, 5], ['first', 0]] as [$offset, $from]) {
        $read = [];
        $hear = function (AMQPMessage $message) use (&$read) {
            $read[] = headers($message)['x-stream-offset'];
            equal((string) end($read), $message->getBody());
            $message->ack();
        };
        $arguments = new AMQPTable(['x-stream-offset' => $offset]);
        $tag = $channel->basic_consume('php.stream', '', false, false, false, false, $hear, null, $arguments);
        eventually($channel, function () use (&$read, $from) { return count($read) === 10 - $from; });
        equal(range($from, 9), $read);
        $channel->basic_cancel($tag);
    }
    $channel->queue_delete('php.stream');
};

$scenarios['rpc'] = function (AMQPChannel $channel) {
    $requests = temporary($channel);
    $channel->basic_consume($requests, no_ack: true, callback: function (AMQPMessage $request) use ($channel) {
        $properties = ['correlation_id' => $request->get('correlation_id')];
        send($channel, '', $request->get('reply_to'), strtoupper($request->getBody()), $properties);
    });
    $answer = [];
    $channel->basic_consume('amq.rabbitmq.reply-to', no_ack: true, callback: function ($message) use (&$answer) {
        $answer = [$message->get('correlation_id'), $message->getBody()];
    });
    $ask = ['reply_to' => 'amq.rabbitmq.reply-to', 'correlation_id' => '7'];
    send($channel, '', $requests, 'hello', $ask);
    eventually($channel, function () use (&$answer) { return (bool) $answer; });
    equal(['7', 'HELLO'], $answer);
};

$scenarios['consumer-cancel'] = function (AMQPChannel $channel) {
    $channel->queue_declare('php.cancelled', false, false, false, false);
    $tag = $channel->basic_consume('php.cancelled', callback: fn () => null);
    $other = connect();
    $other->channel()->queue_delete('php.cancelled');
    $other->close();
    try {
        eventually($channel, fn () => false);
    } catch (AMQPBasicCancelException $cancelled) {
        equal($tag, $cancelled->consumerTag);
    }
};

$scenarios['single-active'] = function (AMQPChannel $channel) {
    $queue = temporary($channel, ['x-single-active-consumer' => true]);
    [$first, $second] = [[], []];
    $tag = $channel->basic_consume($queue, no_ack: true, callback: function ($message) use (&$first) {
        $first[] = $message->getBody();
    });
    $channel->basic_consume($queue, no_ack: true, callback: function ($message) use (&$second) {
        $second[] = $message->getBody();
    });
    send($channel, '', $queue, '1');
    send($channel, '', $queue, '2');
    eventually($channel, function () use (&$first) { return count($first) === 2; });
    $channel->basic_cancel($tag);
    send($channel, '', $queue, '3');
    eventually($channel, function () use (&$second) { return (bool) $second; });
    equal([['1', '2'], ['3']], [$first, $second]);
};

$scenarios['exclusive'] = function (AMQPChannel $channel) {
    $other = connect();
    $other->channel()->queue_declare('php.mine', false, false, true);
    equal(405, closeCode(fn () => $channel->queue_declare('php.mine', true)));
    $other->close();
};

$scenarios['tx'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    $channel->tx_select();
    send($channel, '', $queue, 'no');
    $channel->tx_rollback();
    send($channel, '', $queue, 'yes');
    $channel->tx_commit();
    equal(['yes'], bodies($channel, $queue));
};

$scenarios['large-body'] = function (AMQPChannel $channel) {
    $queue = temporary($channel);
    $body = random_bytes(8 << 20);
    send($channel, '', $queue, $body);
    equal(true, $body === $channel->basic_get($queue, true)->getBody());
};

$scenarios['order'] = function (AMQPChannel $channel) {
    inOrder($channel, temporary($channel), 10_000);
};

$scenarios['blocked'] = function (AMQPChannel $channel) {
    $seen = [];
    $connection = connect();
    $connection->set_connection_block_handler(function () use (&$seen) { $seen[] = 'blocked'; });
    $connection->set_connection_unblock_handler(function () use (&$seen) { $seen[] = 'unblocked'; });
    $publishing = $connection->channel();
    control('block');
    try {
        for ($tries = 0; $tries < 50 && !$seen; $tries++) {
            if (!$connection->isBlocked()) {
                send($publishing, '', 'php.nowhere', 'x');
            }
            try {
                $connection->wait(null, false, 0.3);
            } catch (AMQPTimeoutException) {
            }
        }
    } finally {
        control('unblock');
    }
    $connection->wait(null, false, 30);
    equal(['blocked', 'unblocked'], $seen);
};

$scenarios['reconnect'] = function () {
    $heard = [];
    $consuming = function () use (&$heard) {
        $connection = connect();
        $channel = $connection->channel();
        $channel->exchange_declare('php.again', 'direct', false, true, false);
        $channel->queue_declare('php.again', false, true, false, false);
        $channel->queue_bind('php.again', 'php.again', 'key');
        $channel->basic_consume('php.again', no_ack: true, callback: function ($message) use (&$heard) {
            $heard[] = $message->getBody();
        });
        return $channel;
    };
    $channel = $consuming();
    send($channel, 'php.again', 'key', 'before');
    eventually($channel, function () use (&$heard) { return count($heard) === 1; });
    control('restart');
    try {
        eventually($channel, fn () => false);
    } catch (AMQPConnectionClosedException | AMQPIOException) {
        $channel = $consuming();
    }
    send($channel, 'php.again', 'key', 'after');
    eventually($channel, function () use (&$heard) { return count($heard) === 2; });
    equal(['before', 'after'], $heard);
};

foreach (array_slice($argv, 1) ?: array_keys($scenarios) as $name) {
    try {
        $connection = connect();
        $scenarios[$name]($connection->channel());
        echo "ok $name\n";
    } catch (Throwable $problem) {
        $why = get_class($problem) . ' ' . $problem->getMessage();
        echo "not ok $name - " . strtr($why, "\n", ' ') . "\n";
    }
    try {
        $connection->close();
    } catch (Throwable) {
        // The scenario ended it.
    }
}
