package com.warrenmq.compat;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.SocketConfigurators;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** What every test needs of the broker at AMQP_URL; closes the connections it opened and deletes what it was told to. */
final class Broker implements AutoCloseable {
  /** Seconds that bound every wait for something that must happen. */
  static final long PATIENCE = 20;

  private static final String RUN = UUID.randomUUID().toString();

  interface Deletion {
    void run(Channel channel) throws Exception;
  }

  private final ConnectionFactory factory = new ConnectionFactory();
  private final List<Connection> connections = new ArrayList<>();
  private final Deque<Deletion> deletions = new ArrayDeque<>();

  Broker() throws Exception {
    String url = System.getenv("AMQP_URL");
    if (url == null) {
      throw new IllegalStateException("AMQP_URL is not set: give the address of a broker");
    }
    factory.setUri(url);
    factory.setAutomaticRecoveryEnabled(false);
  }

  /** A name that no other run uses. */
  static String unique(String name) {
    return "compat.java." + RUN + "." + name;
  }

  static byte[] bytes(Object body) {
    return String.valueOf(body).getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  Connection connect() throws Exception {
    Connection connection = factory.newConnection();
    connections.add(connection);
    return connection;
  }

  /** A connection that comes back by itself, as the client's default is; hands out each socket that it opens. */
  Connection connectRecovering(Consumer<Socket> opened) throws Exception {
    ConnectionFactory recovering = factory.clone();
    recovering.setAutomaticRecoveryEnabled(true);
    recovering.setNetworkRecoveryInterval(100);
    recovering.setSocketConfigurator(SocketConfigurators.defaultConfigurator().andThen(opened::accept));
    Connection connection = recovering.newConnection();
    connections.add(connection);
    return connection;
  }

  Channel open() throws Exception {
    return connect().createChannel();
  }

  void afterwards(Deletion deletion) {
    deletions.push(deletion);
  }

  /** A queue of the channel's connection, bound to the exchange; what comes is kept in order. */
  Inbox subscribe(String exchange, String... keys) throws Exception {
    Channel channel = open();
    String queue = channel.queueDeclare().getQueue();
    for (String key : keys) {
      channel.queueBind(queue, exchange, key);
    }
    return Inbox.of(channel, queue, true);
  }

  @Override
  public void close() throws Exception {
    for (Deletion deletion : deletions) {
      try (Connection connection = factory.newConnection()) {
        deletion.run(connection.createChannel());
      }
    }
    for (Connection connection : connections) {
      if (connection.isOpen()) {
        connection.close();
      }
    }
  }

  /** A consumer that keeps its deliveries until the test takes them. */
  static final class Inbox {
    final Channel channel;
    private final BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();

    private Inbox(Channel channel) {
      this.channel = channel;
    }

    static Inbox of(Channel channel, String queue, boolean autoAck) throws Exception {
      Inbox inbox = new Inbox(channel);
      channel.basicConsume(queue, autoAck, (tag, delivery) -> inbox.deliveries.add(delivery), tag -> {});
      return inbox;
    }

    Delivery next() throws InterruptedException {
      Delivery delivery = deliveries.poll(PATIENCE, TimeUnit.SECONDS);
      if (delivery == null) {
        throw new AssertionError("no message came");
      }
      return delivery;
    }

    List<String> bodies(int n) throws InterruptedException {
      List<String> bodies = new ArrayList<>();
      for (int i = 0; i < n; i++) {
        bodies.add(text(next().getBody()));
      }
      return bodies;
    }

    int waiting() {
      return deliveries.size();
    }
  }
}
