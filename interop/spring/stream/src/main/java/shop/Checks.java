package shop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.rabbit.connection.ConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.boot.CommandLineRunner;
import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.stereotype.Component;
import shop.Application.Order;

/** Uses the shop and prints what holds. */
@Component
class Checks implements CommandLineRunner {
    private interface Check {
        void run() throws Exception;
    }

    private final Application shop;
    private final StreamBridge bridge;
    private final RabbitTemplate template;
    private final Map<String, Check> all = new LinkedHashMap<>();

    Checks(Application shop, StreamBridge bridge, ConnectionFactory connections) {
        this.shop = shop;
        this.bridge = bridge;
        this.template = new RabbitTemplate(connections);
        all.put("ordered", this::ordered);
        all.put("republished", this::republished);
        all.put("rejected", this::rejected);
        all.put("function", this::function);
        all.put("recovered", this::recovered);
    }

    @Override
    public void run(String... names) {
        for (String name : names.length > 0 ? List.of(names) : all.keySet()) {
            try {
                all.get(name).run();
                System.out.println("ok " + name);
            } catch (Throwable problem) {
                System.out.println("not ok " + name + " - " + problem);
            }
        }
    }

    private static void equal(Object expected, Object seen) {
        if (!expected.equals(seen)) {
            throw new AssertionError("seen " + seen + ", expected " + expected);
        }
    }

    private static void contains(String part, Object seen) {
        if (!String.valueOf(seen).contains(part)) {
            throw new AssertionError("seen " + seen + ", expected " + part);
        }
    }

    private List<Integer> taken(int count) throws InterruptedException {
        List<Integer> numbers = new ArrayList<>();
        while (numbers.size() < count) {
            Order order = shop.taken.poll(10, TimeUnit.SECONDS);
            if (order == null) {
                break;
            }
            numbers.add(order.number());
        }
        return numbers;
    }

    private Message deadLetter(String queue) {
        Message message = template.receive(queue, 10_000);
        if (message == null) {
            throw new AssertionError("nothing came to " + queue);
        }
        return message;
    }

    private void ordered() throws Exception {
        IntStream.range(0, 10).forEach(number -> bridge.send("orders", new Order(number, "tea")));
        equal(IntStream.range(0, 10).boxed().toList(), taken(10));
    }

    private void republished() throws Exception {
        bridge.send("orders", new Order(10, "unobtainable"));
        Message message = deadLetter("orders.shop.dlq");
        equal(3, shop.failures.get());
        Map<String, Object> headers = message.getMessageProperties().getHeaders();
        contains("exhausted", headers.get("x-exception-message"));
        contains("IllegalStateException: no unobtainable", headers.get("x-exception-stacktrace"));
        equal("orders", headers.get("x-original-exchange"));
        equal("orders", headers.get("x-original-routingKey"));
    }

    private void rejected() {
        bridge.send("returns", new Order(11, "broken"));
        Message message = deadLetter("returns.shop.dlq");
        Map<String, ?> death = message.getMessageProperties().getXDeathHeader().get(0);
        equal("returns.shop", death.get("queue"));
        equal("rejected", death.get("reason"));
        equal(1L, death.get("count"));
    }

    private void function() {
        bridge.send("words", "quiet");
        equal("QUIET", new String(deadLetter("loud.shop").getBody()));
    }

    private void recovered() throws Exception {
        Process process = new ProcessBuilder(System.getenv("BROKER_CONTROL"), "restart").start();
        equal(0, process.waitFor());
        for (int tries = 0; tries < 100; tries++) {
            try {
                bridge.send("orders", new Order(12, "after the restart"));
                break;
            } catch (RuntimeException notYet) {
                Thread.sleep(200);
            }
        }
        equal(List.of(12), taken(1));
    }
}
