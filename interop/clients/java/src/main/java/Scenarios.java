import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.BlockedListener;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.SaslMechanism;
import com.rabbitmq.client.ShutdownSignalException;
import com.rabbitmq.client.impl.LongStringHelper;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Every scenario with RabbitMQ's Java client. */
public final class Scenarios {
    private interface Scenario {
        void run(Connection connection, Channel channel) throws Exception;
    }

    private interface Action {
        void run() throws Exception;
    }

    private static final Map<String, Scenario> ALL = new LinkedHashMap<>();
    private static final String CERTIFICATES = System.getenv("CERTIFICATES");

    public static void main(String[] names) throws Exception {
        register();
        for (String name : names.length > 0 ? List.of(names) : ALL.keySet()) {
            Connection connection = new ConnectionFactory().newConnection(name);
            try {
                ALL.get(name).run(connection, connection.createChannel());
                System.out.println("ok " + name);
            } catch (Throwable problem) {
                System.out.println("not ok " + name + " - " + problem + " " + problem.getCause());
            }
            connection.abort();
        }
        System.exit(0);
    }

    // -- what the scenarios share

    private static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError("seen: " + seen);
        }
    }

    private static void equal(Object expected, Object seen) {
        check(expected.equals(seen), seen + ", expected: " + expected);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] body) {
        return new String(body, StandardCharsets.UTF_8);
    }

    private static void control(String word) throws Exception {
        Process process = new ProcessBuilder(System.getenv("BROKER_CONTROL"), word).start();
        equal(0, process.waitFor());
    }

    private static List<String> bodies(Channel channel, String queue) throws IOException {
        List<String> found = new ArrayList<>();
        for (GetResponse got; (got = channel.basicGet(queue, true)) != null;) {
            found.add(text(got.getBody()));
        }
        return found;
    }

    private static String temporary(Channel channel, Map<String, Object> arguments)
            throws IOException {
        return channel.queueDeclare("", false, true, false, arguments).getQueue();
    }

    private static String temporary(Channel channel) throws IOException {
        return temporary(channel, null);
    }

    private static String bound(Channel channel, String exchange, String key) throws IOException {
        String queue = temporary(channel);
        channel.queueBind(queue, exchange, key);
        return queue;
    }

    private static BlockingQueue<Delivery> consume(
            Channel channel, String queue, Map<String, Object> arguments) throws IOException {
        BlockingQueue<Delivery> arrived = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, false, arguments,
            (tag, delivery) -> arrived.add(delivery), tag -> { });
        return arrived;
    }

    private static Delivery next(BlockingQueue<Delivery> arrived) throws InterruptedException {
        Delivery delivery = arrived.poll(10, TimeUnit.SECONDS);
        check(delivery != null, "nothing more came");
        return delivery;
    }

    private static GetResponse await(Channel channel, String queue) throws Exception {
        for (int tries = 0; tries < 100; tries++) {
            GetResponse got = channel.basicGet(queue, true);
            if (got != null) {
                return got;
            }
            Thread.sleep(100);
        }
        throw new AssertionError("nothing came to " + queue);
    }

    private static int closeCode(Action action) throws Exception {
        try {
            action.run();
        } catch (IOException error) {
            ShutdownSignalException signal = (ShutdownSignalException) error.getCause();
            return ((AMQP.Channel.Close) signal.getReason()).getReplyCode();
        }
        return 0;
    }

    private static ConnectionFactory secure(boolean withCertificate) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream file = new FileInputStream(CERTIFICATES + "/ca.pem")) {
            trusted.setCertificateEntry(
                "ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        KeyManagerFactory keys =
            KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        if (withCertificate) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            try (InputStream file = new FileInputStream(CERTIFICATES + "/client.p12")) {
                own.load(file, "secret".toCharArray());
            }
            keys.init(own, "secret".toCharArray());
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(
            withCertificate ? keys.getKeyManagers() : null, trust.getTrustManagers(), null);
        ConnectionFactory factory = new ConnectionFactory();
        factory.setPort(5671);
        factory.useSslProtocol(context);
        factory.enableHostnameVerification();
        return factory;
    }

    private static SaslMechanism mechanism(String name, byte[] response) {
        return new SaslMechanism() {
            @Override
            public String getName() {
                return name;
            }

            @Override
            public LongString handleChallenge(LongString challenge, String user, String password) {
                return LongStringHelper.asLongString(response);
            }
        };
    }

    private static void works(ConnectionFactory factory) throws Exception {
        try (Connection connection = factory.newConnection()) {
            Channel channel = connection.createChannel();
            String queue = temporary(channel);
            channel.basicPublish("", queue, null, bytes("secret"));
            equal(List.of("secret"), bodies(channel, queue));
        }
    }

    private static byte[] amqplain() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (String[] field : new String[][] {{"LOGIN", "guest"}, {"PASSWORD", "guest"}}) {
            out.write(field[0].length());
            out.writeBytes(bytes(field[0]));
            out.write('S');
            out.writeBytes(new byte[] {0, 0, 0, (byte) field[1].length()});
            out.writeBytes(bytes(field[1]));
        }
        return out.toByteArray();
    }

    // -- the scenarios

    private static void register() {
        ALL.put("connect-plain", (connection, channel) -> {
            equal("RabbitMQ", connection.getServerProperties().get("product").toString());
            works(new ConnectionFactory());
        });
        ALL.put("connect-amqplain", (connection, channel) -> {
            ConnectionFactory factory = new ConnectionFactory();
            factory.setSaslConfig(offered -> mechanism("AMQPLAIN", amqplain()));
            works(factory);
        });
        ALL.put("connect-external", (connection, channel) -> {
            ConnectionFactory factory = secure(true);
            factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
            works(factory);
        });
        ALL.put("connect-anonymous", (connection, channel) -> {
            ConnectionFactory factory = new ConnectionFactory();
            factory.setSaslConfig(offered -> mechanism("ANONYMOUS", new byte[0]));
            works(factory);
        });
        ALL.put("connect-refused", (connection, channel) -> {
            ConnectionFactory factory = new ConnectionFactory();
            factory.setPassword("wrong");
            try (Connection refused = factory.newConnection()) {
                throw new AssertionError("it got in");
            } catch (AuthenticationFailureException expected) {
                check(expected.getMessage().contains("ACCESS_REFUSED"), expected);
            }
        });
        ALL.put("connect-tls", (connection, channel) -> works(secure(false)));
        ALL.put("topology", (connection, channel) -> {
            channel.exchangeDeclare("java.exchange", BuiltinExchangeType.DIRECT, true);
            channel.queueDeclare("java.queue", true, false, false, null);
            channel.queueBind("java.queue", "java.exchange", "key");
            channel.basicPublish("java.exchange", "key", null, bytes("one"));
            channel.queueUnbind("java.queue", "java.exchange", "key");
            channel.basicPublish("java.exchange", "key", null, bytes("two"));
            equal(List.of("one"), bodies(channel, "java.queue"));
            channel.queueDelete("java.queue");
            channel.exchangeDelete("java.exchange");
            equal(404, closeCode(() -> channel.queueDeclarePassive("java.queue")));
            check(!channel.isOpen() && connection.isOpen(), "the wrong thing is closed");
        });
        ALL.put("inequivalent", (connection, channel) -> {
            channel.queueDeclare("java.kind", false, true, false, null);
            equal(406, closeCode(() -> channel.queueDeclare(
                "java.kind", false, true, false, Map.of("x-max-length", 1))));
        });
        ALL.put("exchange-direct", (connection, channel) -> {
            channel.exchangeDeclare("java.direct", BuiltinExchangeType.DIRECT);
            String red = bound(channel, "java.direct", "red");
            String blue = bound(channel, "java.direct", "blue");
            for (String key : List.of("red", "blue", "green", "red")) {
                channel.basicPublish("java.direct", key, null, bytes(key));
            }
            equal(List.of("red", "red"), bodies(channel, red));
            equal(List.of("blue"), bodies(channel, blue));
        });
        ALL.put("exchange-fanout", (connection, channel) -> {
            channel.exchangeDeclare("java.fanout", BuiltinExchangeType.FANOUT);
            String one = bound(channel, "java.fanout", "");
            String other = bound(channel, "java.fanout", "");
            channel.basicPublish("java.fanout", "whatever", null, bytes("all"));
            equal(List.of("all"), bodies(channel, one));
            equal(List.of("all"), bodies(channel, other));
        });
        ALL.put("exchange-topic", (connection, channel) -> {
            channel.exchangeDeclare("java.topic", BuiltinExchangeType.TOPIC);
            String queue = bound(channel, "java.topic", "*.red.#");
            for (String key : List.of("a.red", "a.blue", "b.red.x.y", "red")) {
                channel.basicPublish("java.topic", key, null, bytes(key));
            }
            equal(List.of("a.red", "b.red.x.y"), bodies(channel, queue));
        });
        ALL.put("exchange-headers", (connection, channel) -> {
            channel.exchangeDeclare("java.headers", BuiltinExchangeType.HEADERS);
            String queue = temporary(channel);
            channel.queueBind(queue, "java.headers", "",
                Map.of("x-match", "all", "colour", "red", "size", 3));
            List<Map<String, Object>> tried =
                List.of(Map.of("colour", "red", "size", 3, "more", 1), Map.of("colour", "red"));
            for (Map<String, Object> headers : tried) {
                channel.basicPublish("java.headers", "",
                    new AMQP.BasicProperties.Builder().headers(headers).build(),
                    bytes("" + headers.size()));
            }
            equal(List.of("3"), bodies(channel, queue));
        });
        ALL.put("exchange-binding", (connection, channel) -> {
            channel.exchangeDeclare("java.inner", BuiltinExchangeType.FANOUT);
            channel.exchangeDeclare("java.outer", BuiltinExchangeType.DIRECT);
            channel.exchangeBind("java.inner", "java.outer", "through");
            String queue = bound(channel, "java.inner", "");
            channel.basicPublish("java.outer", "through", null, bytes("in"));
            channel.basicPublish("java.outer", "past", null, bytes("out"));
            equal(List.of("in"), bodies(channel, queue));
        });
        ALL.put("alternate-exchange", (connection, channel) -> {
            channel.exchangeDeclare("java.other", BuiltinExchangeType.FANOUT);
            channel.exchangeDeclare("java.main", BuiltinExchangeType.DIRECT, false, false,
                Map.of("alternate-exchange", "java.other"));
            String queue = bound(channel, "java.other", "");
            channel.basicPublish("java.main", "nobody", null, bytes("caught"));
            equal(List.of("caught"), bodies(channel, queue));
        });
        ALL.put("properties", (connection, channel) -> {
            Map<String, Object> headers = Map.of("int", 42, "long", 1L << 40, "yes", true,
                "double", 1.5, "list", List.of(1, Map.of("a", 2)));
            AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder()
                .contentType("application/json").contentEncoding("utf-8").headers(headers)
                .deliveryMode(2).priority(3).correlationId("c1").replyTo("answers")
                .expiration("60000").messageId("m1").timestamp(new Date(1_700_000_000_000L))
                .type("order").userId("guest").appId("java").build();
            String queue = temporary(channel);
            channel.basicPublish("", queue, sent, bytes("{}"));
            equal(sent, channel.basicGet(queue, true).getProps());
        });
        ALL.put("get", (connection, channel) -> {
            String queue = temporary(channel);
            channel.basicPublish("", queue, null, bytes("1"));
            channel.basicPublish("", queue, null, bytes("2"));
            GetResponse first = channel.basicGet(queue, false);
            equal("1", text(first.getBody()));
            equal(1, first.getMessageCount());
            channel.basicAck(first.getEnvelope().getDeliveryTag(), false);
            equal(List.of("2"), bodies(channel, queue));
        });
        ALL.put("consume-ack", (connection, channel) -> {
            channel.queueDeclare("java.consumed", false, false, false, null);
            for (int number = 0; number < 100; number++) {
                channel.basicPublish("", "java.consumed", null, bytes("" + number));
            }
            BlockingQueue<Delivery> arrived = consume(channel, "java.consumed", null);
            for (int number = 0; number < 100; number++) {
                Delivery delivery = next(arrived);
                equal("" + number, text(delivery.getBody()));
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            }
            equal(0, channel.queueDelete("java.consumed").getMessageCount());
        });
        ALL.put("requeue", (connection, channel) -> {
            String queue = temporary(channel);
            channel.basicPublish("", queue, null, bytes("again"));
            GetResponse first = channel.basicGet(queue, false);
            channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
            GetResponse second = channel.basicGet(queue, false);
            check(!first.getEnvelope().isRedeliver(), "redelivered at first");
            check(second.getEnvelope().isRedeliver(), "not redelivered");
            channel.basicReject(second.getEnvelope().getDeliveryTag(), false);
            equal(List.of(), bodies(channel, queue));
        });
        ALL.put("confirms", (connection, channel) -> {
            channel.queueDeclare("java.confirmed", true, false, false, null);
            channel.confirmSelect();
            for (int number = 0; number < 1000; number++) {
                channel.basicPublish("", "java.confirmed",
                    MessageProperties.PERSISTENT_BASIC, bytes("" + number));
            }
            channel.waitForConfirmsOrDie(20_000);
            equal(1000, channel.queueDelete("java.confirmed").getMessageCount());
        });
        ALL.put("mandatory-return", (connection, channel) -> {
            BlockingQueue<Return> returned = new LinkedBlockingQueue<>();
            channel.addReturnListener(returned::add);
            channel.basicPublish("", "java.nowhere", true, null, bytes("back"));
            Return back = returned.poll(10, TimeUnit.SECONDS);
            check(back != null, "nothing came back");
            equal(312, back.getReplyCode());
            equal("back", text(back.getBody()));
        });
        ALL.put("prefetch", (connection, channel) -> {
            String queue = temporary(channel);
            for (int number = 0; number < 20; number++) {
                channel.basicPublish("", queue, null, bytes("" + number));
            }
            channel.basicQos(5);
            BlockingQueue<Delivery> arrived = consume(channel, queue, null);
            for (int number = 0; number < 4; number++) {
                next(arrived);
            }
            long fifth = next(arrived).getEnvelope().getDeliveryTag();
            check(arrived.poll(300, TimeUnit.MILLISECONDS) == null, "a sixth");
            channel.basicAck(fifth, true);
            next(arrived);
        });
        ALL.put("ttl", (connection, channel) -> {
            String plain = temporary(channel);
            String brief = temporary(channel, Map.of("x-message-ttl", 50));
            channel.basicPublish("", plain,
                new AMQP.BasicProperties.Builder().expiration("50").build(), bytes("gone"));
            channel.basicPublish("", plain, null, bytes("stays"));
            channel.basicPublish("", brief, null, bytes("gone"));
            Thread.sleep(400);
            equal(List.of("stays"), bodies(channel, plain));
            equal(List.of(), bodies(channel, brief));
        });
        ALL.put("dead-letter", (connection, channel) -> {
            channel.exchangeDeclare("java.dlx", BuiltinExchangeType.FANOUT);
            String dead = bound(channel, "java.dlx", "");
            channel.queueDeclare("java.alive", false, true, false,
                Map.of("x-dead-letter-exchange", "java.dlx", "x-dead-letter-routing-key", "dead"));
            channel.basicPublish("", "java.alive", null, bytes("bad"));
            GetResponse got = channel.basicGet("java.alive", false);
            channel.basicReject(got.getEnvelope().getDeliveryTag(), false);
            GetResponse letter = await(channel, dead);
            equal("dead", letter.getEnvelope().getRoutingKey());
            Map<?, ?> death =
                (Map<?, ?>) ((List<?>) letter.getProps().getHeaders().get("x-death")).get(0);
            equal("java.alive", death.get("queue").toString());
            equal("rejected", death.get("reason").toString());
            equal(1L, death.get("count"));
        });
        ALL.put("priority", (connection, channel) -> {
            String queue = temporary(channel, Map.of("x-max-priority", 5));
            int number = 0;
            for (int level : new int[] {1, 5, 0, 5, 3}) {
                channel.basicPublish("", queue,
                    new AMQP.BasicProperties.Builder().priority(level).build(),
                    bytes("" + level + number++));
            }
            equal(List.of("51", "53", "34", "10", "02"), bodies(channel, queue));
        });
        ALL.put("max-length", (connection, channel) -> {
            String queue = temporary(channel,
                Map.of("x-max-length", 3, "x-overflow", "reject-publish"));
            channel.confirmSelect();
            for (int number = 0; number < 3; number++) {
                channel.basicPublish("", queue, null, bytes("" + number));
            }
            check(channel.waitForConfirms(10_000), "nacked too early");
            channel.basicPublish("", queue, null, bytes("3"));
            check(!channel.waitForConfirms(10_000), "the fourth was confirmed");
            equal(List.of("0", "1", "2"), bodies(channel, queue));
        });
        ALL.put("quorum", (connection, channel) -> {
            channel.exchangeDeclare("java.dlx", BuiltinExchangeType.FANOUT);
            String dead = bound(channel, "java.dlx", "");
            channel.queueDeclare("java.quorum", true, false, false, Map.of("x-queue-type",
                "quorum", "x-delivery-limit", 2, "x-dead-letter-exchange", "java.dlx"));
            channel.basicPublish(
                "", "java.quorum", MessageProperties.PERSISTENT_BASIC, bytes("poison"));
            BlockingQueue<Delivery> arrived = consume(channel, "java.quorum", null);
            List<Object> counts = new ArrayList<>();
            for (int number = 0; number < 3; number++) {
                Delivery delivery = next(arrived);
                Map<String, Object> headers = delivery.getProperties().getHeaders();
                counts.add(headers == null ? 0L
                    : ((Number) headers.getOrDefault("x-delivery-count", 0L)).longValue());
                channel.basicReject(delivery.getEnvelope().getDeliveryTag(), true);
            }
            equal(List.of(0L, 1L, 2L), counts);
            Map<?, ?> death = (Map<?, ?>)
                ((List<?>) await(channel, dead).getProps().getHeaders().get("x-death")).get(0);
            equal("delivery_limit", death.get("reason").toString());
            channel.queueDelete("java.quorum");
        });
        ALL.put("stream", (connection, channel) -> {
            channel.queueDeclare(
                "java.stream", true, false, false, Map.of("x-queue-type", "stream"));
            channel.confirmSelect();
            for (int number = 0; number < 10; number++) {
                channel.basicPublish("", "java.stream", null, bytes("" + number));
            }
            channel.waitForConfirmsOrDie(10_000);
            for (Object from : new Object[] {5, "first"}) {
                Channel reading = connection.createChannel();
                reading.basicQos(100);
                BlockingQueue<Delivery> arrived =
                    consume(reading, "java.stream", Map.of("x-stream-offset", from));
                for (int number = from.equals(5) ? 5 : 0; number < 10; number++) {
                    Delivery delivery = next(arrived);
                    equal((long) number, ((Number) delivery.getProperties().getHeaders()
                        .get("x-stream-offset")).longValue());
                    equal("" + number, text(delivery.getBody()));
                    reading.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
                }
                reading.close();
            }
            channel.queueDelete("java.stream");
        });
        ALL.put("rpc", (connection, channel) -> {
            String requests = temporary(channel);
            channel.basicConsume(requests, true, (tag, request) -> channel.basicPublish(
                "", request.getProperties().getReplyTo(),
                new AMQP.BasicProperties.Builder()
                    .correlationId(request.getProperties().getCorrelationId()).build(),
                bytes(text(request.getBody()).toUpperCase())), tag -> { });
            RpcClient client = new RpcClient(new RpcClientParams()
                .channel(connection.createChannel()).exchange("").routingKey(requests)
                .timeout(10_000));
            equal("HELLO", client.stringCall("hello"));
        });
        ALL.put("consumer-cancel", (connection, channel) -> {
            channel.queueDeclare("java.cancelled", false, false, false, null);
            CountDownLatch cancelled = new CountDownLatch(1);
            channel.basicConsume("java.cancelled", true,
                (tag, delivery) -> { }, tag -> cancelled.countDown());
            connection.createChannel().queueDelete("java.cancelled");
            check(cancelled.await(10, TimeUnit.SECONDS), "not told");
        });
        ALL.put("single-active", (connection, channel) -> {
            String queue = temporary(channel, Map.of("x-single-active-consumer", true));
            BlockingQueue<Delivery> first = new LinkedBlockingQueue<>();
            BlockingQueue<Delivery> second = new LinkedBlockingQueue<>();
            String tag = channel.basicConsume(queue, true, (t, d) -> first.add(d), t -> { });
            channel.basicConsume(queue, true, (t, d) -> second.add(d), t -> { });
            channel.basicPublish("", queue, null, bytes("1"));
            channel.basicPublish("", queue, null, bytes("2"));
            next(first);
            next(first);
            check(second.isEmpty(), "the second got something");
            channel.basicCancel(tag);
            channel.basicPublish("", queue, null, bytes("3"));
            equal("3", text(next(second).getBody()));
        });
        ALL.put("exclusive", (connection, channel) -> {
            try (Connection other = new ConnectionFactory().newConnection()) {
                other.createChannel().queueDeclare("java.mine", false, true, false, null);
                equal(405, closeCode(() -> channel.queueDeclarePassive("java.mine")));
            }
        });
        ALL.put("tx", (connection, channel) -> {
            String queue = temporary(channel);
            channel.txSelect();
            channel.basicPublish("", queue, null, bytes("no"));
            channel.txRollback();
            channel.basicPublish("", queue, null, bytes("yes"));
            channel.txCommit();
            equal(List.of("yes"), bodies(channel, queue));
        });
        ALL.put("large-body", (connection, channel) -> {
            String queue = temporary(channel);
            byte[] body = new byte[8 << 20];
            new Random(1).nextBytes(body);
            channel.basicPublish("", queue, null, body);
            check(Arrays.equals(body, channel.basicGet(queue, true).getBody()), "other");
        });
        ALL.put("order", (connection, channel) -> {
            String queue = temporary(channel);
            for (int number = 0; number < 10_000; number++) {
                channel.basicPublish("", queue, null, bytes("" + number));
            }
            channel.basicQos(200);
            BlockingQueue<Delivery> arrived = consume(channel, queue, null);
            for (int number = 0; number < 10_000; number++) {
                Delivery delivery = next(arrived);
                equal("" + number, text(delivery.getBody()));
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            }
        });
        ALL.put("blocked", (connection, channel) -> {
            CountDownLatch blocked = new CountDownLatch(1);
            CountDownLatch unblocked = new CountDownLatch(1);
            connection.addBlockedListener(new BlockedListener() {
                @Override
                public void handleBlocked(String reason) {
                    blocked.countDown();
                }

                @Override
                public void handleUnblocked() {
                    unblocked.countDown();
                }
            });
            control("block");
            try {
                for (int tries = 0; tries < 100 && blocked.getCount() > 0; tries++) {
                    channel.basicPublish("", "java.nowhere", null, bytes("x"));
                    blocked.await(300, TimeUnit.MILLISECONDS);
                }
                equal(0L, blocked.getCount());
            } finally {
                control("unblock");
            }
            check(unblocked.await(30, TimeUnit.SECONDS), "not unblocked");
        });
        ALL.put("reconnect", (unused, unusedChannel) -> {
            ConnectionFactory factory = new ConnectionFactory();
            factory.setNetworkRecoveryInterval(500);
            try (Connection connection = factory.newConnection()) {
                Channel channel = connection.createChannel();
                channel.exchangeDeclare("java.again", BuiltinExchangeType.DIRECT, true);
                String queue = channel.queueDeclare("", false, true, true, null).getQueue();
                channel.queueBind(queue, "java.again", "key");
                BlockingQueue<String> heard = new LinkedBlockingQueue<>();
                channel.basicConsume(queue, true,
                    (tag, delivery) -> heard.add(text(delivery.getBody())), tag -> { });
                CountDownLatch recovered = new CountDownLatch(1);
                ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
                    @Override
                    public void handleRecovery(Recoverable recoverable) {
                        recovered.countDown();
                    }

                    @Override
                    public void handleRecoveryStarted(Recoverable recoverable) {
                    }
                });
                channel.basicPublish("java.again", "key", null, bytes("before"));
                equal("before", heard.poll(10, TimeUnit.SECONDS));
                control("restart");
                check(recovered.await(30, TimeUnit.SECONDS), "not recovered");
                channel.basicPublish("java.again", "key", null, bytes("after"));
                equal("after", heard.poll(10, TimeUnit.SECONDS));
            }
        });
    }

    private Scenarios() {
    }
}
