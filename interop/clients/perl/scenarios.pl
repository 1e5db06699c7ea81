#!/usr/bin/perl
# Every scenario with AnyEvent::RabbitMQ.
use strict;
use warnings;

use AnyEvent;
use AnyEvent::RabbitMQ;
use Net::AMQP::Value;

$| = 1;
my (@names, %scenarios);
my $closed;    # why the broker closed the last channel that it closed

sub scenario { my ($name, $run) = @_; push @names, $name; $scenarios{$name} = $run }

sub equal {
    my ($expected, $seen) = map { ref $_ ? join(' ', @$_) : $_ } @_;
    die "seen '$seen', expected '$expected'\n" if $expected ne ($seen // 'nothing');
}

sub control { system($ENV{BROKER_CONTROL}, $_[0]) == 0 or die "control $_[0] failed\n" }

# Wait for what comes by callback; dies when it does not come in time.
sub within {
    my ($seconds, $start) = @_;
    my $done  = AE::cv;
    my $timer = AE::timer $seconds, 0, sub { $done->croak("nothing came in time\n") };
    $start->($done);
    return $done->recv;
}

sub loop_for { my ($seconds) = @_; my $cv = AE::cv; my $t = AE::timer $seconds, 0, $cv; $cv->recv }

sub until_so {
    my ($condition, $seconds) = @_;
    my $end = AE::time + ($seconds || 10);
    while (!$condition->()) {
        die "it did not happen in time\n" if AE::time > $end;
        loop_for(0.02);
    }
}

# One method of a channel, waited for.
sub call {
    my ($channel, $method, %arguments) = @_;
    return within(10, sub {
        my ($done) = @_;
        $channel->$method(
            %arguments,
            on_success => sub { $done->send($_[0]) },
            on_failure => sub { $done->croak(reason(@_)) },
        );
    });
}

sub reason {
    my ($error) = @_;
    return ($error // "for no reason") . "\n" unless ref $error && $error->can('method_frame');
    my $method = $error->method_frame;
    return ($method->can('reply_code') ? $method->reply_code . ' ' . $method->reply_text : ref $method) . "\n";
}

sub connect_to {
    my (%options) = @_;
    my $client = AnyEvent::RabbitMQ->new->load_xml_spec();
    return within(10, sub {
        my ($done) = @_;
        $client->connect(
            host => 'localhost', port => 5672, user => 'guest', pass => 'guest', vhost => '/',
            timeout => 5, %options,
            on_success => sub { $done->send($client) },
            on_failure => sub { $done->croak(reason(@_)) },
            on_close   => sub { $done->croak(reason(@_)) },
        );
    });
}

sub channel_of {
    my ($client) = @_;
    return within(10, sub {
        my ($done) = @_;
        $client->open_channel(
            on_success => sub { $done->send($_[0]) },
            on_failure => sub { $done->croak(reason(@_)) },
            on_close   => sub { $closed = reason(@_) },
        );
    });
}

sub end { my ($client) = @_; within(10, sub { my ($done) = @_; $client->close(on_success => $done, on_failure => $done) }) }

# A queue of this connection's own.
sub temporary {
    my ($channel, %arguments) = @_;
    my $declared = call($channel, 'declare_queue', exclusive => 1, arguments => \%arguments);
    return $declared->method_frame->queue;
}

sub exchange {
    my ($channel, $name, $type, %arguments) = @_;
    call($channel, 'declare_exchange', exchange => $name, type => $type, arguments => \%arguments);
}

sub bound {
    my ($channel, $exchange, $key, %arguments) = @_;
    my $queue = temporary($channel);
    call($channel, 'bind_queue', queue => $queue, exchange => $exchange, routing_key => $key,
        arguments => \%arguments);
    return $queue;
}

sub publish {
    my ($channel, $exchange, $key, $body, %header) = @_;
    $channel->publish(exchange => $exchange, routing_key => $key, body => $body, header => \%header);
}

sub get {
    my ($channel, $queue, %options) = @_;
    my $got = call($channel, 'get', queue => $queue, no_ack => 1, %options);
    return exists $got->{empty} ? undef : $got;
}

sub bodies {
    my ($channel, $queue) = @_;
    my @found;
    while (my $got = get($channel, $queue)) { push @found, $got->{body}->payload }
    return \@found;
}

sub consume {
    my ($channel, $queue, $hear, %options) = @_;
    my $consumed = call($channel, 'consume', queue => $queue, no_ack => 0, %options, on_consume => $hear);
    return $consumed->method_frame->consumer_tag;
}

sub works {
    my $client  = connect_to(@_);
    my $channel = channel_of($client);
    my $queue   = temporary($channel);
    publish($channel, '', $queue, 'secret');
    equal(['secret'], bodies($channel, $queue));
    end($client);
}

# The broker closes the channel with this code.
sub refused {
    my ($code, $action) = @_;
    undef $closed;
    eval { $action->(); 1 } and die "it was allowed\n";
    until_so(sub { $closed });
    equal($code, $closed =~ /^(\d{3})/ ? $1 : $closed);
}

# The client logs in with AMQPLAIN whenever it is offered.
scenario 'connect-amqplain' => sub {
    my ($channel, $client) = @_;
    equal('RabbitMQ', $client->server_properties->{product});
    works();
};

scenario 'connect-tls' => sub {
    works(port => 5671, tls => 1,
        tls_ctx => { verify => 1, verify_peername => 'https', ca_file => "$ENV{CERTIFICATES}/ca.pem" });
};

# Told that the client understands it, the broker says why it closes; the connection just ends else.
scenario 'connect-refused' => sub {
    my %understood = (authentication_failure_close => Net::AMQP::Value::true);
    my %telling    = (client_properties => { capabilities => \%understood });
    eval { connect_to(pass => 'wrong', %telling); 1 } and die "it got in\n";
    equal('403', $@ =~ /^(\d{3}) ACCESS_REFUSED/ ? $1 : $@);
};

scenario 'topology' => sub {
    my ($channel, $client) = @_;
    exchange($channel, 'perl.exchange', 'direct');
    call($channel, 'declare_queue', queue => 'perl.queue', durable => 1);
    my %binding = (queue => 'perl.queue', exchange => 'perl.exchange', routing_key => 'key');
    call($channel, 'bind_queue', %binding);
    publish($channel, 'perl.exchange', 'key', 'one');
    call($channel, 'unbind_queue', %binding);
    publish($channel, 'perl.exchange', 'key', 'two');
    equal(['one'], bodies($channel, 'perl.queue'));
    call($channel, 'delete_queue', queue => 'perl.queue');
    call($channel, 'delete_exchange', exchange => 'perl.exchange');
    refused(404, sub { call($channel, 'declare_queue', queue => 'perl.queue', passive => 1) });
    temporary(channel_of($client));
};

scenario 'inequivalent' => sub {
    my ($channel) = @_;
    call($channel, 'declare_queue', queue => 'perl.kind', exclusive => 1);
    refused(406, sub {
        call($channel, 'declare_queue', queue => 'perl.kind', exclusive => 1,
            arguments => { 'x-max-length' => 1 });
    });
};

scenario 'exchange-direct' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.direct', 'direct');
    my ($red, $blue) = map { bound($channel, 'perl.direct', $_) } qw(red blue);
    publish($channel, 'perl.direct', $_, $_) for qw(red blue green red);
    equal(['red', 'red'], bodies($channel, $red));
    equal(['blue'], bodies($channel, $blue));
};

scenario 'exchange-fanout' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.fanout', 'fanout');
    my @queues = map { bound($channel, 'perl.fanout', '') } 1 .. 3;
    publish($channel, 'perl.fanout', 'whatever', 'all');
    equal(['all'], bodies($channel, $_)) for @queues;
};

