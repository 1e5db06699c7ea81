import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AMQP.Channel;
import com.rabbitmq.client.ShutdownSignalException;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.json.JsonObject;
import io.vertx.rabbitmq.QueueOptions;
import io.vertx.rabbitmq.RabbitMQClient;
import io.vertx.rabbitmq.RabbitMQConsumer;
import io.vertx.rabbitmq.RabbitMQMessage;
import io.vertx.rabbitmq.RabbitMQOptions;
import io.vertx.rabbitmq.RabbitMQPublisher;
import io.vertx.rabbitmq.RabbitMQPublisherOptions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/** Scenarios with Vert.x's RabbitMQ client. */
public final class Scenarios {
    private interface Scenario {
        void run(RabbitMQClient client) throws Exception;
    }

    private static final Vertx VERTX = Vertx.vertx();
    private static final Map<String, Scenario> ALL = new LinkedHashMap<>();

    static {
        ALL.put("connect-plain", Scenarios::connectPlain);
        ALL.put("topology", Scenarios::topology);
        ALL.put("consume-ack", Scenarios::consumeAck);
        ALL.put("requeue", Scenarios::requeue);
        ALL.put("confirms", Scenarios::confirms);
        ALL.put("order", Scenarios::order);
        ALL.put("reconnect", Scenarios::reconnect);
    }

    private Scenarios() {
    }

    private static <T> T done(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(20, TimeUnit.SECONDS);
    }

    private static void equal(Object expected, Object seen) {
        if (!expected.equals(seen)) {
            throw new AssertionError("seen " + seen + ", expected " + expected);
        }
    }

    private static void publish(RabbitMQClient client, String exchange, String key, String body)
        throws Exception {
        done(client.basicPublish(exchange, key, Buffer.buffer(body)));
    }

    private static BlockingQueue<RabbitMQMessage> consume(
        RabbitMQClient client, String queue, boolean autoAck) throws Exception {
        BlockingQueue<RabbitMQMessage> arrived = new LinkedBlockingQueue<>();
        QueueOptions options = new QueueOptions().setAutoAck(autoAck).setMaxInternalQueueSize(20_000);
        RabbitMQConsumer consumer = done(client.basicConsumer(queue, options));
        consumer.handler(arrived::add);
        return arrived;
    }

    private static RabbitMQMessage next(BlockingQueue<RabbitMQMessage> arrived) throws Exception {
        RabbitMQMessage message = arrived.poll(20, TimeUnit.SECONDS);
        if (message == null) {
            throw new AssertionError("nothing came in time");
        }
        return message;
    }

    /** Publishes in order, and again what a lost connection has not confirmed. */
    private static RabbitMQPublisher publisher(RabbitMQClient client) throws Exception {
        RabbitMQPublisherOptions options =
            new RabbitMQPublisherOptions().setMaxInternalQueueSize(20_000);
        RabbitMQPublisher publisher = RabbitMQPublisher.create(VERTX, client, options);
        done(publisher.start());
        return publisher;
    }

    private static List<Integer> numbers(int to) {
        return IntStream.range(0, to).boxed().toList();
    }

    private static int count(RabbitMQClient client, String queue) throws Exception {
        return Math.toIntExact(done(client.messageCount(queue)));
    }

    private static void connectPlain(RabbitMQClient client) {
        equal(true, client.isConnected());
    }

    private static void topology(RabbitMQClient client) throws Exception {
        done(client.exchangeDeclare("vertx.exchange", "topic", false, true));
        done(client.queueDeclare("vertx.queue", true, false, false,
            new JsonObject().put("x-message-ttl", 60_000)));
        done(client.queueBind("vertx.queue", "vertx.exchange", "a.*"));
        publish(client, "vertx.exchange", "a.b", "m");
        equal("m", done(client.basicGet("vertx.queue", true)).body().toString());
        done(client.queueUnbind("vertx.queue", "vertx.exchange", "a.*"));
        done(client.queueDelete("vertx.queue"));
        try {
            count(client, "vertx.queue");
        } catch (ExecutionException error) {
            ShutdownSignalException closed = (ShutdownSignalException) error.getCause().getCause();
            equal(404, ((Channel.Close) closed.getReason()).getReplyCode());
            return;
        }
        throw new AssertionError("it is still there");
    }

