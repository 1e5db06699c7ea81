package shop;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.stereotype.Component;

/** Takes orders and answers questions about prices. */
@Component
class Desk {
    final BlockingQueue<Integer> taken = new LinkedBlockingQueue<>();
    final AtomicInteger failures = new AtomicInteger();

    @RabbitListener(queues = Application.ORDERS)
    void take(Order order) {
        if (order.item().equals("unobtainable")) {
            failures.incrementAndGet();
            throw new IllegalStateException("no " + order.item());
        }
        taken.add(order.number());
    }

    @RabbitListener(queues = Application.QUOTES)
    String quote(String item) {
        return item + " costs " + item.length();
    }
}
