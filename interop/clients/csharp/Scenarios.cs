// Every scenario with RabbitMQ's .NET client as Mono has it, which opens with AMQP 0-9.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Security.Authentication;
using System.Text;
using System.Threading;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

public static class Scenarios
{
    delegate void Scenario(IConnection connection, IModel channel);

    static void Equal(object expected, object seen)
    {
        if (!Equals(expected, seen))
        {
            throw new Exception(string.Format("seen {0}, expected {1}", seen, expected));
        }
    }

    static void Equal(string[] expected, List<string> seen)
    {
        Equal(string.Join(" ", expected), string.Join(" ", seen.ToArray()));
    }

    static void Control(string word)
    {
        var process = Process.Start(Environment.GetEnvironmentVariable("BROKER_CONTROL"), word);
        process.WaitForExit();
        Equal(0, process.ExitCode);
    }

    static ConnectionFactory Local()
    {
        return new ConnectionFactory { HostName = "localhost", Protocol = Protocols.AMQP_0_9 };
    }

    static IConnection Connect()
    {
        return Local().CreateConnection();
    }

    // The factory has an SslOption and does not hand it on; the protocol takes one.
    static IConnection ConnectSecurely(string serverName)
    {
        var protocol = Protocols.AMQP_0_9;
        var ssl = new SslOption {
            Enabled = true, ServerName = serverName, Version = SslProtocols.Tls12 };
        var endpoint = new AmqpTcpEndpoint(protocol, "localhost", 5671, ssl);
        var handler = protocol.CreateFrameHandler(endpoint);
        return protocol.CreateConnection(new ConnectionFactory(), false, handler);
    }