    private static void consumeAck(RabbitMQClient client) throws Exception {
        done(client.queueDeclare("vertx.ack", false, false, false));
        BlockingQueue<RabbitMQMessage> arrived = consume(client, "vertx.ack", false);
        for (int number : numbers(100)) {
            publish(client, "", "vertx.ack", String.valueOf(number));
        }
        for (int number : numbers(100)) {
            RabbitMQMessage message = next(arrived);
            equal(String.valueOf(number), message.body().toString());
            done(client.basicAck(message.envelope().getDeliveryTag(), false));
        }
        equal(0, count(client, "vertx.ack"));
        done(client.queueDelete("vertx.ack"));
    }

    private static void requeue(RabbitMQClient client) throws Exception {
        done(client.queueDeclare("vertx.requeue", false, false, true));
        BlockingQueue<RabbitMQMessage> arrived = consume(client, "vertx.requeue", false);
        publish(client, "", "vertx.requeue", "m");
        RabbitMQMessage first = next(arrived);
        done(client.basicNack(first.envelope().getDeliveryTag(), false, true));
        RabbitMQMessage second = next(arrived);
        done(client.basicAck(second.envelope().getDeliveryTag(), false));
        equal(List.of(false, true),
            List.of(first.envelope().isRedeliver(), second.envelope().isRedeliver()));
    }

    private static void confirms(RabbitMQClient client) throws Exception {
        done(client.queueDeclare("vertx.confirms", true, false, false));
        RabbitMQPublisher publisher = publisher(client);
        BasicProperties persistent = new BasicProperties.Builder().deliveryMode(2).build();
        List<Future<?>> confirmed = new ArrayList<>();
        for (int number : numbers(1000)) {
            Buffer body = Buffer.buffer(String.valueOf(number));
            confirmed.add(publisher.publishConfirm("", "vertx.confirms", persistent, body));
        }
        done(Future.all(confirmed));
        equal(1000, count(client, "vertx.confirms"));
        done(client.queueDelete("vertx.confirms"));
    }

    private static void order(RabbitMQClient client) throws Exception {
        done(client.queueDeclare("vertx.order", false, false, true));
        BlockingQueue<RabbitMQMessage> arrived = consume(client, "vertx.order", true);
        RabbitMQPublisher publisher = publisher(client);
        for (int number : numbers(10_000)) {
            Buffer body = Buffer.buffer(String.valueOf(number));
            publisher.publish("", "vertx.order", new BasicProperties(), body);
        }
        for (int number : numbers(10_000)) {
            equal(String.valueOf(number), next(arrived).body().toString());
        }
    }

    private static void reconnect(RabbitMQClient client) throws Exception {
        done(client.queueDeclare("vertx.again", true, false, false));
        BlockingQueue<RabbitMQMessage> arrived = consume(client, "vertx.again", true);
        RabbitMQPublisher publisher = publisher(client);
        done(publisher.publish("", "vertx.again", new BasicProperties(), Buffer.buffer("before")));
        equal("before", next(arrived).body().toString());
        equal(0, new ProcessBuilder(System.getenv("BROKER_CONTROL"), "restart").start().waitFor());
        publisher.publish("", "vertx.again", new BasicProperties(), Buffer.buffer("after"));
        equal("after", next(arrived).body().toString());
        done(client.queueDelete("vertx.again"));
    }

    private static void perform(Scenario scenario) throws Exception {
        RabbitMQOptions options = new RabbitMQOptions()
            .setUri("amqp://guest:guest@localhost:5672/%2f")
            .setAutomaticRecoveryEnabled(false)
            .setReconnectAttempts(100)
            .setReconnectInterval(200);
        RabbitMQClient client = RabbitMQClient.create(VERTX, options);
        done(client.start());
        scenario.run(client);
        done(client.stop());
    }

    public static void main(String[] names) {
        for (String name : names.length > 0 ? List.of(names) : ALL.keySet()) {
            try {
                perform(ALL.get(name));
                System.out.println("ok " + name);
            } catch (Throwable problem) {
                System.out.println(("not ok " + name + " - " + problem).replace('\n', ' '));
            }
        }
        System.exit(0);
    }
}
