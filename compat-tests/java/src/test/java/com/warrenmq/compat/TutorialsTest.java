package com.warrenmq.compat;

import static com.warrenmq.compat.Broker.PATIENCE;
import static com.warrenmq.compat.Broker.bytes;
import static com.warrenmq.compat.Broker.text;
import static com.warrenmq.compat.Broker.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.MessageProperties;
import com.warrenmq.compat.Broker.Inbox;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The seven RabbitMQ tutorials with the Java client, and what comes out of them. */
class TutorialsTest {
  private Broker broker;

  @BeforeEach
  void open() throws Exception {
    broker = new Broker();
  }

  @AfterEach
  void close() throws Exception {
    broker.close();
  }

  @Test
  void helloWorld() throws Exception {
    String queue = unique("hello");
    Channel sender = broker.open();
    sender.queueDeclare(queue, false, false, false, null);
    broker.afterwards(channel -> channel.queueDelete(queue));
    sender.basicPublish("", queue, null, bytes("Hello World!"));

    Channel receiver = broker.open();
    receiver.queueDeclare(queue, false, false, false, null);
    assertEquals(List.of("Hello World!"), Inbox.of(receiver, queue, true).bodies(1));
  }

  private Inbox worker(String queue) throws Exception {
    Channel channel = broker.open();
    channel.basicQos(1);
    return Inbox.of(channel, queue, false);
  }

  @Test
  void workQueues() throws Exception {
    String queue = unique("task_queue");
    Channel tasks = broker.open();
    tasks.queueDeclare(queue, true, false, false, null);
    broker.afterwards(channel -> channel.queueDelete(queue));
    Inbox slow = worker(queue);
    tasks.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, bytes("a long task"));
    assertEquals("a long task", text(slow.next().getBody()));

