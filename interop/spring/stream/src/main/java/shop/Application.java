package shop;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Function;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

/** The shop as functions between destinations; application.yml says which. */
@SpringBootApplication
public class Application {
    /** What a customer wants. */
    public record Order(int number, String item) {
    }

    final BlockingQueue<Order> taken = new LinkedBlockingQueue<>();
    final AtomicInteger failures = new AtomicInteger();

    public static void main(String[] arguments) {
        System.exit(SpringApplication.exit(SpringApplication.run(Application.class, arguments)));
    }

    @Bean
    Consumer<Order> take() {
        return order -> {
            if (order.item().equals("unobtainable")) {
                failures.incrementAndGet();
                throw new IllegalStateException("no " + order.item());
            }
            taken.add(order);
        };
    }

    @Bean
    Consumer<Order> refuse() {
        return order -> {
            throw new IllegalStateException("we take nothing back");
        };
    }

    @Bean
    Function<String, String> upper() {
        return String::toUpperCase;
    }
}
