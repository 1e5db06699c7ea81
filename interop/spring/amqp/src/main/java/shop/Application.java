package shop;

import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.support.converter.Jackson2JsonMessageConverter;
import org.springframework.amqp.support.converter.MessageConverter;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

/** A shop that takes orders from RabbitMQ, with nothing but Spring Boot's defaults. */
@SpringBootApplication
public class Application {
    static final String EXCHANGE = "shop";
    static final String ORDERS = "shop.orders";
    static final String FAILED = "shop.orders.failed";
    static final String QUOTES = "shop.quotes";

    public static void main(String[] arguments) {
        System.exit(SpringApplication.exit(SpringApplication.run(Application.class, arguments)));
    }

    @Bean
    DirectExchange exchange() {
        return new DirectExchange(EXCHANGE);
    }

    @Bean
    Queue orders() {
        return QueueBuilder.durable(ORDERS)
            .deadLetterExchange("").deadLetterRoutingKey(FAILED).build();
    }

    @Bean
    Queue failed() {
        return QueueBuilder.durable(FAILED).quorum().build();
    }

    @Bean
    Queue quotes() {
        return QueueBuilder.nonDurable(QUOTES).build();
    }

    @Bean
    Binding orderBinding(Queue orders, DirectExchange exchange) {
        return BindingBuilder.bind(orders).to(exchange).with("order");
    }

    @Bean
    Binding quoteBinding(Queue quotes, DirectExchange exchange) {
        return BindingBuilder.bind(quotes).to(exchange).with("quote");
    }

    @Bean
    MessageConverter converter() {
        return new Jackson2JsonMessageConverter();
    }
}