scenario 'exchange-topic' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.topic', 'topic');
    my $queue = bound($channel, 'perl.topic', '*.red.#');
    publish($channel, 'perl.topic', $_, $_) for qw(a.red a.blue b.red.x.y red);
    equal(['a.red', 'b.red.x.y'], bodies($channel, $queue));
};

scenario 'exchange-headers' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.headers', 'headers');
    my $queue = bound($channel, 'perl.headers', '', 'x-match' => 'all', colour => 'red', size => 'large');
    for my $headers ({ colour => 'red', size => 'large', more => 1 }, { colour => 'red' }) {
        publish($channel, 'perl.headers', '', scalar(keys %$headers), headers => $headers);
    }
    equal(['3'], bodies($channel, $queue));
};

scenario 'exchange-binding' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.inner', 'fanout');
    exchange($channel, 'perl.outer', 'direct');
    call($channel, 'bind_exchange', source => 'perl.outer', destination => 'perl.inner',
        routing_key => 'through');
    my $queue = bound($channel, 'perl.inner', '');
    publish($channel, 'perl.outer', 'through', 'in');
    publish($channel, 'perl.outer', 'past', 'out');
    equal(['in'], bodies($channel, $queue));
};

scenario 'alternate-exchange' => sub {
    my ($channel) = @_;
    exchange($channel, 'perl.other', 'fanout');
    exchange($channel, 'perl.main', 'direct', 'alternate-exchange' => 'perl.other');
    my $queue = bound($channel, 'perl.other', '');
    publish($channel, 'perl.main', 'nobody', 'caught');
    equal(['caught'], bodies($channel, $queue));
};

