package amqpd;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What an application does with RabbitMQ's Java client, against the broker at the URI given. */
public final class Smoke {
    private static final int MESSAGES = 2_000;
    private static int count = 0;
    private static int failed = 0;

    private interface Rule {
        boolean holds(Connection connection) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(arguments[0]);
        factory.setRequestedHeartbeat(5);
        try (Connection connection = factory.newConnection("smoke")) {
            check("the server names itself", connection, Smoke::named);
            check("confirmed messages come back in order", connection, Smoke::confirmedInOrder);
            check("an unroutable mandatory message is returned", connection, Smoke::returned);
            check("a topic exchange routes by pattern", connection, Smoke::topic);
            check("headers keep their types", connection, Smoke::headers);
            check("a transaction rolls back and commits", connection, Smoke::transaction);
            check("a nacked message comes again, redelivered", connection, Smoke::redelivered);
            check("a missing queue closes the channel with 404", connection, Smoke::missing);
            check("remote procedure calls use direct reply-to", connection, Smoke::call);
            check("a large body arrives whole", connection, Smoke::large);
        }
        System.out.println("1.." + count);
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void check(String name, Connection connection, Rule rule) {
        count++;
        String problem = "";
        boolean holds = false;
        try {
            holds = rule.holds(connection);
        } catch (Exception error) {
            problem = " (" + error + ")";
        }
        failed += holds ? 0 : 1;
        System.out.println((holds ? "ok " : "not ok ") + count + " - " + name + problem);
    }

    private static boolean named(Connection connection) {
        return "RabbitMQ".equals(String.valueOf(connection.getServerProperties().get("product")));
    }

    private static boolean confirmedInOrder(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.queueDeclare("java.confirmed", true, false, false, null);
        channel.confirmSelect();
        for (int number = 0; number < MESSAGES; number++) {
            byte[] body = Integer.toString(number).getBytes(StandardCharsets.UTF_8);
            channel.basicPublish("", "java.confirmed", MessageProperties.PERSISTENT_BASIC, body);
        }
        channel.waitForConfirmsOrDie(20_000);
        BlockingQueue<String> arrived = new LinkedBlockingQueue<>();
        channel.basicQos(100);
        channel.basicConsume("java.confirmed", false, (tag, delivery) -> {
            arrived.add(new String(delivery.getBody(), StandardCharsets.UTF_8));
            channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
        }, tag -> { });
        for (int number = 0; number < MESSAGES; number++) {
            if (!Integer.toString(number).equals(arrived.poll(10, TimeUnit.SECONDS))) {
                return false;
            }
        }
        channel.queueDelete("java.confirmed");
        channel.close();
        return true;
    }

    private static boolean returned(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        BlockingQueue<Integer> codes = new LinkedBlockingQueue<>();
        channel.addReturnListener(message -> codes.add(message.getReplyCode()));
        channel.confirmSelect();
        channel.basicPublish("", "java.nowhere", true, null, new byte[0]);
        channel.waitForConfirmsOrDie(10_000);
        channel.close();
        return Integer.valueOf(AMQP.NO_ROUTE).equals(codes.poll());
    }

    private static boolean topic(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.exchangeDeclare("java.topic", BuiltinExchangeType.TOPIC);
        String queue = channel.queueDeclare().getQueue();
        channel.queueBind(queue, "java.topic", "*.red.#");
        for (String key : List.of("a.red", "a.blue", "b.red.x.y", "red")) {
            channel.basicPublish("java.topic", key, null, key.getBytes(StandardCharsets.UTF_8));
        }
        boolean right = "a.red".equals(text(channel, queue));
        right &= "b.red.x.y".equals(text(channel, queue));
        right &= channel.basicGet(queue, true) == null;
        channel.exchangeDelete("java.topic");
        channel.close();
        return right;
    }

    private static String text(Channel channel, String queue) throws IOException {
        GetResponse response = channel.basicGet(queue, true);
        return response == null ? null : new String(response.getBody(), StandardCharsets.UTF_8);
    }

    private static boolean headers(Connection connection) throws Exception {
        Map<String, Object> sent = Map.of(
            "int", 42, "long", 1L << 40, "bool", true, "double", 1.5, "list", List.of(1, 2));
        Channel channel = connection.createChannel();
        String queue = channel.queueDeclare().getQueue();
        AMQP.BasicProperties properties =
            new AMQP.BasicProperties.Builder().headers(sent).priority(3).build();
        channel.basicPublish("", queue, properties, new byte[0]);
        Map<String, Object> heard = channel.basicGet(queue, true).getProps().getHeaders();
        channel.close();
        return heard.equals(sent);
    }

    private static boolean transaction(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String queue = channel.queueDeclare().getQueue();
        channel.txSelect();
        channel.basicPublish("", queue, null, new byte[1]);
        channel.txRollback();
        boolean right = channel.messageCount(queue) == 0;
        channel.basicPublish("", queue, null, new byte[1]);
        channel.txCommit();
        right &= channel.messageCount(queue) == 1;
        channel.close();
        return right;
    }

    private static boolean redelivered(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String queue = channel.queueDeclare().getQueue();
        channel.basicPublish("", queue, null, new byte[1]);
        GetResponse first = channel.basicGet(queue, false);
        channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
        GetResponse second = channel.basicGet(queue, true);
        channel.close();
        return !first.getEnvelope().isRedeliver() && second.getEnvelope().isRedeliver();
    }

    private static boolean missing(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        try {
            channel.queueDeclarePassive("java.missing");
            return false;
        } catch (IOException error) {
            ShutdownSignalException reason = (ShutdownSignalException) error.getCause();
            AMQP.Channel.Close close = (AMQP.Channel.Close) reason.getReason();
            return close.getReplyCode() == AMQP.NOT_FOUND && connection.isOpen();
        } catch (AlreadyClosedException error) {
            return false;
        }
    }

    private static boolean call(Connection connection) throws Exception {
        Channel serving = connection.createChannel();
        serving.queueDeclare("java.calls", false, true, true, null);
        RpcServer server = new RpcServer(serving, "java.calls") {
            @Override
            public byte[] handleCall(byte[] body, AMQP.BasicProperties properties) {
                return ("<" + new String(body, StandardCharsets.UTF_8) + ">")
                    .getBytes(StandardCharsets.UTF_8);
            }
        };
        CountDownLatch ended = new CountDownLatch(1);
        Thread loop = new Thread(() -> {
            try {
                server.mainloop();
            } catch (IOException error) {
                System.out.println("# " + error);
            }
            ended.countDown();
        });
        loop.setDaemon(true);
        loop.start();
        Channel calling = connection.createChannel();
        RpcClientParams parameters = new RpcClientParams()
            .channel(calling).exchange("").routingKey("java.calls").timeout(10_000);
        String answer = new RpcClient(parameters).stringCall("hello");
        server.terminateMainloop();
        ended.await(5, TimeUnit.SECONDS);
        return "<hello>".equals(answer);
    }

    private static boolean large(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String queue = channel.queueDeclare().getQueue();
        byte[] body = new byte[5_000_000];
        body[body.length - 1] = 7;
        channel.basicPublish("", queue, null, body);
        byte[] heard = channel.basicGet(queue, true).getBody();
        channel.close();
        return heard.length == body.length && heard[heard.length - 1] == 7;
    }

    private Smoke() {
    }
}
