/* Every scenario with rabbitmq-c. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

typedef amqp_connection_state_t connection;

static jmp_buf scenario_end;
static char problem[512];

/* -- what the scenarios share -- */

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(problem, sizeof problem, format, arguments);
  va_end(arguments);
  longjmp(scenario_end, 1);
}

static void equal_numbers(long expected, long seen) {
  if (expected != seen) fail("seen %ld, expected %ld", seen, expected);
}

static void equal(const char *expected, const char *seen) {
  if (strcmp(expected, seen)) fail("seen '%s', expected '%s'", seen, expected);
}

/* The reply code of what the broker answered; 0 when all is well. */
static int reply_code(amqp_rpc_reply_t reply) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return 0;
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
      return ((amqp_channel_close_t *)reply.reply.decoded)->reply_code;
    if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
      return ((amqp_connection_close_t *)reply.reply.decoded)->reply_code;
  }
  return -1;
}

static void must(amqp_rpc_reply_t reply) {
  int code = reply_code(reply);
  if (code) fail("the broker answered %d (%s)", code, amqp_error_string2(reply.library_error));
}

static void did(connection c) { must(amqp_get_rpc_reply(c)); }

static void control(const char *word) {
  char command[512];
  snprintf(command, sizeof command, "'%s' %s", getenv("BROKER_CONTROL"), word);
  equal_numbers(0, system(command));
}

static amqp_bytes_t bytes(const char *text) { return amqp_cstring_bytes(text); }

static bool same(amqp_bytes_t one, amqp_bytes_t other) {
  return one.len == other.len && !memcmp(one.bytes, other.bytes, one.len);
}

static amqp_rpc_reply_t try_login(connection c, amqp_socket_t *socket, int port, const char *password,
                                  amqp_sasl_method_enum method) {
  if (amqp_socket_open(socket, "localhost", port)) fail("cannot connect to port %d", port);
  if (method == AMQP_SASL_METHOD_EXTERNAL)
    return amqp_login(c, "/", 0, 131072, 0, method, "guest");
  return amqp_login(c, "/", 0, 131072, 0, method, "guest", password);
}

static void end(connection c) {
  amqp_connection_close(c, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(c);
}

static amqp_table_entry_t text_entry(const char *key, const char *value) {
  amqp_table_entry_t entry = {.key = bytes(key)};
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = bytes(value);
  return entry;
}

static amqp_table_entry_t int_entry(const char *key, int value) {
  amqp_table_entry_t entry = {.key = bytes(key)};
  entry.value.kind = AMQP_FIELD_KIND_I32;
  entry.value.value.i32 = value;
  return entry;
}

static amqp_table_entry_t bool_entry(const char *key, bool value) {
  amqp_table_entry_t entry = {.key = bytes(key)};
  entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
  entry.value.value.boolean = value;
  return entry;
}

#define TABLE(...)                                                                          \
  ((amqp_table_t){.num_entries = sizeof((amqp_table_entry_t[]){__VA_ARGS__}) /              \
                                 sizeof(amqp_table_entry_t),                                \
                  .entries = (amqp_table_entry_t[]){__VA_ARGS__}})

/* The library tells the broker little of what its application can do; this one says more. */
static connection connect_local(void) {
  amqp_table_entry_t capabilities = {.key = bytes("capabilities")};
  capabilities.value.kind = AMQP_FIELD_KIND_TABLE;
  capabilities.value.value.table =
      TABLE(bool_entry("consumer_cancel_notify", true), bool_entry("connection.blocked", true));
  amqp_table_t client = TABLE(capabilities);
  connection c = amqp_new_connection();
  if (amqp_socket_open(amqp_tcp_socket_new(c), "localhost", 5672)) fail("cannot connect");
  must(amqp_login_with_properties(c, "/", 0, 131072, 0, &client, AMQP_SASL_METHOD_PLAIN, "guest",
                                  "guest"));
  amqp_channel_open(c, 1);
  did(c);
  return c;
}

static void queue(connection c, const char *name, bool durable, amqp_table_t arguments) {
  amqp_queue_declare(c, 1, bytes(name), 0, durable, !durable, 0, arguments);
  did(c);
}

static void exchange(connection c, const char *name, const char *type, amqp_table_t arguments) {
  amqp_exchange_declare(c, 1, bytes(name), bytes(type), 0, 0, 0, 0, arguments);
  did(c);
}

static void bind(connection c, const char *name, const char *source, const char *key) {
  amqp_queue_bind(c, 1, bytes(name), bytes(source), bytes(key), amqp_empty_table);
  did(c);
}

static void publish(connection c, const char *to, const char *key, amqp_bytes_t body,
                    const amqp_basic_properties_t *properties) {
  int status = amqp_basic_publish(c, 1, bytes(to), bytes(key), 0, 0, properties, body);
  if (status) fail("publish: %s", amqp_error_string2(status));
}

static void say(connection c, const char *to, const char *key, const char *body) {
  publish(c, to, key, bytes(body), NULL);
}

/* Takes one message; its number of messages left, or -1 when the queue is empty. */
static long take(connection c, const char *name, bool no_ack, amqp_message_t *message,
                 amqp_basic_get_ok_t *how) {
  amqp_maybe_release_buffers(c);
  amqp_rpc_reply_t reply = amqp_basic_get(c, 1, bytes(name), no_ack);
  must(reply);
  if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) return -1;
  amqp_basic_get_ok_t got = *(amqp_basic_get_ok_t *)reply.reply.decoded;
  if (how) *how = got;
  must(amqp_read_message(c, 1, message, 0));
  return got.message_count;
}

