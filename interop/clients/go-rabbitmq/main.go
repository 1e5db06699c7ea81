// Scenarios with go-rabbitmq, which keeps publishers and consumers through lost connections.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"time"

	rabbitmq "github.com/wagslane/go-rabbitmq"
)

const url = "amqp://guest:guest@localhost:5672/"

type scenario struct {
	name string
	run  func(connection *rabbitmq.Conn)
}

// must ends a scenario with the error, if there is one.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// equal ends a scenario that sees something else than it should.
func equal(expected, seen any) {
	if !reflect.DeepEqual(expected, seen) {
		panic(fmt.Sprintf("seen %v, expected %v", seen, expected))
	}
}

// publisher publishes with confirms and without a word.
func publisher(connection *rabbitmq.Conn) *rabbitmq.Publisher {
	made, err := rabbitmq.NewPublisher(
		connection, rabbitmq.WithPublisherOptionsConfirm, rabbitmq.WithPublisherOptionsLogger(quiet{}))
	must(err)
	return made
}

// consumer starts one and hands what arrives to the function, one after the other.
func consumer(
	connection *rabbitmq.Conn, queue string, answer func(rabbitmq.Delivery) rabbitmq.Action,
	options ...func(*rabbitmq.ConsumerOptions),
) *rabbitmq.Consumer {
	options = append(options, rabbitmq.WithConsumerOptionsLogger(quiet{}))
	made, err := rabbitmq.NewConsumer(connection, queue, options...)
	must(err)
	go func() { _ = made.Run(answer) }()
	return made
}

type quiet struct{}

