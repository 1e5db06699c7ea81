package amqpd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

class OrdersTest {
    @RegisterExtension
    static final AmqpdBroker BROKER = new AmqpdBroker();

    private Connection connection;
    private Channel channel;

    @BeforeEach
    void connect() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(BROKER.uri());
        connection = factory.newConnection();
        channel = connection.createChannel();
    }

    @AfterEach
    void disconnect() throws Exception {
        connection.close();
    }

    @Test
    void anOrderArrives() throws Exception {
        channel.queueDeclare("orders", true, false, false, null);
        channel.confirmSelect();
        channel.basicPublish("", "orders", MessageProperties.PERSISTENT_BASIC, new byte[] {1});
        channel.waitForConfirmsOrDie(5_000);

        assertArrayEquals(new byte[] {1}, channel.basicGet("orders", true).getBody());
    }

    @Test
    void anEmptyQueueAnswersNothing() throws Exception {
        assertNull(channel.basicGet(channel.queueDeclare().getQueue(), true));
    }
}