scenario 'properties' => sub {
    my ($channel) = @_;
    my %sent = (
        content_type => 'application/json', content_encoding => 'utf-8', delivery_mode => 2,
        priority => 3, correlation_id => 'c1', reply_to => 'answers', expiration => '60000',
        message_id => 'm1', timestamp => 1_700_000_000, type => 'order', user_id => 'guest',
        app_id => 'perl',
    );
    my $queue = temporary($channel);
    publish($channel, '', $queue, '{}', %sent, headers => { text => 'red', number => 42 });
    my $header = get($channel, $queue)->{header};
    equal($sent{$_}, $header->$_) for keys %sent;
    equal(['red', 42], [@{ $header->headers }{qw(text number)}]);
};

scenario 'get' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel);
    publish($channel, '', $queue, $_) for 1, 2;
    my $first = get($channel, $queue, no_ack => 0);
    equal(['1', 1], [$first->{body}->payload, $first->{ok}->method_frame->message_count]);
    $channel->ack(delivery_tag => $first->{ok}->method_frame->delivery_tag);
    equal(['2'], bodies($channel, $queue));
    equal('nothing', get($channel, $queue) // 'nothing');
};

sub in_order {
    my ($channel, $queue, $count) = @_;
    publish($channel, '', $queue, $_) for 0 .. $count - 1;
    call($channel, 'qos', prefetch_count => 200);
    my @heard;
    my $tag = consume($channel, $queue, sub {
        my ($message) = @_;
        push @heard, $message->{body}->payload;
        $channel->ack(delivery_tag => $message->{deliver}->method_frame->delivery_tag);
    });
    until_so(sub { @heard == $count }, 30);
    equal([0 .. $count - 1], \@heard);
    call($channel, 'cancel', consumer_tag => $tag);
}

scenario 'consume-ack' => sub {
    my ($channel) = @_;
    call($channel, 'declare_queue', queue => 'perl.consumed');
    in_order($channel, 'perl.consumed', 100);
    equal(0, call($channel, 'delete_queue', queue => 'perl.consumed')->method_frame->message_count);
};

scenario 'requeue' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel);
    publish($channel, '', $queue, 'again');
    my $first = get($channel, $queue, no_ack => 0)->{ok}->method_frame;
    $channel->reject(delivery_tag => $first->delivery_tag, requeue => 1);
    my $second = get($channel, $queue, no_ack => 0)->{ok}->method_frame;
    equal([0, 1], [map { $_->redelivered ? 1 : 0 } $first, $second]);
    $channel->reject(delivery_tag => $second->delivery_tag, requeue => 0);
    equal([], bodies($channel, $queue));
};

scenario 'confirms' => sub {
    my ($channel) = @_;
    call($channel, 'declare_queue', queue => 'perl.confirmed', durable => 1);
    call($channel, 'confirm');
    my $acked = 0;
    for (1 .. 1000) {
        $channel->publish(routing_key => 'perl.confirmed', body => 'x',
            header => { delivery_mode => 2 }, on_ack => sub { $acked++ });
    }
    until_so(sub { $acked == 1000 }, 20);
    equal(1000, call($channel, 'delete_queue', queue => 'perl.confirmed')->method_frame->message_count);
};

scenario 'mandatory-return' => sub {
    my ($channel) = @_;
    my $returned;
    call($channel, 'confirm');
    $channel->publish(routing_key => 'perl.nowhere', body => 'back', mandatory => 1,
        on_return => sub { $returned = $_[0] });
    until_so(sub { $returned });
    equal(312, $returned->method_frame->reply_code);
};

scenario 'prefetch' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel);
    publish($channel, '', $queue, $_) for 1 .. 20;
    call($channel, 'qos', prefetch_count => 5);
    my @tags;
    consume($channel, $queue, sub { push @tags, $_[0]{deliver}->method_frame->delivery_tag });
    until_so(sub { @tags == 5 });
    loop_for(0.3);
    equal(5, scalar @tags);
    $channel->ack(delivery_tag => $tags[4], multiple => 1);
    until_so(sub { @tags == 10 });
};

scenario 'ttl' => sub {
    my ($channel) = @_;
    my $plain = temporary($channel);
    my $brief = temporary($channel, 'x-message-ttl' => 50);
    publish($channel, '', $plain, 'gone', expiration => '50');
    publish($channel, '', $plain, 'stays');
    publish($channel, '', $brief, 'gone');
    loop_for(0.4);
    equal(['stays'], bodies($channel, $plain));
    equal([], bodies($channel, $brief));
};

scenario 'priority' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel, 'x-max-priority' => 5);
    publish($channel, '', $queue, $_, priority => int($_ / 10)) for 10, 51, '02', 53, 34;
    equal([51, 53, 34, 10, '02'], bodies($channel, $queue));
};