/* Everything that is in the queue, with blanks between. */
static const char *bodies(connection c, const char *name) {
  static char found[1024];
  amqp_message_t message;
  size_t length = 0;
  while (take(c, name, true, &message, NULL) >= 0) {
    length += snprintf(found + length, sizeof found - length, "%s%.*s", length ? " " : "",
                       (int)message.body.len, (char *)message.body.bytes);
    amqp_destroy_message(&message);
  }
  found[length] = 0;
  return found;
}

static void consume(connection c, const char *name, const char *tag, bool no_ack, amqp_table_t arguments) {
  amqp_basic_consume(c, 1, bytes(name), bytes(tag), 0, no_ack, 0, arguments);
  did(c);
}

static bool next_within(connection c, amqp_envelope_t *envelope, int milliseconds) {
  struct timeval timeout = {milliseconds / 1000, milliseconds % 1000 * 1000};
  amqp_maybe_release_buffers(c);
  amqp_rpc_reply_t reply = amqp_consume_message(c, envelope, &timeout, 0);
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
      reply.library_error == AMQP_STATUS_TIMEOUT)
    return false;
  must(reply);
  return true;
}

static amqp_envelope_t next(connection c) {
  amqp_envelope_t envelope;
  if (!next_within(c, &envelope, 10000)) fail("nothing more came");
  return envelope;
}

/* One frame that is no delivery, as a method. */
static amqp_method_t method(connection c, int seconds) {
  struct timeval timeout = {seconds, 0};
  amqp_frame_t frame;
  do {
    int status = amqp_simple_wait_frame_noblock(c, &frame, &timeout);
    if (status) fail("waiting for a frame: %s", amqp_error_string2(status));
  } while (frame.frame_type != AMQP_FRAME_METHOD);
  return frame.payload.method;
}

static const amqp_field_value_t *field(amqp_table_t table, const char *key) {
  for (int index = 0; index < table.num_entries; index++)
    if (table.entries[index].key.len == strlen(key) &&
        !memcmp(table.entries[index].key.bytes, key, strlen(key)))
      return &table.entries[index].value;
  return NULL;
}

static void equal_field(const char *expected, amqp_table_t table, const char *key) {
  const amqp_field_value_t *found = field(table, key);
  if (!found || found->value.bytes.len != strlen(expected) ||
      memcmp(found->value.bytes.bytes, expected, strlen(expected)))
    fail("header %s is not %s", key, expected);
}

static void short_sleep(int milliseconds) {
  struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&wait, NULL);
}

/* Waits for a message in a queue that nobody consumes; the first table of its x-death. */
static amqp_table_t death(connection c, const char *name) {
  static amqp_message_t message;
  for (int tries = 0; tries < 100; tries++) {
    if (take(c, name, true, &message, NULL) >= 0) {
      const amqp_field_value_t *deaths = field(message.properties.headers, "x-death");
      if (!deaths) fail("no x-death");
      return deaths->value.array.entries[0].value.table;
    }
    short_sleep(100);
  }
  fail("no dead letter");
  return amqp_empty_table;
}

