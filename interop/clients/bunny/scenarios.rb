# Every scenario with Bunny.

require "bunny"
require "timeout"

CERTIFICATES = ENV.fetch("CERTIFICATES")
SCENARIOS = {}

def scenario(name, &run)
  SCENARIOS[name] = run
end

def equal(expected, seen)
  raise "seen #{seen.inspect}, expected #{expected.inspect}" unless expected == seen
end

def control(word)
  raise "control #{word} failed" unless system(ENV.fetch("BROKER_CONTROL"), word)
end

def connect(options = {})
  quiet = Logger.new(File::NULL)
  connection = Bunny.new({ host: "localhost", logger: quiet, automatically_recover: false }.merge(options))
  connection.start
end

# Everything that is in the queue.
def bodies(queue)
  found = []
  while (body = queue.pop[2])
    found << body
  end
  found
end

# Wait until something is so.
def eventually(seconds = 10)
  deadline = Time.now + seconds
  until (found = yield)
    raise "it did not happen in time" if Time.now > deadline
    sleep 0.02
  end
  found
end

# A queue of this connection's own.
def temporary(channel, arguments = {})
  channel.queue("", exclusive: true, arguments: arguments)
end

def works(options)
  connection = connect(options)
  queue = temporary(connection.create_channel)
  queue.publish("secret")
  equal ["secret"], bodies(queue)
ensure
  connection&.close
end

# The reply code with which the broker closes the channel.
def close_code
  yield
  raise "it was allowed"
rescue Bunny::ChannelLevelException => error
  error.channel_close.reply_code
end

def secure
  { port: 5671, tls: true, tls_ca_certificates: ["#{CERTIFICATES}/ca.pem"], verify_peer: true }
end

scenario "connect-plain" do |channel|
  equal "RabbitMQ", channel.connection.server_properties["product"]
  works(auth_mechanism: "PLAIN")
end

# Bunny brings PLAIN and EXTERNAL, and lets others be registered.
class Amqplain < Bunny::Authentication::CredentialsEncoder
  auth_mechanism "AMQPLAIN"

  def encode_credentials(user, password)
    AMQ::Protocol::Table.encode("LOGIN" => user, "PASSWORD" => password)[4..]
  end
end

class Anonymous < Bunny::Authentication::CredentialsEncoder
  auth_mechanism "ANONYMOUS"

  def encode_credentials(_user, _password)
    ""
  end
end

scenario("connect-amqplain") { works(auth_mechanism: "AMQPLAIN") }
scenario("connect-anonymous") { works(auth_mechanism: "ANONYMOUS") }

scenario "connect-external" do
  own = { tls_cert: "#{CERTIFICATES}/client.pem", tls_key: "#{CERTIFICATES}/client.key" }
  works(secure.merge(own).merge(auth_mechanism: "EXTERNAL"))
end

scenario "connect-refused" do
  connect(password: "wrong")
  raise "it got in"
rescue Bunny::AuthenticationFailureError
  # Bunny's word for the broker's 403.
end

scenario("connect-tls") { works(secure) }

scenario "topology" do |channel|
  exchange = channel.direct("bunny.exchange", durable: true)
  queue = channel.queue("bunny.queue", durable: true)
  queue.bind(exchange, routing_key: "key")
  exchange.publish("one", routing_key: "key")
  queue.unbind(exchange, routing_key: "key")
  exchange.publish("two", routing_key: "key")
  equal ["one"], bodies(queue)
  queue.delete
  exchange.delete
  equal 404, close_code { channel.queue("bunny.queue", passive: true) }
  equal [false, true], [channel.open?, channel.connection.open?]
end

scenario "inequivalent" do |channel|
  channel.queue("bunny.kind", exclusive: true)
  other = channel.connection.create_channel
  arguments = { "x-max-length" => 1 }
  equal 406, close_code { other.queue("bunny.kind", exclusive: true, arguments: arguments) }
end

scenario "exchange-direct" do |channel|
  exchange = channel.direct("bunny.direct", auto_delete: true)
  red = temporary(channel).bind(exchange, routing_key: "red")
  blue = temporary(channel).bind(exchange, routing_key: "blue")
  %w[red blue green red].each { |key| exchange.publish(key, routing_key: key) }
  equal %w[red red], bodies(red)
  equal ["blue"], bodies(blue)
