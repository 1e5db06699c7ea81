// Watermill: a durable queue, publish and subscribe with a router and middleware.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

const uri = "amqp://guest:guest@localhost:5672/"

var logger = watermill.NopLogger{}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newPublisher(config amqp.Config) *amqp.Publisher {
	config.Publish.ConfirmDelivery = true
	publisher, err := amqp.NewPublisher(config, logger)
	must(err)
	return publisher
}

func subscribe(config amqp.Config, topic string) <-chan *message.Message {
	subscriber, err := amqp.NewSubscriber(config, logger)
	must(err)
	messages, err := subscriber.Subscribe(context.Background(), topic)
	must(err)
	return messages
}

func text(body string) *message.Message {
	made := message.NewMessage(watermill.NewUUID(), []byte(body))
	made.Metadata.Set("colour", "red")
	return made
}

func next(messages <-chan *message.Message) *message.Message {
	select {
	case one := <-messages:
		return one
	case <-time.After(15 * time.Second):
		panic("nothing came in time")
	}
}

func expect(messages <-chan *message.Message, body string) {
	one := next(messages)
	if string(one.Payload) != body || one.Metadata.Get("colour") != "red" {
		panic(fmt.Sprintf("seen %s, expected %s", one.Payload, body))
	}
	one.Ack()
}

func queue() {
	config := amqp.NewDurableQueueConfig(uri)
	messages := subscribe(config, "watermill.orders")
	publisher := newPublisher(config)
	for number := 0; number < 10; number++ {
		must(publisher.Publish("watermill.orders", text(strconv.Itoa(number))))
	}
	for number := 0; number < 10; number++ {
		expect(messages, strconv.Itoa(number))
	}
}

func nack() {
	config := amqp.NewDurableQueueConfig(uri)
	messages := subscribe(config, "watermill.nacked")
	must(newPublisher(config).Publish("watermill.nacked", text("again")))
	next(messages).Nack()
	expect(messages, "again")
}

func pubsub() {
	one := amqp.NewDurablePubSubConfig(uri, amqp.GenerateQueueNameTopicNameWithSuffix("one"))
	other := amqp.NewDurablePubSubConfig(uri, amqp.GenerateQueueNameTopicNameWithSuffix("other"))
	first, second := subscribe(one, "watermill.news"), subscribe(other, "watermill.news")
	must(newPublisher(one).Publish("watermill.news", text("all")))
	expect(first, "all")
	expect(second, "all")
}

func router() {
	config := amqp.NewDurableQueueConfig(uri)
	subscriber, err := amqp.NewSubscriber(config, logger)
	must(err)
	publisher := newPublisher(config)
	failing, err := middleware.PoisonQueue(publisher, "watermill.poison")
	must(err)
	made, err := message.NewRouter(message.RouterConfig{}, logger)
	must(err)
	retry := middleware.Retry{MaxRetries: 2, InitialInterval: 10 * time.Millisecond}
	made.AddMiddleware(failing, retry.Middleware)
	attempts := 0
	made.AddHandler("upper", "watermill.in", subscriber, "watermill.out", publisher,
		func(one *message.Message) ([]*message.Message, error) {
			if string(one.Payload) == "bad" {
				attempts++
				return nil, errors.New("bad")
			}
			return message.Messages{text(strings.ToUpper(string(one.Payload)))}, nil
		})
	go made.Run(context.Background())
	<-made.Running()
	out, poison := subscribe(config, "watermill.out"), subscribe(config, "watermill.poison")
	must(publisher.Publish("watermill.in", text("quiet"), text("bad")))
	expect(out, "QUIET")
	if reason := next(poison).Metadata.Get(middleware.ReasonForPoisonedKey); reason != "bad" {
		panic("poisoned because of " + reason)
	}
	if attempts != 3 {
		panic(fmt.Sprintf("%d attempts", attempts))
	}
	must(made.Close())
}

func recovered() {
	config := amqp.NewDurableQueueConfig(uri)
	messages := subscribe(config, "watermill.again")
	publisher := newPublisher(config)
	must(publisher.Publish("watermill.again", text("before")))
	expect(messages, "before")
	must(exec.Command(os.Getenv("BROKER_CONTROL"), "restart").Run())
	for tries := 0; ; tries++ {
		err := publisher.Publish("watermill.again", text("after"))
		if err == nil {
			break
		}
		if tries == 60 {
			panic(err)
		}
		time.Sleep(500 * time.Millisecond)
	}
	expect(messages, "after")
}

func perform(run func()) (problem any) {
	defer func() { problem = recover() }()
	run()
	return nil
}

func main() {
	wanted := " " + strings.Join(os.Args[1:], " ") + " "
	for _, check := range []struct {
		name string
		run  func()
	}{
		{"queue", queue}, {"nack", nack}, {"pubsub", pubsub}, {"router", router},
		{"recovered", recovered},
	} {
		if len(os.Args) > 1 && !strings.Contains(wanted, " "+check.name+" ") {
			continue
		}
		if problem := perform(check.run); problem != nil {
			fmt.Println("not ok", check.name, "-", problem)
		} else {
			fmt.Println("ok", check.name)
		}
	}
}
