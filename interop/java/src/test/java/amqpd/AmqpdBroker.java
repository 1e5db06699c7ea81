package amqpd;

import java.io.IOException;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A broker for the tests of a class. It ends when its standard input does, so not even a test
 * run that is killed leaves it behind. `-Damqpd=PATH` says where the command is.
 */
final class AmqpdBroker implements BeforeAllCallback, AfterAllCallback {
    private Process process;
    private String uri;

    @Override
    public void beforeAll(ExtensionContext context) throws IOException {
        process = new ProcessBuilder(System.getProperty("amqpd", "amqpd"), "testing")
            .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        uri = process.inputReader().readLine();
    }

    @Override
    public void afterAll(ExtensionContext context) throws Exception {
        process.getOutputStream().close();
        process.waitFor();
    }

    String uri() {
        return uri;
    }
}