static amqp_basic_properties_t persistent(void) {
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG};
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  return properties;
}

/* -- the scenarios -- */

static void connect_plain(connection c) {
  equal_field("RabbitMQ", *amqp_get_server_properties(c), "product");
  queue(c, "c.plain", false, amqp_empty_table);
}

static void connect_refused(connection unused) {
  (void)unused;
  connection c = amqp_new_connection();
  amqp_rpc_reply_t reply =
      try_login(c, amqp_tcp_socket_new(c), 5672, "wrong", AMQP_SASL_METHOD_PLAIN);
  equal_numbers(403, reply_code(reply));
  amqp_destroy_connection(c);
}

static void secure(amqp_sasl_method_enum method) {
  char path[3][512];
  const char *names[] = {"ca.pem", "client.pem", "client.key"};
  for (int index = 0; index < 3; index++)
    snprintf(path[index], sizeof path[index], "%s/%s", getenv("CERTIFICATES"), names[index]);
  connection c = amqp_new_connection();
  amqp_socket_t *socket = amqp_ssl_socket_new(c);
  amqp_ssl_socket_set_cacert(socket, path[0]);
  if (method == AMQP_SASL_METHOD_EXTERNAL) amqp_ssl_socket_set_key(socket, path[1], path[2]);
  amqp_ssl_socket_set_verify_peer(socket, 1);
  amqp_ssl_socket_set_verify_hostname(socket, 1);
  must(try_login(c, socket, 5671, "guest", method));
  amqp_channel_open(c, 1);
  did(c);
  queue(c, "c.secure", false, amqp_empty_table);
  say(c, "", "c.secure", "secret");
  equal("secret", bodies(c, "c.secure"));
  end(c);
}

static void connect_external(connection c) { (void)c, secure(AMQP_SASL_METHOD_EXTERNAL); }
static void connect_tls(connection c) { (void)c, secure(AMQP_SASL_METHOD_PLAIN); }

static void topology(connection c) {
  exchange(c, "c.exchange", "direct", amqp_empty_table);
  queue(c, "c.queue", true, amqp_empty_table);
  bind(c, "c.queue", "c.exchange", "key");
  say(c, "c.exchange", "key", "one");
  amqp_queue_unbind(c, 1, bytes("c.queue"), bytes("c.exchange"), bytes("key"), amqp_empty_table);
  did(c);
  say(c, "c.exchange", "key", "two");
  equal("one", bodies(c, "c.queue"));
  amqp_queue_delete(c, 1, bytes("c.queue"), 0, 0);
  did(c);
  amqp_exchange_delete(c, 1, bytes("c.exchange"), 0);
  did(c);
  amqp_queue_declare(c, 1, bytes("c.queue"), 1, 0, 0, 0, amqp_empty_table);
  equal_numbers(404, reply_code(amqp_get_rpc_reply(c)));
  amqp_channel_open(c, 2);
  did(c);
}

static void inequivalent(connection c) {
  queue(c, "c.kind", false, amqp_empty_table);
  amqp_queue_declare(c, 1, bytes("c.kind"), 0, 0, 1, 0, TABLE(int_entry("x-max-length", 1)));
  equal_numbers(406, reply_code(amqp_get_rpc_reply(c)));
}

static void exchange_direct(connection c) {
  exchange(c, "c.direct", "direct", amqp_empty_table);
  queue(c, "c.red", false, amqp_empty_table);
  queue(c, "c.blue", false, amqp_empty_table);
  bind(c, "c.red", "c.direct", "red");
  bind(c, "c.blue", "c.direct", "blue");
  const char *keys[] = {"red", "blue", "green", "red"};
  for (int index = 0; index < 4; index++) say(c, "c.direct", keys[index], keys[index]);
  equal("red red", bodies(c, "c.red"));
  equal("blue", bodies(c, "c.blue"));
}

static void exchange_fanout(connection c) {
  exchange(c, "c.fanout", "fanout", amqp_empty_table);
  const char *names[] = {"c.one", "c.two", "c.three"};
  for (int index = 0; index < 3; index++) {
    queue(c, names[index], false, amqp_empty_table);
    bind(c, names[index], "c.fanout", "");
  }
  say(c, "c.fanout", "whatever", "all");
  for (int index = 0; index < 3; index++) equal("all", bodies(c, names[index]));
}