end

scenario "exchange-fanout" do |channel|
  exchange = channel.fanout("bunny.fanout", auto_delete: true)
  queues = Array.new(3) { temporary(channel).bind(exchange) }
  exchange.publish("all", routing_key: "whatever")
  queues.each { |queue| equal ["all"], bodies(queue) }
end

scenario "exchange-topic" do |channel|
  exchange = channel.topic("bunny.topic", auto_delete: true)
  queue = temporary(channel).bind(exchange, routing_key: "*.red.#")
  %w[a.red a.blue b.red.x.y red].each { |key| exchange.publish(key, routing_key: key) }
  equal %w[a.red b.red.x.y], bodies(queue)
end

scenario "exchange-headers" do |channel|
  exchange = channel.headers("bunny.headers", auto_delete: true)
  wanted = { "x-match" => "all", "colour" => "red", "size" => 3 }
  queue = temporary(channel).bind(exchange, arguments: wanted)
  [{ "colour" => "red", "size" => 3, "more" => 1 }, { "colour" => "red" }, {}].each do |headers|
    exchange.publish(headers.size.to_s, headers: headers)
  end
  equal ["3"], bodies(queue)
end

scenario "exchange-binding" do |channel|
  inner = channel.fanout("bunny.inner", auto_delete: true)
  outer = channel.direct("bunny.outer", auto_delete: true)
  inner.bind(outer, routing_key: "through")
  queue = temporary(channel).bind(inner)
  outer.publish("in", routing_key: "through")
  outer.publish("out", routing_key: "past")
  equal ["in"], bodies(queue)
end

scenario "alternate-exchange" do |channel|
  other = channel.fanout("bunny.other", auto_delete: true)
  queue = temporary(channel).bind(other)
  arguments = { "alternate-exchange" => other.name }
  exchange = channel.direct("bunny.main", auto_delete: true, arguments: arguments)
  exchange.publish("caught", routing_key: "nobody")
  equal ["caught"], bodies(queue)
  exchange.delete
end

scenario "properties" do |channel|
  sent = {
    content_type: "application/json", content_encoding: "utf-8",
    headers: { "text" => "größe", "int" => 42, "long" => 1 << 40, "yes" => true, "list" => [1, { "a" => 2 }] },
    delivery_mode: 2, priority: 3, correlation_id: "c1", reply_to: "answers", expiration: "60000",
    message_id: "m1", timestamp: 1_700_000_000, type: "order", user_id: "guest", app_id: "bunny"
  }
  queue = temporary(channel)
  queue.publish("{}", sent)
  seen = queue.pop[1].to_hash
  seen[:headers]["text"].force_encoding("UTF-8")
  seen[:timestamp] = seen[:timestamp].to_i
  equal sent, seen
end

scenario "get" do |channel|
  queue = temporary(channel)
  %w[1 2].each { |body| queue.publish(body) }
  first, _, body = queue.pop(manual_ack: true)
  equal ["1", 1], [body, queue.message_count]
  channel.ack(first.delivery_tag)
  equal ["2"], bodies(queue)
  equal [nil, nil, nil], queue.pop
end

scenario "consume-ack" do |channel|
  queue = channel.queue("bunny.consumed")
  100.times { |number| queue.publish(number.to_s) }
  heard = []
  consumer = queue.subscribe(manual_ack: true) do |delivery, _, body|
    heard << body
    channel.ack(delivery.delivery_tag)
  end
  eventually { heard.size == 100 }
  equal (0...100).map(&:to_s), heard
  consumer.cancel
  equal 0, queue.delete.message_count
end

scenario "requeue" do |channel|
  queue = temporary(channel)
  queue.publish("again")
  first, = queue.pop(manual_ack: true)
  channel.nack(first.delivery_tag, false, true)
  second, = queue.pop(manual_ack: true)
  equal [false, true], [first.redelivered?, second.redelivered?]
  channel.reject(second.delivery_tag, false)
  equal [], bodies(queue)
end

scenario "confirms" do |channel|
  queue = channel.queue("bunny.confirmed", durable: true)
  channel.confirm_select
  1000.times { |number| queue.publish(number.to_s, persistent: true) }
  equal true, channel.wait_for_confirms
  equal 1000, queue.delete.message_count