func (quiet) Fatalf(string, ...any) {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Debugf(string, ...any) {}

// publish waits for the confirm; a publisher that is being set up again is asked again.
func publish(to *rabbitmq.Publisher, exchange, key, body string) {
	end := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		confirms, err := to.PublishWithDeferredConfirmWithContext(
			ctx, []byte(body), []string{key}, rabbitmq.WithPublishOptionsExchange(exchange),
			rabbitmq.WithPublishOptionsPersistentDelivery)
		if err == nil {
			for _, confirm := range confirms {
				if confirm == nil { // the new channel does not confirm yet
					err = errors.New("no confirm")
					break
				}
				var acked bool
				if acked, err = confirm.WaitContext(ctx); err == nil && !acked {
					panic("a nack")
				}
			}
		}
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			panic(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// arrive waits for so many bodies.
func arrive(bodies <-chan string, number int) []string {
	found := []string{}
	for len(found) < number {
		select {
		case body := <-bodies:
			found = append(found, body)
		case <-time.After(20 * time.Second):
			panic(fmt.Sprintf("%d of %d arrived", len(found), number))
		}
	}
	return found
}

func numbers(to int) []string {
	made := make([]string, to)
	for number := range made {
		made[number] = strconv.Itoa(number)
	}
	return made
}

// keeping is a handler that acknowledges what it puts into the channel.
func keeping(bodies chan<- string) func(rabbitmq.Delivery) rabbitmq.Action {
	return func(delivery rabbitmq.Delivery) rabbitmq.Action {
		bodies <- string(delivery.Body)
		return rabbitmq.Ack
	}
}

func connectPlain(connection *rabbitmq.Conn) {
	to := publisher(connection)
	defer to.Close()
	publish(to, "", "nobody", "m")
}

func topology(connection *rabbitmq.Conn) {
	bodies := make(chan string, 10)
	from := consumer(connection, "go.topology", keeping(bodies),
		rabbitmq.WithConsumerOptionsQueueAutoDelete,
		rabbitmq.WithConsumerOptionsExchangeName("go.events"),
		rabbitmq.WithConsumerOptionsExchangeKind("topic"),
		rabbitmq.WithConsumerOptionsExchangeAutoDelete,
		rabbitmq.WithConsumerOptionsExchangeDeclare,
		rabbitmq.WithConsumerOptionsRoutingKey("a.*"))
	defer from.Close()
	to := publisher(connection)
	defer to.Close()
	time.Sleep(200 * time.Millisecond) // Run has no way to say that it has begun.
	publish(to, "go.events", "a.b", "m")
	publish(to, "go.events", "b.b", "not this one")
	publish(to, "go.events", "a.c", "n")
	equal([]string{"m", "n"}, arrive(bodies, 2))
}

func consumeAck(connection *rabbitmq.Conn) {
	bodies := make(chan string, 100)
	to := publisher(connection)
	defer to.Close()
	from := consumer(connection, "go.ack", keeping(bodies), rabbitmq.WithConsumerOptionsQueueDurable)
	defer from.Close()
	time.Sleep(200 * time.Millisecond)
	for _, body := range numbers(100) {
		publish(to, "", "go.ack", body)
	}
	equal(numbers(100), arrive(bodies, 100))
}

func requeue(connection *rabbitmq.Conn) {
	seen := make(chan string, 10)
	first := true
	from := consumer(connection, "go.requeue", func(delivery rabbitmq.Delivery) rabbitmq.Action {
		seen <- strconv.FormatBool(delivery.Redelivered)
		if first {
			first = false
			return rabbitmq.NackRequeue
		}
		return rabbitmq.Ack
	}, rabbitmq.WithConsumerOptionsQueueAutoDelete)
	defer from.Close()
	to := publisher(connection)
	defer to.Close()
	time.Sleep(200 * time.Millisecond)
	publish(to, "", "go.requeue", "m")
	equal([]string{"false", "true"}, arrive(seen, 2))
}

func confirms(connection *rabbitmq.Conn) {
	bodies := make(chan string, 1000)
	from := consumer(connection, "go.confirms", keeping(bodies), rabbitmq.WithConsumerOptionsQueueQuorum,
		rabbitmq.WithConsumerOptionsQueueDurable)
	defer from.Close()
	to := publisher(connection)
	defer to.Close()
	time.Sleep(200 * time.Millisecond)
	waiting := rabbitmq.PublisherConfirmation{}
	for _, body := range numbers(1000) {
		confirm, err := to.PublishWithDeferredConfirmWithContext(
			context.Background(), []byte(body), []string{"go.confirms"},
			rabbitmq.WithPublishOptionsPersistentDelivery)
		must(err)
		waiting = append(waiting, confirm...)
	}
	for _, confirm := range waiting {
		equal(true, confirm.Wait())
	}
	equal(1000, len(arrive(bodies, 1000)))
}

func order(connection *rabbitmq.Conn) {
	bodies := make(chan string, 10000)
	from := consumer(connection, "go.order", keeping(bodies), rabbitmq.WithConsumerOptionsQueueAutoDelete,
		rabbitmq.WithConsumerOptionsQOSPrefetch(1000))
	defer from.Close()
	to, err := rabbitmq.NewPublisher(connection, rabbitmq.WithPublisherOptionsLogger(quiet{}))
	must(err)
	defer to.Close()
	time.Sleep(200 * time.Millisecond)
	for _, body := range numbers(10000) {
		must(to.Publish([]byte(body), []string{"go.order"}))
	}
	equal(numbers(10000), arrive(bodies, 10000))
}

func reconnect(connection *rabbitmq.Conn) {
	bodies := make(chan string, 10)
	from := consumer(connection, "go.again", keeping(bodies), rabbitmq.WithConsumerOptionsQueueDurable)
	defer from.Close()
	to := publisher(connection)
	defer to.Close()
	time.Sleep(200 * time.Millisecond)
	publish(to, "", "go.again", "before")
	equal([]string{"before"}, arrive(bodies, 1))
	must(exec.Command(os.Getenv("BROKER_CONTROL"), "restart").Run())
	publish(to, "", "go.again", "after")
	for arrive(bodies, 1)[0] != "after" {
	}
}

var scenarios = []scenario{
	{"connect-plain", connectPlain},
	{"topology", topology},
	{"consume-ack", consumeAck},
	{"requeue", requeue},
	{"confirms", confirms},
	{"order", order},
	{"reconnect", reconnect},
}

func perform(one scenario) (failed any) {
	defer func() { failed = recover() }()
	connection, err := rabbitmq.NewConn(
		url, rabbitmq.WithConnectionOptionsLogger(quiet{}),
		rabbitmq.WithConnectionOptionsReconnectInterval(200*time.Millisecond))
	must(err)
	defer connection.Close()
	one.run(connection)
	return nil
}

func main() {
	wanted := map[string]bool{}
	for _, name := range os.Args[1:] {
		wanted[name] = true
	}
	for _, one := range scenarios {
		if len(wanted) > 0 && !wanted[one.name] {
			continue
		}
		if failed := perform(one); failed != nil {
			fmt.Printf("not ok %s - %v\n", one.name, failed)
		} else {
			fmt.Printf("ok %s\n", one.name)
		}
	}
}