static void exchange_topic(connection c) {
  exchange(c, "c.topic", "topic", amqp_empty_table);
  queue(c, "c.matched", false, amqp_empty_table);
  bind(c, "c.matched", "c.topic", "*.red.#");
  const char *keys[] = {"a.red", "a.blue", "b.red.x.y", "red"};
  for (int index = 0; index < 4; index++) say(c, "c.topic", keys[index], keys[index]);
  equal("a.red b.red.x.y", bodies(c, "c.matched"));
}

static void exchange_headers(connection c) {
  exchange(c, "c.headers", "headers", amqp_empty_table);
  queue(c, "c.headed", false, amqp_empty_table);
  amqp_queue_bind(c, 1, bytes("c.headed"), bytes("c.headers"), bytes(""),
                  TABLE(text_entry("x-match", "all"), text_entry("colour", "red"), int_entry("size", 3)));
  did(c);
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG};
  properties.headers = TABLE(text_entry("colour", "red"), int_entry("size", 3), int_entry("more", 1));
  publish(c, "c.headers", "", bytes("all"), &properties);
  properties.headers = TABLE(text_entry("colour", "red"));
  publish(c, "c.headers", "", bytes("some"), &properties);
  equal("all", bodies(c, "c.headed"));
}

static void exchange_binding(connection c) {
  exchange(c, "c.inner", "fanout", amqp_empty_table);
  exchange(c, "c.outer", "direct", amqp_empty_table);
  amqp_exchange_bind(c, 1, bytes("c.inner"), bytes("c.outer"), bytes("through"), amqp_empty_table);
  did(c);
  queue(c, "c.reached", false, amqp_empty_table);
  bind(c, "c.reached", "c.inner", "");
  say(c, "c.outer", "through", "in");
  say(c, "c.outer", "past", "out");
  equal("in", bodies(c, "c.reached"));
}

static void alternate_exchange(connection c) {
  exchange(c, "c.other", "fanout", amqp_empty_table);
  exchange(c, "c.main", "direct", TABLE(text_entry("alternate-exchange", "c.other")));
  queue(c, "c.caught", false, amqp_empty_table);
  bind(c, "c.caught", "c.other", "");
  say(c, "c.main", "nobody", "caught");
  equal("caught", bodies(c, "c.caught"));
}

static void properties(connection c) {
  amqp_basic_properties_t sent = {._flags = 0xfff8};
  sent.content_type = bytes("application/json");
  sent.content_encoding = bytes("utf-8");
  sent.headers = TABLE(text_entry("text", "größe"), int_entry("int", 42), bool_entry("yes", true));
  sent.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  sent.priority = 3;
  sent.correlation_id = bytes("c1");
  sent.reply_to = bytes("answers");
  sent.expiration = bytes("60000");
  sent.message_id = bytes("m1");
  sent.timestamp = 1700000000;
  sent.type = bytes("order");
  sent.user_id = bytes("guest");
  sent.app_id = bytes("c");
  queue(c, "c.properties", false, amqp_empty_table);
  publish(c, "", "c.properties", bytes("{}"), &sent);
  amqp_message_t message;
  equal_numbers(0, take(c, "c.properties", true, &message, NULL));
  amqp_basic_properties_t seen = message.properties;
  equal_numbers(sent._flags, seen._flags);
  equal_field("größe", seen.headers, "text");
  equal_numbers(42, field(seen.headers, "int")->value.i32);
  equal_numbers(1, field(seen.headers, "yes")->value.boolean);
  equal_numbers(3, seen.priority);
  equal_numbers(1700000000, (long)seen.timestamp);
  const amqp_bytes_t pairs[][2] = {
      {sent.content_type, seen.content_type}, {sent.content_encoding, seen.content_encoding},
      {sent.correlation_id, seen.correlation_id}, {sent.reply_to, seen.reply_to},
      {sent.expiration, seen.expiration}, {sent.message_id, seen.message_id},
      {sent.type, seen.type}, {sent.user_id, seen.user_id}, {sent.app_id, seen.app_id}};
  for (size_t index = 0; index < sizeof pairs / sizeof *pairs; index++)
    equal_numbers(1, same(pairs[index][0], pairs[index][1]));
  amqp_destroy_message(&message);
}