end

scenario "mandatory-return" do |channel|
  returned = []
  exchange = channel.default_exchange
  exchange.on_return { |info, _, body| returned << [info.reply_code, body] }
  exchange.publish("back", routing_key: "bunny.nowhere", mandatory: true)
  equal [312, "back"], eventually { returned.first }
end

scenario "prefetch" do |channel|
  queue = temporary(channel)
  20.times { |number| queue.publish(number.to_s) }
  channel.prefetch(5)
  tags = []
  queue.subscribe(manual_ack: true) { |delivery, _, _| tags << delivery.delivery_tag }
  eventually { tags.size == 5 }
  sleep 0.3
  equal 5, tags.size
  channel.ack(tags.last, true)
  eventually { tags.size == 10 }
end

scenario "ttl" do |channel|
  plain = temporary(channel)
  brief = temporary(channel, "x-message-ttl" => 50)
  plain.publish("gone", expiration: "50")
  plain.publish("stays")
  brief.publish("gone")
  sleep 0.4
  equal ["stays"], bodies(plain)
  equal [], bodies(brief)
end

scenario "dead-letter" do |channel|
  dlx = channel.fanout("bunny.dlx", auto_delete: true)
  dead = temporary(channel).bind(dlx)
  arguments = { "x-dead-letter-exchange" => dlx.name, "x-dead-letter-routing-key" => "dead" }
  queue = channel.queue("bunny.alive", exclusive: true, arguments: arguments)
  queue.publish("bad")
  channel.reject(queue.pop(manual_ack: true).first.delivery_tag, false)
  info, properties, = eventually { got = dead.pop; got.first && got }
  death = properties.headers["x-death"].first
  equal ["dead", "bunny.alive", "rejected", 1],
        [info.routing_key, death["queue"], death["reason"], death["count"]]
end

scenario "priority" do |channel|
  queue = temporary(channel, "x-max-priority" => 5)
  [1, 5, 0, 5, 3].each_with_index { |level, n| queue.publish("#{level}#{n}", priority: level) }
  equal %w[51 53 34 10 02], bodies(queue)
end

scenario "max-length" do |channel|
  queue = temporary(channel, "x-max-length" => 3, "x-overflow" => "reject-publish")
  channel.confirm_select
  %w[0 1 2].each { |body| queue.publish(body) }
  equal true, channel.wait_for_confirms
  queue.publish("3")
  equal false, channel.wait_for_confirms
  equal %w[0 1 2], bodies(queue)
end

scenario "quorum" do |channel|
  dlx = channel.fanout("bunny.dlx", auto_delete: true)
  dead = temporary(channel).bind(dlx)
  arguments = { "x-queue-type" => "quorum", "x-delivery-limit" => 2, "x-dead-letter-exchange" => dlx.name }
  queue = channel.queue("bunny.quorum", durable: true, arguments: arguments)
  queue.publish("poison", persistent: true)
  counts = []
  queue.subscribe(manual_ack: true) do |delivery, properties, _|
    counts << (properties.headers || {}).fetch("x-delivery-count", 0)
    channel.reject(delivery.delivery_tag, true)
  end
  death = eventually { dead.pop[1] }.headers["x-death"].first
  equal [[0, 1, 2], "delivery_limit"], [counts, death["reason"]]
  queue.delete
end

scenario "stream" do |channel|
  queue = channel.queue("bunny.stream", durable: true, arguments: { "x-queue-type" => "stream" })
  channel.confirm_select
  10.times { |number| queue.publish(number.to_s) }
  channel.wait_for_confirms
  [[5, 5], ["first", 0]].each do |offset, from|
    reading = channel.connection.create_channel
    reading.prefetch(100)
    read = []
    stream = reading.queue("bunny.stream", durable: true, arguments: { "x-queue-type" => "stream" })
    stream.subscribe(manual_ack: true, arguments: { "x-stream-offset" => offset }) do |delivery, properties, body|
      read << [properties.headers["x-stream-offset"], body]
      reading.ack(delivery.delivery_tag)
    end
    expected = (from...10).map { |number| [number, number.to_s] }
    eventually { read.size == expected.size }
    equal expected, read
    reading.close
  end
  queue.delete
end

