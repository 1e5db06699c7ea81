// Every scenario with RabbitMQ's Go client.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const url = "amqp://guest:guest@localhost:5672/"

type scenario struct {
	name string
	run  func(connection *amqp.Connection, channel *amqp.Channel)
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

// code is the reply code of an error that the broker sent.
func code(err error) int {
	var reason *amqp.Error
	if errors.As(err, &reason) {
		return reason.Code
	}
	panic(fmt.Sprintf("not an error of the broker: %v", err))
}

func control(word string) {
	must(exec.Command(os.Getenv("BROKER_CONTROL"), word).Run())
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	must(channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{Body: []byte(body)}
}

func bodies(channel *amqp.Channel, queue string) []string {
	found := []string{}
	for {
		message, ok, err := channel.Get(queue, true)
		must(err)
		if !ok {
			return found
		}
		found = append(found, string(message.Body))
	}
}

// temporary declares a queue of this connection's own.
func temporary(channel *amqp.Channel, arguments amqp.Table) string {
	queue, err := channel.QueueDeclare("", false, false, true, false, arguments)
	must(err)
	return queue.Name
}

// exchange declares an exchange of a type, with a queue for each key.
func exchange(channel *amqp.Channel, kind string, keys ...string) (string, []string) {
	name := "go." + kind
	must(channel.ExchangeDeclare(name, kind, false, true, false, false, nil))
	queues := []string{}
	for _, key := range keys {
		queue := temporary(channel, nil)
		must(channel.QueueBind(queue, key, name, false, nil))
		queues = append(queues, queue)
	}
	return name, queues
}

func consume(channel *amqp.Channel, queue, tag string, arguments amqp.Table) <-chan amqp.Delivery {
	deliveries, err := channel.Consume(queue, tag, false, false, false, false, arguments)
	must(err)
	return deliveries
}

// next is one element, or the end of the scenario.
func next[T any](from <-chan T) T {
	select {
	case one, open := <-from:
		if !open {
			panic("closed")
		}
		return one
	case <-time.After(10 * time.Second):
		panic("nothing came in time")
	}
}

// letter waits for a message in a queue that nobody consumes.
func letter(channel *amqp.Channel, queue string) amqp.Delivery {
	for range 100 {
		message, ok, err := channel.Get(queue, true)
		must(err)
		if ok {
			return message
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic("no dead letter")
}

func death(message amqp.Delivery) amqp.Table {
	return message.Headers["x-death"].([]any)[0].(amqp.Table)
}

func works(connection *amqp.Connection, err error) {
	must(err)
	defer connection.Close()
	channel, err := connection.Channel()
	must(err)
	queue := temporary(channel, nil)
	publish(channel, "", queue, text("secret"))
	equal([]string{"secret"}, bodies(channel, queue))
}

func secure(withCertificate bool) *tls.Config {
	folder := os.Getenv("CERTIFICATES")
	authority, err := os.ReadFile(folder + "/ca.pem")
	must(err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	config := &tls.Config{RootCAs: trusted}
	if withCertificate {
		own, err := tls.LoadX509KeyPair(folder+"/client.pem", folder+"/client.key")
		must(err)
		config.Certificates = []tls.Certificate{own}
	}
	return config
}

// anonymous is a mechanism that the client does not bring.
type anonymous struct{}

func (anonymous) Mechanism() string { return "ANONYMOUS" }
func (anonymous) Response() string  { return "" }

func mechanism(one amqp.Authentication) amqp.Config {
	return amqp.Config{SASL: []amqp.Authentication{one}}
}

var scenarios = []scenario{
	{"connect-plain", func(connection *amqp.Connection, _ *amqp.Channel) {
		equal("RabbitMQ", connection.Properties["product"])
		works(amqp.Dial(url))
	}},
	{"connect-amqplain", func(*amqp.Connection, *amqp.Channel) {
		login := &amqp.AMQPlainAuth{Username: "guest", Password: "guest"}
		works(amqp.DialConfig(url, mechanism(login)))
	}},
	{"connect-external", func(*amqp.Connection, *amqp.Channel) {
		works(amqp.DialTLS_ExternalAuth("amqps://localhost:5671/", secure(true)))
	}},
	{"connect-anonymous", func(*amqp.Connection, *amqp.Channel) {
		works(amqp.DialConfig(url, mechanism(anonymous{})))
	}},
	{"connect-refused", func(*amqp.Connection, *amqp.Channel) {
		_, err := amqp.Dial("amqp://guest:wrong@localhost:5672/")
		equal(403, code(err))
	}},
	{"connect-tls", func(*amqp.Connection, *amqp.Channel) {
		works(amqp.DialTLS("amqps://guest:guest@localhost:5671/", secure(false)))
	}},
	{"topology", func(connection *amqp.Connection, channel *amqp.Channel) {
		must(channel.ExchangeDeclare("go.exchange", "direct", true, false, false, false, nil))
		_, err := channel.QueueDeclare("go.queue", true, false, false, false, nil)
		must(err)
		must(channel.QueueBind("go.queue", "key", "go.exchange", false, nil))
		publish(channel, "go.exchange", "key", text("one"))
		must(channel.QueueUnbind("go.queue", "key", "go.exchange", nil))
		publish(channel, "go.exchange", "key", text("two"))
		equal([]string{"one"}, bodies(channel, "go.queue"))
		_, err = channel.QueueDelete("go.queue", false, false, false)
		must(err)
		must(channel.ExchangeDelete("go.exchange", false, false))
		_, err = channel.QueueDeclarePassive("go.queue", true, false, false, false, nil)
		equal(404, code(err))
		equal(true, channel.IsClosed())
		equal(false, connection.IsClosed())
	}},
	{"inequivalent", func(_ *amqp.Connection, channel *amqp.Channel) {
		_, err := channel.QueueDeclare("go.kind", false, false, true, false, nil)
		must(err)
		other := amqp.Table{"x-max-length": 1}
		_, err = channel.QueueDeclare("go.kind", false, false, true, false, other)
		equal(406, code(err))
	}},
	{"exchange-direct", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, queues := exchange(channel, "direct", "red", "blue")
		for _, key := range []string{"red", "blue", "green", "red"} {
			publish(channel, name, key, text(key))
		}
		equal([]string{"red", "red"}, bodies(channel, queues[0]))
		equal([]string{"blue"}, bodies(channel, queues[1]))
	}},
	{"exchange-fanout", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, queues := exchange(channel, "fanout", "", "", "")
		publish(channel, name, "whatever", text("all"))
		for _, queue := range queues {
			equal([]string{"all"}, bodies(channel, queue))
		}
	}},
	{"exchange-topic", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, queues := exchange(channel, "topic", "*.red.#")
		for _, key := range []string{"a.red", "a.blue", "b.red.x.y", "red"} {
			publish(channel, name, key, text(key))
		}
		equal([]string{"a.red", "b.red.x.y"}, bodies(channel, queues[0]))
	}},
	{"exchange-headers", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, _ := exchange(channel, "headers")
		queue := temporary(channel, nil)
		wanted := amqp.Table{"x-match": "all", "colour": "red", "size": 3}
		must(channel.QueueBind(queue, "", name, false, wanted))
		for _, headers := range []amqp.Table{
			{"colour": "red", "size": 3, "more": 1}, {"colour": "red"}, {},
		} {
			body := []byte(strconv.Itoa(len(headers)))
			publish(channel, name, "", amqp.Publishing{Headers: headers, Body: body})
		}
		equal([]string{"3"}, bodies(channel, queue))
	}},
	{"exchange-binding", func(_ *amqp.Connection, channel *amqp.Channel) {
		inner, queues := exchange(channel, "fanout", "")
		must(channel.ExchangeDeclare("go.outer", "direct", false, true, false, false, nil))
		must(channel.ExchangeBind(inner, "through", "go.outer", false, nil))
		publish(channel, "go.outer", "through", text("in"))
		publish(channel, "go.outer", "past", text("out"))
		equal([]string{"in"}, bodies(channel, queues[0]))
	}},
	{"alternate-exchange", func(_ *amqp.Connection, channel *amqp.Channel) {
		other, queues := exchange(channel, "fanout", "")
		arguments := amqp.Table{"alternate-exchange": other}
		must(channel.ExchangeDeclare("go.main", "direct", false, false, false, false, arguments))
		publish(channel, "go.main", "nobody", text("caught"))
		equal([]string{"caught"}, bodies(channel, queues[0]))
		must(channel.ExchangeDelete("go.main", false, false))
	}},
	{"properties", func(_ *amqp.Connection, channel *amqp.Channel) {
		sent := amqp.Publishing{
			Headers: amqp.Table{
				"text": "größe", "int": int32(42), "long": int64(1 << 40), "yes": true,
				"double": 1.5, "list": []any{int32(1), amqp.Table{"a": int32(2)}},
			},
			ContentType: "application/json", ContentEncoding: "utf-8",
			DeliveryMode: amqp.Persistent, Priority: 3, CorrelationId: "c1",
			ReplyTo: "answers", Expiration: "60000", MessageId: "m1",
			Timestamp: time.Unix(1_700_000_000, 0), Type: "order",
			UserId: "guest", AppId: "go", Body: []byte("{}"),
		}
		queue := temporary(channel, nil)
		publish(channel, "", queue, sent)
		got, _, err := channel.Get(queue, true)
		must(err)
		equal(true, sent.Timestamp.Equal(got.Timestamp))
		equal(sent, amqp.Publishing{
			Headers: got.Headers, ContentType: got.ContentType,
			ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode,
			Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo,
			Expiration: got.Expiration, MessageId: got.MessageId, Timestamp: sent.Timestamp,
			Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: got.Body,
		})
	}},
	{"get", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		publish(channel, "", queue, text("1"))
		publish(channel, "", queue, text("2"))
		first, _, err := channel.Get(queue, false)
		must(err)
		equal("1", string(first.Body))
		equal(uint32(1), first.MessageCount)
		must(first.Ack(false))
		equal([]string{"2"}, bodies(channel, queue))
	}},
	{"consume-ack", func(_ *amqp.Connection, channel *amqp.Channel) {
		_, err := channel.QueueDeclare("go.consumed", false, false, false, false, nil)
		must(err)
		for number := range 100 {
			publish(channel, "", "go.consumed", text(strconv.Itoa(number)))
		}
		deliveries := consume(channel, "go.consumed", "", nil)
		for number := range 100 {
			delivery := next(deliveries)
			equal(strconv.Itoa(number), string(delivery.Body))
			must(delivery.Ack(false))
		}
		left, err := channel.QueueDelete("go.consumed", false, false, false)
		must(err)
		equal(0, left)
	}},
	{"requeue", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		publish(channel, "", queue, text("again"))
		first, _, err := channel.Get(queue, false)
		must(err)
		equal(false, first.Redelivered)
		must(first.Nack(false, true))
		second, _, err := channel.Get(queue, false)
		must(err)
		equal(true, second.Redelivered)
		must(second.Reject(false))
		equal([]string{}, bodies(channel, queue))
	}},
	{"confirms", func(_ *amqp.Connection, channel *amqp.Channel) {
		_, err := channel.QueueDeclare("go.confirmed", true, false, false, false, nil)
		must(err)
		must(channel.Confirm(false))
		confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 1000))
		for range 1000 {
			message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("x")}
			publish(channel, "", "go.confirmed", message)
		}
		for number := range 1000 {
			equal(amqp.Confirmation{DeliveryTag: uint64(number + 1), Ack: true}, next(confirmed))
		}
		count, err := channel.QueueDelete("go.confirmed", false, false, false)
		must(err)
		equal(1000, count)
	}},
	{"mandatory-return", func(_ *amqp.Connection, channel *amqp.Channel) {
		returned := channel.NotifyReturn(make(chan amqp.Return, 1))
		must(channel.PublishWithContext(
			context.Background(), "", "go.nowhere", true, false, text("back")))
		back := next(returned)
		equal(uint16(312), back.ReplyCode)
		equal("back", string(back.Body))
	}},
	{"prefetch", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		for number := range 20 {
			publish(channel, "", queue, text(strconv.Itoa(number)))
		}
		must(channel.Qos(5, 0, false))
		deliveries := consume(channel, queue, "", nil)
		for range 4 {
			next(deliveries)
		}
		fifth := next(deliveries)
		select {
		case <-deliveries:
			panic("a sixth")
		case <-time.After(300 * time.Millisecond):
		}
		must(fifth.Ack(true))
		next(deliveries)
	}},
	{"ttl", func(_ *amqp.Connection, channel *amqp.Channel) {
		plain := temporary(channel, nil)
		brief := temporary(channel, amqp.Table{"x-message-ttl": 50})
		publish(channel, "", plain, amqp.Publishing{Expiration: "50", Body: []byte("gone")})
		publish(channel, "", plain, text("stays"))
		publish(channel, "", brief, text("gone"))
		time.Sleep(400 * time.Millisecond)
		equal([]string{"stays"}, bodies(channel, plain))
		equal([]string{}, bodies(channel, brief))
	}},
	{"dead-letter", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, queues := exchange(channel, "fanout", "")
		arguments := amqp.Table{
			"x-dead-letter-exchange": name, "x-dead-letter-routing-key": "dead",
		}
		_, err := channel.QueueDeclare("go.alive", false, false, true, false, arguments)
		must(err)
		publish(channel, "", "go.alive", text("bad"))
		bad, _, err := channel.Get("go.alive", false)
		must(err)
		must(bad.Reject(false))
		dead := letter(channel, queues[0])
		equal("dead", dead.RoutingKey)
		equal("go.alive", death(dead)["queue"])
		equal("rejected", death(dead)["reason"])
		equal(int64(1), death(dead)["count"])
	}},
	{"priority", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, amqp.Table{"x-max-priority": 5})
		for number, level := range []uint8{1, 5, 0, 5, 3} {
			body := []byte(fmt.Sprint(level, number))
			publish(channel, "", queue, amqp.Publishing{Priority: level, Body: body})
		}
		equal([]string{"5 1", "5 3", "3 4", "1 0", "0 2"}, bodies(channel, queue))
	}},
	{"max-length", func(_ *amqp.Connection, channel *amqp.Channel) {
		arguments := amqp.Table{"x-max-length": 3, "x-overflow": "reject-publish"}
		queue := temporary(channel, arguments)
		must(channel.Confirm(false))
		for number := range 4 {
			confirmation, err := channel.PublishWithDeferredConfirmWithContext(
				context.Background(), "", queue, false, false, text(strconv.Itoa(number)))
			must(err)
			equal(number < 3, confirmation.Wait())
		}
		equal([]string{"0", "1", "2"}, bodies(channel, queue))
	}},
	{"quorum", func(_ *amqp.Connection, channel *amqp.Channel) {
		name, queues := exchange(channel, "fanout", "")
		arguments := amqp.Table{
			amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": 2,
			"x-dead-letter-exchange": name,
		}
		_, err := channel.QueueDeclare("go.quorum", true, false, false, false, arguments)
		must(err)
		message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("poison")}
		publish(channel, "", "go.quorum", message)
		deliveries := consume(channel, "go.quorum", "", nil)
		for _, count := range []any{nil, int64(1), int64(2)} {
			delivery := next(deliveries)
			equal(count, delivery.Headers["x-delivery-count"])
			must(delivery.Reject(true))
		}
		equal("delivery_limit", death(letter(channel, queues[0]))["reason"])
		_, err = channel.QueueDelete("go.quorum", false, false, false)
		must(err)
	}},
	{"stream", func(connection *amqp.Connection, channel *amqp.Channel) {
		arguments := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeStream}
		_, err := channel.QueueDeclare("go.stream", true, false, false, false, arguments)
		must(err)
		must(channel.Confirm(false))
		for number := range 10 {
			confirmation, err := channel.PublishWithDeferredConfirmWithContext(
				context.Background(), "", "go.stream", false, false, text(strconv.Itoa(number)))
			must(err)
			equal(true, confirmation.Wait())
		}
		for from, offset := range map[int]any{5: 5, 0: "first"} {
			reading, err := connection.Channel()
			must(err)
			must(reading.Qos(100, 0, false))
			deliveries := consume(reading, "go.stream", "", amqp.Table{"x-stream-offset": offset})
			for number := from; number < 10; number++ {
				delivery := next(deliveries)
				equal(int64(number), delivery.Headers["x-stream-offset"])
				equal(strconv.Itoa(number), string(delivery.Body))
				must(delivery.Ack(false))
			}
			must(reading.Close())
		}
		_, err = channel.QueueDelete("go.stream", false, false, false)
		must(err)
	}},
	{"rpc", func(_ *amqp.Connection, channel *amqp.Channel) {
		requests := temporary(channel, nil)
		served := consume(channel, requests, "", nil)
		answers, err := channel.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
		must(err)
		go func() {
			request := <-served
			publish(channel, "", request.ReplyTo, amqp.Publishing{
				CorrelationId: request.CorrelationId, Body: bytes.ToUpper(request.Body),
			})
		}()
		publish(channel, "", requests, amqp.Publishing{
			ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "7", Body: []byte("hello"),
		})
		answer := next(answers)
		equal("HELLO", string(answer.Body))
		equal("7", answer.CorrelationId)
	}},
	{"consumer-cancel", func(connection *amqp.Connection, channel *amqp.Channel) {
		_, err := channel.QueueDeclare("go.cancelled", false, false, false, false, nil)
		must(err)
		cancelled := channel.NotifyCancel(make(chan string, 1))
		consume(channel, "go.cancelled", "mine", nil)
		other, err := connection.Channel()
		must(err)
		_, err = other.QueueDelete("go.cancelled", false, false, false)
		must(err)
		equal("mine", next(cancelled))
	}},
	{"single-active", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, amqp.Table{"x-single-active-consumer": true})
		first := consume(channel, queue, "first", nil)
		second := consume(channel, queue, "second", nil)
		publish(channel, "", queue, text("1"))
		publish(channel, "", queue, text("2"))
		for _, expected := range []string{"1", "2"} {
			delivery := next(first)
			equal(expected, string(delivery.Body))
			must(delivery.Ack(false))
		}
		must(channel.Cancel("first", false))
		publish(channel, "", queue, text("3"))
		equal("3", string(next(second).Body))
	}},
	{"exclusive", func(_ *amqp.Connection, channel *amqp.Channel) {
		other, err := amqp.Dial(url)
		must(err)
		defer other.Close()
		owning, err := other.Channel()
		must(err)
		_, err = owning.QueueDeclare("go.mine", false, false, true, false, nil)
		must(err)
		_, err = channel.QueueDeclarePassive("go.mine", false, false, true, false, nil)
		equal(405, code(err))
	}},
	{"tx", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		must(channel.Tx())
		publish(channel, "", queue, text("no"))
		must(channel.TxRollback())
		publish(channel, "", queue, text("yes"))
		must(channel.TxCommit())
		equal([]string{"yes"}, bodies(channel, queue))
	}},
	{"large-body", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		body := make([]byte, 8<<20)
		_, err := rand.Read(body)
		must(err)
		publish(channel, "", queue, amqp.Publishing{Body: body})
		got, _, err := channel.Get(queue, true)
		must(err)
		equal(true, bytes.Equal(body, got.Body))
	}},
	{"order", func(_ *amqp.Connection, channel *amqp.Channel) {
		queue := temporary(channel, nil)
		for number := range 10_000 {
			publish(channel, "", queue, text(strconv.Itoa(number)))
		}
		must(channel.Qos(200, 0, false))
		deliveries := consume(channel, queue, "", nil)
		for number := range 10_000 {
			delivery := next(deliveries)
			equal(strconv.Itoa(number), string(delivery.Body))
			must(delivery.Ack(false))
		}
	}},
	{"blocked", func(connection *amqp.Connection, channel *amqp.Channel) {
		seen := connection.NotifyBlocked(make(chan amqp.Blocking, 2))
		control("block")
		publish(channel, "", "go.nowhere", text("x"))
		for tries := 0; len(seen) == 0 && tries < 100; tries++ {
			publish(channel, "", "go.nowhere", text("x"))
			time.Sleep(200 * time.Millisecond)
		}
		control("unblock")
		equal(true, next(seen).Active)
		equal(false, next(seen).Active)
	}},
	{"reconnect", func(*amqp.Connection, *amqp.Channel) {
		patience := &amqp.ReconnectionConfig{
			MaxRetryCount: 60, RetryInterval: 500 * time.Millisecond,
		}
		connection, err := amqp.DialConfig(url, amqp.Config{
			Recovery: &amqp.Recovery{ReconnectionConfig: patience},
		})
		must(err)
		defer connection.Close()
		states := make(chan *amqp.StateChanged, 10)
		connection.NotifyStateChange(states)
		channel, err := connection.Channel()
		must(err)
		must(channel.ExchangeDeclare("go.again", "direct", true, false, false, false, nil))
		queue := temporary(channel, nil)
		must(channel.QueueBind(queue, "key", "go.again", false, nil))
		deliveries := consume(channel, queue, "", nil)
		publish(channel, "go.again", "key", text("before"))
		before := next(deliveries)
		equal("before", string(before.Body))
		must(before.Ack(false))
		control("restart")
		for next(states).To != amqp.StateOpen {
		}
		publish(channel, "go.again", "key", text("after"))
		equal("after", string(next(deliveries).Body))
	}},
}

func perform(one scenario) (problem any) {
	defer func() { problem = recover() }()
	connection, err := amqp.Dial(url)
	must(err)
	defer connection.Close()
	channel, err := connection.Channel()
	must(err)
	one.run(connection, channel)
	return nil
}

func main() {
	wanted := " " + strings.Join(os.Args[1:], " ") + " "
	for _, one := range scenarios {
		if len(os.Args) > 1 && !strings.Contains(wanted, " "+one.name+" ") {
			continue
		}
		if problem := perform(one); problem != nil {
			fmt.Println("not ok", one.name, "-", problem)
		} else {
			fmt.Println("ok", one.name)
		}
	}
}