static void get(connection c) {
  queue(c, "c.got", false, amqp_empty_table);
  say(c, "", "c.got", "1");
  say(c, "", "c.got", "2");
  amqp_message_t message;
  amqp_basic_get_ok_t how;
  equal_numbers(1, take(c, "c.got", false, &message, &how));
  equal_numbers('1', *(char *)message.body.bytes);
  amqp_destroy_message(&message);
  amqp_basic_ack(c, 1, how.delivery_tag, 0);
  equal("2", bodies(c, "c.got"));
}

static void in_order(connection c, const char *name, int count) {
  char body[16];
  for (int number = 0; number < count; number++) {
    snprintf(body, sizeof body, "%d", number);
    say(c, "", name, body);
  }
  amqp_basic_qos(c, 1, 0, 200, 0);
  did(c);
  consume(c, name, "c", false, amqp_empty_table);
  for (int number = 0; number < count; number++) {
    amqp_envelope_t envelope = next(c);
    snprintf(body, sizeof body, "%.*s", (int)envelope.message.body.len,
             (char *)envelope.message.body.bytes);
    equal_numbers(number, atoi(body));
    amqp_basic_ack(c, 1, envelope.delivery_tag, 0);
    amqp_destroy_envelope(&envelope);
  }
  amqp_basic_cancel(c, 1, bytes("c"));
  did(c);
}

static void consume_ack(connection c) {
  queue(c, "c.consumed", true, amqp_empty_table);
  in_order(c, "c.consumed", 100);
  amqp_queue_delete_ok_t *deleted = amqp_queue_delete(c, 1, bytes("c.consumed"), 0, 0);
  did(c);
  equal_numbers(0, deleted->message_count);
}

static void requeue(connection c) {
  queue(c, "c.requeued", false, amqp_empty_table);
  say(c, "", "c.requeued", "again");
  amqp_message_t message;
  amqp_basic_get_ok_t how;
  take(c, "c.requeued", false, &message, &how);
  equal_numbers(0, how.redelivered);
  amqp_basic_nack(c, 1, how.delivery_tag, 0, 1);
  take(c, "c.requeued", false, &message, &how);
  equal_numbers(1, how.redelivered);
  amqp_basic_reject(c, 1, how.delivery_tag, 0);
  equal("", bodies(c, "c.requeued"));
}

static void confirms(connection c) {
  queue(c, "c.confirmed", true, amqp_empty_table);
  amqp_confirm_select(c, 1);
  did(c);
  amqp_basic_properties_t kept = persistent();
  for (int number = 0; number < 1000; number++) publish(c, "", "c.confirmed", bytes("x"), &kept);
  for (uint64_t confirmed = 0; confirmed < 1000;) {
    amqp_method_t said = method(c, 10);
    if (said.id != AMQP_BASIC_ACK_METHOD) fail("method %x instead of an ack", said.id);
    amqp_basic_ack_t *ack = said.decoded;
    confirmed = ack->multiple ? ack->delivery_tag : confirmed + 1;
  }
  amqp_queue_delete_ok_t *deleted = amqp_queue_delete(c, 1, bytes("c.confirmed"), 0, 0);
  did(c);
  equal_numbers(1000, deleted->message_count);
}

static void mandatory_return(connection c) {
  amqp_basic_publish(c, 1, bytes(""), bytes("c.nowhere"), 1, 0, NULL, bytes("back"));
  amqp_method_t said = method(c, 10);
  equal_numbers(AMQP_BASIC_RETURN_METHOD, said.id);
  equal_numbers(312, ((amqp_basic_return_t *)said.decoded)->reply_code);
  amqp_message_t message;
  must(amqp_read_message(c, 1, &message, 0));
  equal_numbers(1, same(bytes("back"), message.body));
  amqp_destroy_message(&message);
}

static void prefetch(connection c) {
  queue(c, "c.prefetched", false, amqp_empty_table);
  for (int number = 0; number < 20; number++) say(c, "", "c.prefetched", "x");
  amqp_basic_qos(c, 1, 0, 5, 0);
  did(c);
  consume(c, "c.prefetched", "c", false, amqp_empty_table);
  amqp_envelope_t envelope;
  for (int number = 0; number < 5; number++) envelope = next(c);
  amqp_envelope_t sixth;
  equal_numbers(false, next_within(c, &sixth, 300));
  amqp_basic_ack(c, 1, envelope.delivery_tag, 1);
  next(c);
}