scenario "rpc" do |channel|
  requests = temporary(channel)
  requests.subscribe do |_, properties, body|
    options = { routing_key: properties.reply_to, correlation_id: properties.correlation_id }
    channel.default_exchange.publish(body.upcase, options)
  end
  calling = channel.connection.create_channel
  answers = []
  calling.basic_consume("amq.rabbitmq.reply-to", "", true) { |_, properties, body| answers << [properties.correlation_id, body] }
  options = { routing_key: requests.name, reply_to: "amq.rabbitmq.reply-to", correlation_id: "7" }
  calling.default_exchange.publish("hello", options)
  equal %w[7 HELLO], eventually { answers.first }
end

scenario "consumer-cancel" do |channel|
  queue = channel.queue("bunny.cancelled")
  cancelled = []
  consumer = Bunny::Consumer.new(channel, queue)
  consumer.on_cancellation { |cancel| cancelled << cancel.consumer_tag }
  queue.subscribe_with(consumer)
  channel.connection.create_channel.queue_delete("bunny.cancelled")
  equal consumer.consumer_tag, eventually { cancelled.first }
end

scenario "single-active" do |channel|
  queue = temporary(channel, "x-single-active-consumer" => true)
  first = []
  second = []
  active = queue.subscribe { |_, _, body| first << body }
  queue.subscribe { |_, _, body| second << body }
  %w[1 2].each { |body| queue.publish(body) }
  eventually { first.size == 2 }
  active.cancel
  queue.publish("3")
  eventually { second.size == 1 }
  equal [%w[1 2], ["3"]], [first, second]
end

scenario "exclusive" do |channel|
  other = connect
  other.create_channel.queue("bunny.mine", exclusive: true)
  equal 405, close_code { channel.queue("bunny.mine", passive: true) }
  other.close
end

scenario "tx" do |channel|
  queue = temporary(channel)
  channel.tx_select
  queue.publish("no")
  channel.tx_rollback
  queue.publish("yes")
  channel.tx_commit
  equal ["yes"], bodies(queue)
end

scenario "large-body" do |channel|
  queue = temporary(channel)
  body = Random.new(1).bytes(8 << 20)
  queue.publish(body)
  equal true, body == queue.pop[2]
end

scenario "order" do |channel|
  queue = temporary(channel)
  10_000.times { |number| queue.publish(number.to_s) }
  channel.prefetch(200)
  heard = []
  queue.subscribe(manual_ack: true) do |delivery, _, body|
    heard << body.to_i
    channel.ack(delivery.delivery_tag)
  end
  eventually(30) { heard.size == 10_000 }
  equal (0...10_000).to_a, heard
end

scenario "blocked" do |channel|
  seen = []
  channel.connection.on_blocked { seen << "blocked" }
  channel.connection.on_unblocked { seen << "unblocked" }
  control "block"
  begin
    eventually(30) do
      channel.default_exchange.publish("x", routing_key: "bunny.nowhere")
      sleep 0.2
      seen.include?("blocked")
    end
  ensure
    control "unblock"
  end
  eventually(30) { seen == %w[blocked unblocked] }
end

scenario "reconnect" do
  connection = connect(automatically_recover: true, network_recovery_interval: 0.5, recover_from_connection_close: true)
  channel = connection.create_channel
  exchange = channel.direct("bunny.again", durable: true)
  queue = channel.queue("", exclusive: true).bind(exchange, routing_key: "key")
  heard = []
  queue.subscribe { |_, _, body| heard << body }
  exchange.publish("before", routing_key: "key")
  eventually { heard == ["before"] }
  recovered = false
  connection.after_recovery_completed { recovered = true }
  control "restart"
  eventually(30) { recovered }
  exchange.publish("after", routing_key: "key")
  eventually { heard == %w[before after] }
  connection.close
end

$stdout.sync = true
Thread.report_on_exception = false
(ARGV.empty? ? SCENARIOS.keys : ARGV).each do |name|
  connection = nil
  begin
    Timeout.timeout(90) do
      connection = connect
      SCENARIOS.fetch(name).call(connection.create_channel)
    end
    puts "ok #{name}"
  rescue StandardError, Timeout::Error => error
    puts "not ok #{name} - #{error.class} #{error.message}".tr("\n", " ")
  end
  begin
    connection&.close
  rescue StandardError
    # The scenario ended it.
  end
end
exit!
