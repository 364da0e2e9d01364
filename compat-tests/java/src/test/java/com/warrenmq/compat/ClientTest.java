package com.warrenmq.compat;

import static com.warrenmq.compat.Broker.PATIENCE;
import static com.warrenmq.compat.Broker.bytes;
import static com.warrenmq.compat.Broker.text;
import static com.warrenmq.compat.Broker.unique;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.Return;
import com.rabbitmq.client.ShutdownSignalException;
import com.warrenmq.compat.Broker.Inbox;
import java.io.IOException;
import java.net.Socket;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What users of the Java client see beyond the tutorials: properties, returns, refusals, recovery. */
class ClientTest {
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
  void propertiesAndHeadersArrive() throws Exception {
    Channel channel = broker.open();
    String queue = channel.queueDeclare().getQueue();
    Date time = new Date(1_700_000_000_000L);
    Map<String, Object> headers = Map.of(
        "int", 42, "long", 1L << 60, "short", (short) -3, "double", 1.5, "bool", true, "time", time,
        "list", List.of(1, 2L), "table", Map.of("n", 1));
    BasicProperties sent = new BasicProperties.Builder()
        .contentType("application/json").contentEncoding("gzip").headers(headers).deliveryMode(2).priority(5)
        .correlationId("c").replyTo("r").expiration("600000").messageId("m").timestamp(time).type("t").appId("a").build();
    byte[] body = new byte[1 << 20];
    new Random(1).nextBytes(body);
    channel.basicPublish("", queue, sent, body);
    GetResponse got = channel.basicGet(queue, true);
    assertArrayEquals(body, got.getBody());
    assertEquals(sent, got.getProps());
    channel.basicPublish("", queue, new BasicProperties.Builder().headers(Map.of("text", "grüße")).build(), null);
    LongString text = (LongString) channel.basicGet(queue, true).getProps().getHeaders().get("text");
    assertEquals("grüße", text.toString());
  }

  @Test
  void mandatoryMessagesComeBack() throws Exception {
    Channel channel = broker.open();
    BlockingQueue<Return> returns = new LinkedBlockingQueue<>();
    channel.addReturnListener(returns::add);
    channel.basicPublish("", unique("missing"), true, null, bytes("lost"));
    Return returned = returns.poll(PATIENCE, TimeUnit.SECONDS);
    assertEquals(312, returned.getReplyCode());
    assertEquals("NO_ROUTE", returned.getReplyText());
    assertEquals("lost", text(returned.getBody()));
  }

  @Test
  void refusalsHaveCodeAndWords() throws Exception {
    Connection connection = broker.connect();
    Channel channel = connection.createChannel();
    String missing = unique("missing");
    IOException refused = assertThrows(IOException.class, () -> channel.queueDeclarePassive(missing));
    ShutdownSignalException reason = (ShutdownSignalException) refused.getCause();
    assertTrue(reason.getMessage().contains("reply-code=404"), reason.getMessage());
    assertTrue(reason.getMessage().contains("NOT_FOUND - no queue '" + missing + "' in vhost"), reason.getMessage());
    assertTrue(connection.createChannel().isOpen());
  }

  @Test
  void aRefusedPublishIsNacked() throws Exception {
    Channel channel = broker.open();
    channel.confirmSelect();
    String queue = channel.queueDeclare("", false, true, false,
        Map.of("x-max-length", 1, "x-overflow", "reject-publish")).getQueue();
    channel.basicPublish("", queue, null, bytes("fits"));
    assertTrue(channel.waitForConfirms(TimeUnit.SECONDS.toMillis(PATIENCE)));
    channel.basicPublish("", queue, null, bytes("does not fit"));
    assertEquals(false, channel.waitForConfirms(TimeUnit.SECONDS.toMillis(PATIENCE)));
  }

  @Test
  void consumersLearnThatTheirQueueWent() throws Exception {
    Channel channel = broker.open();
    String queue = unique("doomed");
    channel.queueDeclare(queue, true, false, false, null);
    BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
    channel.basicConsume(queue, true, "tag", (tag, delivery) -> {}, cancelled::add);
    broker.open().queueDelete(queue);
    assertEquals("tag", cancelled.poll(PATIENCE, TimeUnit.SECONDS));
  }

  @Test
  void automaticRecoveryRestoresQueuesAndConsumers() throws Exception {
    BlockingQueue<Socket> sockets = new LinkedBlockingQueue<>();
    Connection connection = broker.connectRecovering(sockets::add);
    CountDownLatch recovered = new CountDownLatch(1);
    ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
      @Override
      public void handleRecovery(Recoverable recoverable) {
        recovered.countDown();
      }

      @Override
      public void handleRecoveryStarted(Recoverable recoverable) {}
    });
    Channel channel = connection.createChannel();
    String exchange = unique("recovered");
    channel.exchangeDeclare(exchange, "fanout", false, true, null);
    String queue = channel.queueDeclare().getQueue();
    channel.queueBind(queue, exchange, "");
    Inbox inbox = Inbox.of(channel, queue, true);
    channel.basicPublish(exchange, "", null, bytes("before"));
    assertEquals(List.of("before"), inbox.bodies(1));

    sockets.remove().close();
    assertTrue(recovered.await(PATIENCE, TimeUnit.SECONDS), "the connection did not come back");
    channel.basicPublish(exchange, "", null, bytes("after"));
    assertEquals(List.of("after"), inbox.bodies(1));
  }
}