static void ttl(connection c) {
  queue(c, "c.plain", false, amqp_empty_table);
  queue(c, "c.brief", false, TABLE(int_entry("x-message-ttl", 50)));
  amqp_basic_properties_t expiring = {._flags = AMQP_BASIC_EXPIRATION_FLAG};
  expiring.expiration = bytes("50");
  publish(c, "", "c.plain", bytes("gone"), &expiring);
  say(c, "", "c.plain", "stays");
  say(c, "", "c.brief", "gone");
  short_sleep(400);
  equal("stays", bodies(c, "c.plain"));
  equal("", bodies(c, "c.brief"));
}

static void dead_letter(connection c) {
  exchange(c, "c.dlx", "fanout", amqp_empty_table);
  queue(c, "c.dead", false, amqp_empty_table);
  bind(c, "c.dead", "c.dlx", "");
  queue(c, "c.alive", false, TABLE(text_entry("x-dead-letter-exchange", "c.dlx")));
  say(c, "", "c.alive", "bad");
  amqp_message_t message;
  amqp_basic_get_ok_t how;
  take(c, "c.alive", false, &message, &how);
  amqp_basic_reject(c, 1, how.delivery_tag, 0);
  amqp_table_t first = death(c, "c.dead");
  equal_field("c.alive", first, "queue");
  equal_field("rejected", first, "reason");
  equal_numbers(1, (long)field(first, "count")->value.i64);
}

static void priority(connection c) {
  queue(c, "c.priority", false, TABLE(int_entry("x-max-priority", 5)));
  const char *all[] = {"10", "51", "02", "53", "34"};
  for (int index = 0; index < 5; index++) {
    amqp_basic_properties_t level = {._flags = AMQP_BASIC_PRIORITY_FLAG};
    level.priority = all[index][0] - '0';
    publish(c, "", "c.priority", bytes(all[index]), &level);
  }
  equal("51 53 34 10 02", bodies(c, "c.priority"));
}

static void max_length(connection c) {
  queue(c, "c.full", false,
        TABLE(int_entry("x-max-length", 3), text_entry("x-overflow", "reject-publish")));
  amqp_confirm_select(c, 1);
  did(c);
  const char *all[] = {"0", "1", "2", "3"};
  for (int number = 0; number < 4; number++) {
    say(c, "", "c.full", all[number]);
    amqp_method_number_t expected = number < 3 ? AMQP_BASIC_ACK_METHOD : AMQP_BASIC_NACK_METHOD;
    equal_numbers(expected, method(c, 10).id);
  }
  equal("0 1 2", bodies(c, "c.full"));
}

static void quorum(connection c) {
  exchange(c, "c.dlx", "fanout", amqp_empty_table);
  queue(c, "c.dead", false, amqp_empty_table);
  bind(c, "c.dead", "c.dlx", "");
  queue(c, "c.quorum", true,
        TABLE(text_entry("x-queue-type", "quorum"), int_entry("x-delivery-limit", 2),
              text_entry("x-dead-letter-exchange", "c.dlx")));
  amqp_basic_properties_t kept = persistent();
  publish(c, "", "c.quorum", bytes("poison"), &kept);
  consume(c, "c.quorum", "c", false, amqp_empty_table);
  for (int number = 0; number < 3; number++) {
    amqp_envelope_t envelope = next(c);
    const amqp_field_value_t *count =
        field(envelope.message.properties.headers, "x-delivery-count");
    bool has = envelope.message.properties._flags & AMQP_BASIC_HEADERS_FLAG && count;
    equal_numbers(number, has ? (long)count->value.i64 : 0);
    amqp_basic_reject(c, 1, envelope.delivery_tag, 1);
    amqp_destroy_envelope(&envelope);
  }
  equal_field("delivery_limit", death(c, "c.dead"), "reason");
  amqp_queue_delete(c, 1, bytes("c.quorum"), 0, 0);
  did(c);
}