    // Into Mono's own list of authorities, under the name that OpenSSL gives it: what cert-sync
    // does, which Debian keeps in another package.
    static void Trust(string authority)
    {
        var settings = Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData);
        var trusted = Path.Combine(settings, ".mono", "new-certs", "Trust");
        var asking = new ProcessStartInfo("openssl", "x509 -noout -hash -in " + authority) {
            UseShellExecute = false, RedirectStandardOutput = true };
        var name = Process.Start(asking).StandardOutput.ReadToEnd().Trim();
        Directory.CreateDirectory(trusted);
        File.Copy(authority, Path.Combine(trusted, name + ".0"), true);
    }

    static IDictionary Table(params object[] pairs)
    {
        var table = new Hashtable();
        for (var index = 0; index < pairs.Length; index += 2)
        {
            table[pairs[index]] = pairs[index + 1];
        }
        return table;
    }

    static byte[] Bytes(string text)
    {
        return Encoding.UTF8.GetBytes(text);
    }

    // What the client reads from tables is bytes.
    static string Text(object value)
    {
        return Encoding.UTF8.GetString((byte[]) value);
    }

    static string Temporary(IModel channel, params object[] arguments)
    {
        return channel.QueueDeclare("", false, false, true, true, false, Table(arguments));
    }

    static string Bound(IModel channel, string exchange, string key)
    {
        var queue = Temporary(channel);
        channel.QueueBind(queue, exchange, key, false, null);
        return queue;
    }

    static void Send(IModel channel, string exchange, string key, string body)
    {
        channel.BasicPublish(exchange, key, null, Bytes(body));
    }

    static List<string> Bodies(IModel channel, string queue)
    {
        var found = new List<string>();
        for (BasicGetResult got; (got = channel.BasicGet(queue, true)) != null;)
        {
            found.Add(Text(got.Body));
        }
        return found;
    }

    static BasicGetResult Letter(IModel channel, string queue)
    {
        for (var tries = 0; tries < 100; tries++)
        {
            var got = channel.BasicGet(queue, true);
            if (got != null)
            {
                return got;
            }
            Thread.Sleep(100);
        }
        throw new Exception("nothing came to " + queue);
    }

    static IDictionary Death(BasicGetResult letter)
    {
        return (IDictionary) ((IList) letter.BasicProperties.Headers["x-death"])[0];
    }

    static QueueingBasicConsumer Consume(IModel channel, string queue, IDictionary arguments)
    {
        var consumer = new QueueingBasicConsumer(channel);
        consumer.ConsumerTag = channel.BasicConsume(queue, false, "", arguments, consumer);
        return consumer;
    }

    static BasicDeliverEventArgs Next(QueueingBasicConsumer consumer)
    {
        object delivery;
        if (!consumer.Queue.Dequeue(10000, out delivery))
        {
            throw new Exception("nothing more came");
        }
        return (BasicDeliverEventArgs) delivery;
    }

    static int CloseCode(ThreadStart action)
    {
        try
        {
            action();
        }
        catch (OperationInterruptedException error)
        {
            return error.ShutdownReason.ReplyCode;
        }
        throw new Exception("it was allowed");
    }

    static void Works(IConnection connected)
    {
        using (var connection = connected)
        {
            var channel = connection.CreateModel();
            var queue = Temporary(channel);
            Send(channel, "", queue, "secret");
            Equal(new[] { "secret" }, Bodies(channel, queue));
        }
    }

    static void InOrder(IModel channel, string queue, int count)
    {
        for (var number = 0; number < count; number++)
        {
            Send(channel, "", queue, number.ToString());
        }
        channel.BasicQos(0, 200, false);
        var consumer = Consume(channel, queue, null);
        for (var number = 0; number < count; number++)
        {
            var delivery = Next(consumer);
            Equal(number.ToString(), Text(delivery.Body));
            channel.BasicAck(delivery.DeliveryTag, false);
        }
        channel.BasicCancel(consumer.ConsumerTag);
    }

    static readonly Dictionary<string, Scenario> All = new Dictionary<string, Scenario>
    {
        { "connect-plain", (connection, channel) => {
            Equal("RabbitMQ", Text(connection.ServerProperties["product"]));
            Works(Connect());
        } },
        { "connect-refused", (connection, channel) => {
            try
            {
                var wrong = Local();
                wrong.Password = "wrong";
                Works(wrong.CreateConnection());
            }
            catch (BrokerUnreachableException error)
            {
                // The client's word for a connection that ends while it logs in.
                var reason = error.ConnectionErrors.Values.Cast<object>().Single();
                Equal(typeof(PossibleAuthenticationFailureException), reason.GetType());
                return;
            }
            throw new Exception("it got in");
        } },
        { "connect-tls", (connection, channel) => {
            var certificates = Environment.GetEnvironmentVariable("CERTIFICATES");
            Trust(Path.Combine(certificates, "ca.pem"));
            Works(ConnectSecurely("localhost"));
            try
            {
                Works(ConnectSecurely("elsewhere"));
            }
            catch (AuthenticationException)
            {
                return;
            }
            throw new Exception("another name was taken for the certificate's");
        } },
        { "topology", (connection, channel) => {
            channel.ExchangeDeclare("cs.exchange", "direct", true);
            channel.QueueDeclare("cs.queue", true);
            channel.QueueBind("cs.queue", "cs.exchange", "key", false, null);
            Send(channel, "cs.exchange", "key", "one");
            channel.QueueUnbind("cs.queue", "cs.exchange", "key", null);
            Send(channel, "cs.exchange", "key", "two");
            Equal(new[] { "one" }, Bodies(channel, "cs.queue"));
            channel.QueueDelete("cs.queue", false, false, false);
            channel.ExchangeDelete("cs.exchange", false, false);
            Equal(404, CloseCode(() =>
                channel.QueueDeclare("cs.queue", true, false, false, false, false, null)));
            Equal(false, channel.IsOpen);
            Equal(true, connection.IsOpen);
        } },
        { "inequivalent", (connection, channel) => {
            channel.QueueDeclare("cs.kind", false, false, true, false, false, null);
            Equal(406, CloseCode(() => channel.QueueDeclare(
                "cs.kind", false, false, true, false, false, Table("x-max-length", 1))));
        } },
        { "exchange-direct", (connection, channel) => {
            channel.ExchangeDeclare("cs.direct", "direct");
            var red = Bound(channel, "cs.direct", "red");
            var blue = Bound(channel, "cs.direct", "blue");
            foreach (var key in new[] { "red", "blue", "green", "red" })
            {
                Send(channel, "cs.direct", key, key);
            }
            Equal(new[] { "red", "red" }, Bodies(channel, red));
            Equal(new[] { "blue" }, Bodies(channel, blue));
        } },
        { "exchange-fanout", (connection, channel) => {
            channel.ExchangeDeclare("cs.fanout", "fanout");
            var queues = new[] { Bound(channel, "cs.fanout", ""), Bound(channel, "cs.fanout", "") };
            Send(channel, "cs.fanout", "whatever", "all");
            foreach (var queue in queues)
            {
                Equal(new[] { "all" }, Bodies(channel, queue));
            }
        } },
        { "exchange-topic", (connection, channel) => {
            channel.ExchangeDeclare("cs.topic", "topic");
            var queue = Bound(channel, "cs.topic", "*.red.#");
            foreach (var key in new[] { "a.red", "a.blue", "b.red.x.y", "red" })
            {
                Send(channel, "cs.topic", key, key);
            }
            Equal(new[] { "a.red", "b.red.x.y" }, Bodies(channel, queue));
        } },
        { "exchange-headers", (connection, channel) => {
            channel.ExchangeDeclare("cs.headers", "headers");
            var queue = Temporary(channel);
            channel.QueueBind(queue, "cs.headers", "", false,
                Table("x-match", "all", "colour", "red", "size", 3));
            foreach (var headers in new[] {
                Table("colour", "red", "size", 3, "more", 1), Table("colour", "red") })
            {
                var properties = channel.CreateBasicProperties();
                properties.Headers = headers;
                channel.BasicPublish("cs.headers", "", properties, Bytes("" + headers.Count));
            }
            Equal(new[] { "3" }, Bodies(channel, queue));
        } },
        { "alternate-exchange", (connection, channel) => {
            channel.ExchangeDeclare("cs.other", "fanout");
            channel.ExchangeDeclare("cs.main", "direct", false, false, false, false, false,
                Table("alternate-exchange", "cs.other"));
            var queue = Bound(channel, "cs.other", "");
            Send(channel, "cs.main", "nobody", "caught");
            Equal(new[] { "caught" }, Bodies(channel, queue));
        } },
        { "properties", (connection, channel) => {
            var sent = channel.CreateBasicProperties();
            sent.ContentType = "application/json";
            sent.ContentEncoding = "utf-8";
            sent.Headers = Table("int", 42, "list", new ArrayList { 1, 2 });
            sent.DeliveryMode = 2;
            sent.Priority = 3;
            sent.CorrelationId = "c1";
            sent.ReplyTo = "answers";
            sent.Expiration = "60000";
            sent.MessageId = "m1";
            sent.Timestamp = new AmqpTimestamp(1700000000);
            sent.Type = "order";
            sent.UserId = "guest";
            sent.AppId = "cs";
            var queue = Temporary(channel);
            channel.BasicPublish("", queue, sent, Bytes("{}"));
            var seen = channel.BasicGet(queue, true).BasicProperties;
            Equal(42, seen.Headers["int"]);
            Equal(2, ((IList) seen.Headers["list"])[1]);
            sent.Headers = seen.Headers = null;
            var one = new StringBuilder();
            var other = new StringBuilder();
            ((RabbitMQ.Client.Impl.ContentHeaderBase) sent).AppendPropertyDebugStringTo(one);
            ((RabbitMQ.Client.Impl.ContentHeaderBase) seen).AppendPropertyDebugStringTo(other);
            Equal(one.ToString(), other.ToString());
        } },
        { "get", (connection, channel) => {
            var queue = Temporary(channel);
            Send(channel, "", queue, "1");
            Send(channel, "", queue, "2");
            var first = channel.BasicGet(queue, false);
            Equal("1", Text(first.Body));
            Equal(1u, first.MessageCount);
            channel.BasicAck(first.DeliveryTag, false);
            Equal(new[] { "2" }, Bodies(channel, queue));
        } },
        { "consume-ack", (connection, channel) => {
            channel.QueueDeclare("cs.consumed");
            InOrder(channel, "cs.consumed", 100);
            Equal(0u, channel.QueueDelete("cs.consumed", false, false, false));
        } },
        { "requeue", (connection, channel) => {
            var queue = Temporary(channel);
            Send(channel, "", queue, "again");
            var first = channel.BasicGet(queue, false);
            channel.BasicReject(first.DeliveryTag, true);
            var second = channel.BasicGet(queue, false);
            Equal(false, first.Redelivered);
            Equal(true, second.Redelivered);
            channel.BasicReject(second.DeliveryTag, false);
            Equal(new string[0], Bodies(channel, queue));
        } },
        { "mandatory-return", (connection, channel) => {
            var returned = new RabbitMQ.Util.SharedQueue();
            channel.BasicReturn += (model, message) => returned.Enqueue(message);
            channel.BasicPublish("", "cs.nowhere", true, false, null, Bytes("back"));
            object back;
            Equal(true, returned.Dequeue(10000, out back));
            Equal((ushort) 312, ((BasicReturnEventArgs) back).ReplyCode);
            Equal("back", Text(((BasicReturnEventArgs) back).Body));
        } },
        { "prefetch", (connection, channel) => {
            var queue = Temporary(channel);
            for (var number = 0; number < 20; number++)
            {
                Send(channel, "", queue, number.ToString());
            }
            channel.BasicQos(0, 5, false);
            var consumer = Consume(channel, queue, null);
            for (var number = 0; number < 4; number++)
            {
                Next(consumer);
            }
            var fifth = Next(consumer);
            object sixth;
            Equal(false, consumer.Queue.Dequeue(300, out sixth));
            channel.BasicAck(fifth.DeliveryTag, true);
            Next(consumer);
        } },
        { "ttl", (connection, channel) => {
            var plain = Temporary(channel);
            var brief = Temporary(channel, "x-message-ttl", 50);
            var expiring = channel.CreateBasicProperties();
            expiring.Expiration = "50";
            channel.BasicPublish("", plain, expiring, Bytes("gone"));
            Send(channel, "", plain, "stays");
            Send(channel, "", brief, "gone");
            Thread.Sleep(400);
            Equal(new[] { "stays" }, Bodies(channel, plain));
            Equal(new string[0], Bodies(channel, brief));
        } },
        { "dead-letter", (connection, channel) => {
            channel.ExchangeDeclare("cs.dlx", "fanout");
            var dead = Bound(channel, "cs.dlx", "");
            channel.QueueDeclare("cs.alive", false, false, true, false, false,
                Table("x-dead-letter-exchange", "cs.dlx", "x-dead-letter-routing-key", "dead"));
            Send(channel, "", "cs.alive", "bad");
            channel.BasicReject(channel.BasicGet("cs.alive", false).DeliveryTag, false);
            var letter = Letter(channel, dead);
            Equal("dead", letter.RoutingKey);
            Equal("cs.alive", Text(Death(letter)["queue"]));
            Equal("rejected", Text(Death(letter)["reason"]));
            Equal(1L, Death(letter)["count"]);
        } },
        { "priority", (connection, channel) => {
            var queue = Temporary(channel, "x-max-priority", 5);
            var number = 0;
            foreach (var level in new byte[] { 1, 5, 0, 5, 3 })
            {
                var properties = channel.CreateBasicProperties();
                properties.Priority = level;
                channel.BasicPublish("", queue, properties, Bytes("" + level + number++));
            }
            Equal(new[] { "51", "53", "34", "10", "02" }, Bodies(channel, queue));
        } },
        { "quorum", (connection, channel) => {
            channel.ExchangeDeclare("cs.dlx", "fanout");
            var dead = Bound(channel, "cs.dlx", "");
            channel.QueueDeclare("cs.quorum", false, true, false, false, false, Table("x-queue-type",
                "quorum", "x-delivery-limit", 2, "x-dead-letter-exchange", "cs.dlx"));
            var persistent = channel.CreateBasicProperties();
            persistent.SetPersistent(true);
            channel.BasicPublish("", "cs.quorum", persistent, Bytes("poison"));
            var consumer = Consume(channel, "cs.quorum", null);
            var counts = new List<string>();
            for (var number = 0; number < 3; number++)
            {
                var delivery = Next(consumer);
                var headers = delivery.BasicProperties.Headers;
                counts.Add("" + (headers == null ? 0 : headers["x-delivery-count"] ?? 0));
                channel.BasicReject(delivery.DeliveryTag, true);
            }
            Equal(new[] { "0", "1", "2" }, counts);
            Equal("delivery_limit", Text(Death(Letter(channel, dead))["reason"]));
            channel.QueueDelete("cs.quorum", false, false, false);
        } },
        { "stream", (connection, channel) => {
            channel.QueueDeclare("cs.stream", false, true, false, false, false,
                Table("x-queue-type", "stream"));
            channel.TxSelect();
            for (var number = 0; number < 10; number++)
            {
                Send(channel, "", "cs.stream", number.ToString());
            }
            channel.TxCommit();
            foreach (var from in new object[] { 5, "first" })
            {
                var reading = connection.CreateModel();
                reading.BasicQos(0, 100, false);
                var consumer = Consume(reading, "cs.stream", Table("x-stream-offset", from));
                for (var number = from is int ? 5 : 0; number < 10; number++)
                {
                    var delivery = Next(consumer);
                    Equal((long) number, delivery.BasicProperties.Headers["x-stream-offset"]);
                    Equal(number.ToString(), Text(delivery.Body));
                    reading.BasicAck(delivery.DeliveryTag, false);
                }
                reading.Close();
            }
            channel.QueueDelete("cs.stream", false, false, false);
        } },
        { "rpc", (connection, channel) => {
            var requests = Temporary(channel);
            var served = Consume(channel, requests, null);
            var answers = new QueueingBasicConsumer(channel);
            channel.BasicConsume("amq.rabbitmq.reply-to", true, "", null, answers);
            var ask = channel.CreateBasicProperties();
            ask.ReplyTo = "amq.rabbitmq.reply-to";
            ask.CorrelationId = "7";
            channel.BasicPublish("", requests, ask, Bytes("hello"));
            var request = Next(served);
            var reply = channel.CreateBasicProperties();
            reply.CorrelationId = request.BasicProperties.CorrelationId;
            channel.BasicPublish("", request.BasicProperties.ReplyTo, reply,
                Bytes(Text(request.Body).ToUpper()));
            var answer = Next(answers);
            Equal("HELLO", Text(answer.Body));
            Equal("7", answer.BasicProperties.CorrelationId);
        } },
        { "single-active", (connection, channel) => {
            var queue = Temporary(channel, "x-single-active-consumer", true);
            var first = Consume(channel, queue, null);
            var second = Consume(channel, queue, null);
            Send(channel, "", queue, "1");
            Send(channel, "", queue, "2");
            foreach (var expected in new[] { "1", "2" })
            {
                var delivery = Next(first);
                Equal(expected, Text(delivery.Body));
                channel.BasicAck(delivery.DeliveryTag, false);
            }
            channel.BasicCancel(first.ConsumerTag);
            Send(channel, "", queue, "3");
            Equal("3", Text(Next(second).Body));
        } },
        { "exclusive", (connection, channel) => {
            using (var other = Connect())
            {
                other.CreateModel().QueueDeclare("cs.mine", false, false, true, false, false, null);
                Equal(405, CloseCode(() =>
                    channel.QueueDeclare("cs.mine", true, false, false, false, false, null)));
            }
        } },
        { "tx", (connection, channel) => {
            var queue = Temporary(channel);
            channel.TxSelect();
            Send(channel, "", queue, "no");
            channel.TxRollback();
            Send(channel, "", queue, "yes");
            channel.TxCommit();
            Equal(new[] { "yes" }, Bodies(channel, queue));
        } },
        { "large-body", (connection, channel) => {
            var queue = Temporary(channel);
            var body = new byte[8 << 20];
            new Random(1).NextBytes(body);
            channel.BasicPublish("", queue, null, body);
            Equal(true, body.SequenceEqual(channel.BasicGet(queue, true).Body));
        } },
        { "order", (connection, channel) => InOrder(channel, Temporary(channel), 10000) },
        { "reconnect", (unused, unusedChannel) => {
            Func<IModel> open = () => {
                var channel = Connect().CreateModel();
                channel.ExchangeDeclare("cs.again", "direct", true);
                channel.QueueDeclare("cs.again", true);
                channel.QueueBind("cs.again", "cs.again", "key", false, null);
                return channel;
            };
            var before = open();
            var consumer = Consume(before, "cs.again", null);
            Send(before, "cs.again", "key", "before");
            var delivery = Next(consumer);
            before.BasicAck(delivery.DeliveryTag, false);
            Control("restart");
            try
            {
                consumer.Queue.Dequeue();
            }
            catch (EndOfStreamException)
            {
                // The application hears of it by the end of its queue.
                var after = open();
                consumer = Consume(after, "cs.again", null);
                Send(after, "cs.again", "key", "after");
            }
            Equal("after", Text(Next(consumer).Body));
        } },
    };

    static string Perform(string name)
    {
        try
        {
            var connection = Connect();
            All[name](connection, connection.CreateModel());
            connection.Abort(1000);
            return "ok " + name;
        }
        catch (Exception problem)
        {
            var why = problem.GetType().Name + " " + problem.Message;
            return "not ok " + name + " - " + why.Replace('\n', ' ');
        }
    }

    public static void Main(string[] names)
    {
        foreach (var name in names.Length > 0 ? names : All.Keys.ToArray())
        {
            var line = "not ok " + name + " - it did not end";
            var thread = new Thread(() => line = Perform(name)) { IsBackground = true };
            thread.Start();
            thread.Join(60000);
            Console.WriteLine(line);
        }
        Environment.Exit(0);
    }
}
