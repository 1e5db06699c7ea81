package shop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.core.AmqpAdmin;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.ReturnedMessage;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.transaction.RabbitTransactionManager;
import org.springframework.boot.CommandLineRunner;
import org.springframework.stereotype.Component;
import org.springframework.transaction.support.TransactionTemplate;

/** Uses the shop and prints what holds. */
@Component
class Checks implements CommandLineRunner {
    private interface Check {
        void run() throws Exception;
    }

    private final RabbitTemplate template;
    private final AmqpAdmin admin;
    private final Desk desk;
    private final Map<String, Check> all = new LinkedHashMap<>();

    Checks(RabbitTemplate template, AmqpAdmin admin, Desk desk) {
        this.template = template;
        this.admin = admin;
        this.desk = desk;
        all.put("declared", this::declared);
        all.put("ordered", this::ordered);
        all.put("confirmed", this::confirmed);
        all.put("returned", this::returned);
        all.put("retried", this::retried);
        all.put("request-reply", this::requestReply);
        all.put("transaction", this::transaction);
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

    private void order(int number, String item) {
        template.convertAndSend(Application.EXCHANGE, "order", new Order(number, item));
    }

    private List<Integer> taken(int count) throws InterruptedException {
        List<Integer> numbers = new ArrayList<>();
        while (numbers.size() < count) {
            Integer number = desk.taken.poll(10, TimeUnit.SECONDS);
            if (number == null) {
                break;
            }
            numbers.add(number);
        }
        return numbers;
    }

    private void declared() {
        for (String name : List.of(Application.ORDERS, Application.FAILED)) {
            Properties properties = admin.getQueueProperties(name);
            equal(name, properties.get(RabbitAdmin.QUEUE_NAME));
            equal(0, properties.get(RabbitAdmin.QUEUE_MESSAGE_COUNT));
        }
    }

    private void ordered() throws Exception {
        IntStream.range(0, 10).forEach(number -> order(number, "tea"));
        equal(IntStream.range(0, 10).boxed().toList(), taken(10));
    }

    private void confirmed() throws Exception {
        CorrelationData correlation = new CorrelationData("order 10");
        Order order = new Order(10, "coffee");
        template.convertAndSend(Application.EXCHANGE, "order", order, correlation);
        equal(true, correlation.getFuture().get(10, TimeUnit.SECONDS).isAck());
        equal(List.of(10), taken(1));
    }

    private void returned() throws Exception {
        CorrelationData correlation = new CorrelationData("nobody");
        template.convertAndSend(Application.EXCHANGE, "nobody", "back", correlation);
        equal(true, correlation.getFuture().get(10, TimeUnit.SECONDS).isAck());
        ReturnedMessage returned = correlation.getReturned();
        equal(312, returned.getReplyCode());
        equal("NO_ROUTE", returned.getReplyText());
        equal("nobody", returned.getRoutingKey());
    }

    private void retried() throws Exception {
        order(11, "unobtainable");
        Message failed = template.receive(Application.FAILED, 10_000);
        equal(3, desk.failures.get());
        Map<String, ?> death = failed.getMessageProperties().getXDeathHeader().get(0);
        equal(Application.ORDERS, death.get("queue"));
        equal("rejected", death.get("reason"));
        equal(1L, death.get("count"));
        equal(Application.EXCHANGE, death.get("exchange"));
        equal(List.of("order"), death.get("routing-keys"));
        equal(new Order(11, "unobtainable"), template.getMessageConverter().fromMessage(failed));
    }

    private void requestReply() {
        equal("bread costs 5",
            template.convertSendAndReceive(Application.EXCHANGE, "quote", "bread"));
    }

    private void transaction() throws Exception {
        // Confirms and transactions exclude each other on a channel: a factory without confirms.
        CachingConnectionFactory plain = new CachingConnectionFactory("localhost");
        try {
            RabbitTemplate transacted = new RabbitTemplate(plain);
            transacted.setMessageConverter(template.getMessageConverter());
            transacted.setChannelTransacted(true);
            TransactionTemplate unit = new TransactionTemplate(new RabbitTransactionManager(plain));
            try {
                unit.executeWithoutResult(status -> {
                    transacted.convertAndSend(
                        Application.EXCHANGE, "order", new Order(12, "rolled back"));
                    throw new IllegalStateException("changed my mind");
                });
            } catch (IllegalStateException expected) {
                equal("changed my mind", expected.getMessage());
            }
            unit.executeWithoutResult(status -> transacted.convertAndSend(
                Application.EXCHANGE, "order", new Order(13, "committed")));
            equal(List.of(13), taken(1));
        } finally {
            plain.destroy();
        }
    }

    private void recovered() throws Exception {
        Process process = new ProcessBuilder(System.getenv("BROKER_CONTROL"), "restart").start();
        equal(0, process.waitFor());
        for (int tries = 0; tries < 100; tries++) {
            try {
                order(14, "after the restart");
                break;
            } catch (AmqpException notYet) {
                Thread.sleep(200);
            }
        }
        equal(List.of(14), taken(1));
    }
}