static void stream(connection c) {
  queue(c, "c.stream", true, TABLE(text_entry("x-queue-type", "stream")));
  amqp_confirm_select(c, 1);
  did(c);
  const char *all[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  for (int number = 0; number < 10; number++) {
    say(c, "", "c.stream", all[number]);
    equal_numbers(AMQP_BASIC_ACK_METHOD, method(c, 10).id);
  }
  amqp_basic_qos(c, 1, 0, 100, 0);
  did(c);
  for (int from = 5; from >= 0; from -= 5) {
    consume(c, "c.stream", "c", false,
            from ? TABLE(int_entry("x-stream-offset", from))
                 : TABLE(text_entry("x-stream-offset", "first")));
    for (int number = from; number < 10; number++) {
      amqp_envelope_t envelope = next(c);
      amqp_table_t headers = envelope.message.properties.headers;
      equal_numbers(number, (long)field(headers, "x-stream-offset")->value.i64);
      equal_numbers('0' + number, *(char *)envelope.message.body.bytes);
      amqp_basic_ack(c, 1, envelope.delivery_tag, 0);
      amqp_destroy_envelope(&envelope);
    }
    amqp_basic_cancel(c, 1, bytes("c"));
    did(c);
  }
  amqp_queue_delete(c, 1, bytes("c.stream"), 0, 0);
  did(c);
}

static void rpc(connection c) {
  queue(c, "c.requests", false, amqp_empty_table);
  consume(c, "c.requests", "requests", true, amqp_empty_table);
  consume(c, "amq.rabbitmq.reply-to", "answers", true, amqp_empty_table);
  amqp_basic_properties_t ask = {._flags =
                                     AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG};
  ask.reply_to = bytes("amq.rabbitmq.reply-to");
  ask.correlation_id = bytes("7");
  publish(c, "", "c.requests", bytes("hello"), &ask);
  amqp_envelope_t request = next(c);
  amqp_basic_properties_t reply = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG};
  reply.correlation_id = request.message.properties.correlation_id;
  amqp_basic_publish(c, 1, bytes(""), request.message.properties.reply_to, 0, 0, &reply, bytes("HELLO"));
  amqp_envelope_t answer = next(c);
  equal_numbers(1, same(bytes("HELLO"), answer.message.body));
  equal_numbers(1, same(bytes("7"), answer.message.properties.correlation_id));
}

static void single_active(connection c) {
  queue(c, "c.single", false, TABLE(bool_entry("x-single-active-consumer", true)));
  consume(c, "c.single", "first", true, amqp_empty_table);
  consume(c, "c.single", "second", true, amqp_empty_table);
  for (int number = 0; number < 2; number++) {
    say(c, "", "c.single", "x");
    equal_numbers(1, same(bytes("first"), next(c).consumer_tag));
  }
  amqp_basic_cancel(c, 1, bytes("first"));
  did(c);
  say(c, "", "c.single", "x");
  equal_numbers(1, same(bytes("second"), next(c).consumer_tag));
}

static void exclusive(connection c) {
  connection other = connect_local();
  queue(other, "c.mine", false, amqp_empty_table);
  amqp_queue_declare(c, 1, bytes("c.mine"), 1, 0, 0, 0, amqp_empty_table);
  equal_numbers(405, reply_code(amqp_get_rpc_reply(c)));
  end(other);
}

static void tx(connection c) {
  queue(c, "c.tx", false, amqp_empty_table);
  amqp_tx_select(c, 1);
  did(c);
  say(c, "", "c.tx", "no");
  amqp_tx_rollback(c, 1);
  did(c);
  say(c, "", "c.tx", "yes");
  amqp_tx_commit(c, 1);
  did(c);
  equal("yes", bodies(c, "c.tx"));
}

static void large_body(connection c) {
  queue(c, "c.large", false, amqp_empty_table);
  amqp_bytes_t body = amqp_bytes_malloc(8 << 20);
  for (size_t index = 0; index < body.len; index++)
    ((unsigned char *)body.bytes)[index] = (unsigned char)(index * 2654435761u >> 13);
  publish(c, "", "c.large", body, NULL);
  amqp_message_t message;
  take(c, "c.large", true, &message, NULL);
  equal_numbers(1, same(body, message.body));
  amqp_destroy_message(&message);
  amqp_bytes_free(body);
}

static void order(connection c) {
  queue(c, "c.order", false, amqp_empty_table);
  in_order(c, "c.order", 10000);
}

static void consumer_cancel(connection c) {
  queue(c, "c.cancelled", true, amqp_empty_table);
  consume(c, "c.cancelled", "mine", false, amqp_empty_table);
  connection other = connect_local();
  amqp_queue_delete(other, 1, bytes("c.cancelled"), 0, 0);
  did(other);
  amqp_method_t said = method(c, 10);
  equal_numbers(AMQP_BASIC_CANCEL_METHOD, said.id);
  equal_numbers(1, same(bytes("mine"), ((amqp_basic_cancel_t *)said.decoded)->consumer_tag));
  end(other);
}