    Inbox quick = worker(queue);
    for (int i = 0; i < 10; i++) {
      tasks.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, bytes("task " + i));
    }
    for (int i = 0; i < 10; i++) {
      Delivery task = quick.next();
      assertEquals("task " + i, text(task.getBody()));
      assertEquals(2, task.getProperties().getDeliveryMode());
      quick.channel.basicAck(task.getEnvelope().getDeliveryTag(), false);
    }
    assertEquals(0, slow.waiting(), "the busy worker got another task");
    slow.channel.close();
    Delivery again = quick.next();
    assertEquals("a long task", text(again.getBody()));
    assertTrue(again.getEnvelope().isRedeliver());
    quick.channel.basicAck(again.getEnvelope().getDeliveryTag(), false);
  }

  private Channel emitter(String exchange, String type) throws Exception {
    Channel channel = broker.open();
    channel.exchangeDeclare(exchange, type);
    broker.afterwards(deleting -> deleting.exchangeDelete(exchange));
    return channel;
  }

  @Test
  void publishSubscribe() throws Exception {
    String exchange = unique("logs");
    Channel channel = emitter(exchange, "fanout");
    channel.basicPublish(exchange, "", null, bytes("nobody listens"));
    Inbox one = broker.subscribe(exchange, "");
    Inbox two = broker.subscribe(exchange, "");
    channel.basicPublish(exchange, "", null, bytes("info: Hello World!"));
    channel.basicPublish(exchange, "", null, bytes("warning"));
    assertEquals(List.of("info: Hello World!", "warning"), one.bodies(2));
    assertEquals(List.of("info: Hello World!", "warning"), two.bodies(2));
  }

  @Test
  void routing() throws Exception {
    String exchange = unique("direct_logs");
    Channel channel = emitter(exchange, "direct");
    Inbox errors = broker.subscribe(exchange, "error", "end");
    Inbox all = broker.subscribe(exchange, "info", "warning", "error", "end");
    for (String severity : List.of("info", "debug", "error", "warning", "end")) {
      channel.basicPublish(exchange, severity, null, bytes(severity));
    }
    assertEquals(List.of("error", "end"), errors.bodies(2));
    assertEquals(List.of("info", "error", "warning", "end"), all.bodies(4));
  }

  @Test
  void topics() throws Exception {
    String exchange = unique("topic_logs");
    Channel channel = emitter(exchange, "topic");
    List<String> keys = List.of("kern.critical", "kern.info", "cron.critical", "cron.info", "kern", "kern.a.b", "end");
    Map<String, List<String>> expected = Map.of(
        "#", keys,
        "kern.*", List.of("kern.critical", "kern.info", "end"),
        "kern.#", List.of("kern.critical", "kern.info", "kern", "kern.a.b", "end"),
        "*.critical", List.of("kern.critical", "cron.critical", "end"));
    Map<String, Inbox> inboxes = new ConcurrentHashMap<>();
    for (String pattern : expected.keySet()) {
      inboxes.put(pattern, broker.subscribe(exchange, pattern, "end"));
    }
    for (String key : keys) {
      channel.basicPublish(exchange, key, null, bytes(key));
    }
    for (Map.Entry<String, List<String>> entry : expected.entrySet()) {
      assertEquals(entry.getValue(), inboxes.get(entry.getKey()).bodies(entry.getValue().size()), entry.getKey());
    }
  }

  private static int fib(int n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
  }

  /** Answers fib(n) on a queue of its own and returns that queue's name. */
  private String startFibonacciServer() throws Exception {
    Channel server = broker.open();
    String requests = server.queueDeclare().getQueue();
    server.basicQos(1);
    server.basicConsume(requests, false, (tag, request) -> {
      BasicProperties properties = new BasicProperties.Builder()
          .correlationId(request.getProperties().getCorrelationId()).build();
      String answer = String.valueOf(fib(Integer.parseInt(text(request.getBody()))));
      server.basicPublish("", request.getProperties().getReplyTo(), properties, bytes(answer));
      server.basicAck(request.getEnvelope().getDeliveryTag(), false);
    }, tag -> {});
    return requests;
  }

  private void callFibonacci(Channel client, String requests, String replies) throws Exception {
    BlockingQueue<Delivery> answers = new LinkedBlockingQueue<>();
    client.basicConsume(replies, true, (tag, delivery) -> answers.add(delivery), tag -> {});
    for (int n = 0; n < 15; n++) {
      String id = UUID.randomUUID().toString();
      client.basicPublish("", requests, new BasicProperties.Builder().correlationId(id).replyTo(replies).build(), bytes(n));
      Delivery answer = answers.poll(PATIENCE, TimeUnit.SECONDS);
      assertNotNull(answer, "no answer to fib(" + n + ")");
      assertEquals(id, answer.getProperties().getCorrelationId());
      assertEquals(String.valueOf(fib(n)), text(answer.getBody()));
    }
  }

  @Test
  void rpc() throws Exception {
    Channel client = broker.open();
    callFibonacci(client, startFibonacciServer(), client.queueDeclare().getQueue());
  }

  @Test
  void rpcWithDirectReplyTo() throws Exception {
    callFibonacci(broker.open(), startFibonacciServer(), "amq.rabbitmq.reply-to");
  }

  private static final int MESSAGES = 3000;

  private void wantMessages(Channel channel, String queue, int count) throws Exception {
    assertEquals(count, channel.queueDeclarePassive(queue).getMessageCount(), "confirmed messages in the queue");
  }

  @Test
  void confirmsIndividually() throws Exception {
    Channel channel = broker.open();
    String queue = channel.queueDeclare().getQueue();
    channel.confirmSelect();
    for (int i = 0; i < 300; i++) {
      channel.basicPublish("", queue, null, bytes(i));
      channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(PATIENCE));
    }
    wantMessages(channel, queue, 300);
  }

  @Test
  void confirmsInBatches() throws Exception {
    Channel channel = broker.open();
    String queue = channel.queueDeclare().getQueue();
    channel.confirmSelect();
    for (int i = 1; i <= MESSAGES; i++) {
      channel.basicPublish("", queue, null, bytes(i));
      if (i % 100 == 0) {
        channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(PATIENCE));
      }
    }
    wantMessages(channel, queue, MESSAGES);
  }

  @Test
  void confirmsAsynchronously() throws Exception {
    Channel channel = broker.open();
    String queue = channel.queueDeclare().getQueue();
    channel.confirmSelect();
    ConcurrentNavigableMap<Long, String> outstanding = new ConcurrentSkipListMap<>();
    List<String> refused = new CopyOnWriteArrayList<>();
    channel.addConfirmListener((tag, multiple) -> {
      if (multiple) {
        outstanding.headMap(tag, true).clear();
      } else {
        outstanding.remove(tag);
      }
    }, (tag, multiple) -> refused.add(outstanding.get(tag)));
    for (int i = 0; i < MESSAGES; i++) {
      outstanding.put(channel.getNextPublishSeqNo(), String.valueOf(i));
      channel.basicPublish("", queue, null, bytes(i));
    }
    long deadline = System.nanoTime() + Duration.ofSeconds(PATIENCE).toNanos();
    while (!outstanding.isEmpty() && System.nanoTime() < deadline) {
      Thread.sleep(10);
    }
    assertEquals(0, outstanding.size(), "messages without a confirm");
    assertEquals(List.of(), refused);
    wantMessages(channel, queue, MESSAGES);
  }
}