scenario 'max-length' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel, 'x-max-length' => 3, 'x-overflow' => 'reject-publish');
    call($channel, 'confirm');
    my @said;
    for my $body (0 .. 3) {
        $channel->publish(routing_key => $queue, body => $body,
            on_ack => sub { push @said, 'ack' }, on_nack => sub { push @said, 'nack' });
    }
    until_so(sub { @said == 4 });
    equal(['ack', 'ack', 'ack', 'nack'], \@said);
    equal([0, 1, 2], bodies($channel, $queue));
};

scenario 'rpc' => sub {
    my ($channel) = @_;
    my $requests = temporary($channel);
    consume($channel, $requests, sub {
        my ($header, $body) = @{ $_[0] }{qw(header body)};
        publish($channel, '', $header->reply_to, uc $body->payload, correlation_id => $header->correlation_id);
    }, no_ack => 1);
    my @answer;
    consume($channel, 'amq.rabbitmq.reply-to', sub {
        @answer = ($_[0]{header}->correlation_id, $_[0]{body}->payload);
    }, no_ack => 1);
    publish($channel, '', $requests, 'hello', reply_to => 'amq.rabbitmq.reply-to', correlation_id => 7);
    until_so(sub { @answer });
    equal([7, 'HELLO'], \@answer);
};

scenario 'consumer-cancel' => sub {
    my ($channel, $client) = @_;
    call($channel, 'declare_queue', queue => 'perl.cancelled');
    my $cancelled;
    consume($channel, 'perl.cancelled', sub { }, on_cancel => sub { $cancelled = 1 });
    call(channel_of($client), 'delete_queue', queue => 'perl.cancelled');
    until_so(sub { $cancelled });
};

scenario 'single-active' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel, 'x-single-active-consumer' => Net::AMQP::Value::Boolean->new(1));
    my (@first, @second);
    my $tag = consume($channel, $queue, sub { push @first, $_[0]{body}->payload }, no_ack => 1);
    consume($channel, $queue, sub { push @second, $_[0]{body}->payload }, no_ack => 1);
    publish($channel, '', $queue, $_) for 1, 2;
    until_so(sub { @first == 2 });
    call($channel, 'cancel', consumer_tag => $tag);
    publish($channel, '', $queue, 3);
    until_so(sub { @second });
    equal([1, 2], \@first);
    equal([3], \@second);
};

scenario 'exclusive' => sub {
    my ($channel) = @_;
    my $other = connect_to();
    call(channel_of($other), 'declare_queue', queue => 'perl.mine', exclusive => 1);
    refused(405, sub { call($channel, 'declare_queue', queue => 'perl.mine', passive => 1) });
    end($other);
};

scenario 'tx' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel);
    call($channel, 'select_tx');
    publish($channel, '', $queue, 'no');
    call($channel, 'rollback_tx');
    publish($channel, '', $queue, 'yes');
    call($channel, 'commit_tx');
    equal(['yes'], bodies($channel, $queue));
};

scenario 'large-body' => sub {
    my ($channel) = @_;
    my $queue = temporary($channel);
    my $body = join '', map { pack 'N', $_ * 2_654_435_761 & 0xffffffff } 1 .. 1 << 21;
    publish($channel, '', $queue, $body);
    my $got = get($channel, $queue)->{body}->payload;
    die "another body\n" if $got ne $body;
};

scenario 'order' => sub { my ($channel) = @_; in_order($channel, temporary($channel), 10_000) };

scenario 'reconnect' => sub {
    my @heard;
    my $consuming = sub {
        my $client  = connect_to();
        my $channel = channel_of($client);
        call($channel, 'declare_exchange', exchange => 'perl.again', type => 'direct', durable => 1);
        call($channel, 'declare_queue', queue => 'perl.again', durable => 1);
        call($channel, 'bind_queue', queue => 'perl.again', exchange => 'perl.again', routing_key => 'key');
        consume($channel, 'perl.again', sub { push @heard, $_[0]{body}->payload }, no_ack => 1);
        return ($client, $channel);
    };
    my ($client, $channel) = $consuming->();
    publish($channel, 'perl.again', 'key', 'before');
    until_so(sub { @heard == 1 });
    control('restart');
    until_so(sub { !$client->is_open });
    ($client, $channel) = $consuming->();
    publish($channel, 'perl.again', 'key', 'after');
    until_so(sub { @heard == 2 });
    equal(['before', 'after'], \@heard);
};

for my $name (@ARGV ? @ARGV : @names) {
    my $client;
    if (eval { $client = connect_to(); $scenarios{$name}->(channel_of($client), $client); 1 }) {
        print "ok $name\n";
    } else {
        my $why = $@ =~ s/\s+/ /gr;
        print "not ok $name - $why\n";
    }
    eval { end($client) };
}