static void blocked(connection c) {
  control("block");
  amqp_method_t said = {0};
  struct timeval brief = {0, 300000};
  for (int tries = 0; tries < 100 && said.id != AMQP_CONNECTION_BLOCKED_METHOD; tries++) {
    amqp_frame_t frame;
    say(c, "", "c.nowhere", "x");
    if (!amqp_simple_wait_frame_noblock(c, &frame, &brief)) said = frame.payload.method;
  }
  control("unblock");
  equal_numbers(AMQP_CONNECTION_BLOCKED_METHOD, said.id);
  equal_numbers(AMQP_CONNECTION_UNBLOCKED_METHOD, method(c, 30).id);
}

static connection consuming(void) {
  connection c = connect_local();
  amqp_exchange_declare(c, 1, bytes("c.again"), bytes("direct"), 0, 1, 0, 0, amqp_empty_table);
  did(c);
  queue(c, "c.again", true, amqp_empty_table);
  bind(c, "c.again", "c.again", "key");
  consume(c, "c.again", "c", true, amqp_empty_table);
  return c;
}

static void reconnect(connection unused) {
  (void)unused;
  connection c = consuming();
  say(c, "c.again", "key", "before");
  equal_numbers(1, same(bytes("before"), next(c).message.body));
  control("restart");
  struct timeval timeout = {10, 0};
  amqp_envelope_t envelope;
  amqp_rpc_reply_t reply = amqp_consume_message(c, &envelope, &timeout, 0);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) fail("a delivery from a broker that stopped");
  amqp_destroy_connection(c);
  c = consuming();
  say(c, "c.again", "key", "after");
  equal_numbers(1, same(bytes("after"), next(c).message.body));
  end(c);
}

/* -- the list -- */

#define SCENARIO(function, name) {name, function}

static const struct {
  const char *name;
  void (*run)(connection);
} scenarios[] = {
    SCENARIO(connect_plain, "connect-plain"), SCENARIO(connect_external, "connect-external"),
    SCENARIO(connect_refused, "connect-refused"), SCENARIO(connect_tls, "connect-tls"),
    SCENARIO(topology, "topology"), SCENARIO(inequivalent, "inequivalent"),
    SCENARIO(exchange_direct, "exchange-direct"), SCENARIO(exchange_fanout, "exchange-fanout"),
    SCENARIO(exchange_topic, "exchange-topic"), SCENARIO(exchange_headers, "exchange-headers"),
    SCENARIO(exchange_binding, "exchange-binding"),
    SCENARIO(alternate_exchange, "alternate-exchange"), SCENARIO(properties, "properties"),
    SCENARIO(get, "get"), SCENARIO(consume_ack, "consume-ack"), SCENARIO(requeue, "requeue"),
    SCENARIO(confirms, "confirms"), SCENARIO(mandatory_return, "mandatory-return"),
    SCENARIO(prefetch, "prefetch"), SCENARIO(ttl, "ttl"), SCENARIO(dead_letter, "dead-letter"),
    SCENARIO(priority, "priority"), SCENARIO(max_length, "max-length"),
    SCENARIO(quorum, "quorum"), SCENARIO(stream, "stream"), SCENARIO(rpc, "rpc"),
    SCENARIO(consumer_cancel, "consumer-cancel"), SCENARIO(single_active, "single-active"),
    SCENARIO(exclusive, "exclusive"), SCENARIO(tx, "tx"), SCENARIO(large_body, "large-body"),
    SCENARIO(order, "order"), SCENARIO(blocked, "blocked"), SCENARIO(reconnect, "reconnect"),
};

static bool wanted(const char *name, int count, char **names) {
  for (int index = 0; index < count; index++)
    if (!strcmp(name, names[index])) return true;
  return count == 0;
}

int main(int count, char **names) {
  for (size_t index = 0; index < sizeof scenarios / sizeof *scenarios; index++) {
    if (!wanted(scenarios[index].name, count - 1, names + 1)) continue;
    if (setjmp(scenario_end)) {
      printf("not ok %s - %s\n", scenarios[index].name, problem);
    } else {
      connection c = connect_local();
      scenarios[index].run(c);
      end(c);
      printf("ok %s\n", scenarios[index].name);
    }
    fflush(stdout);
  }
  return 0;
}
