package com.warrenmq.compat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.http.client.Client;
import com.rabbitmq.http.client.ClientParameters;
import com.rabbitmq.http.client.GetAckMode;
import com.rabbitmq.http.client.GetEncoding;
import com.rabbitmq.http.client.domain.BindingInfo;
import com.rabbitmq.http.client.domain.ConnectionInfo;
import com.rabbitmq.http.client.domain.Definitions;
import com.rabbitmq.http.client.domain.ExchangeInfo;
import com.rabbitmq.http.client.domain.InboundMessage;
import com.rabbitmq.http.client.domain.OutboundMessage;

import com.rabbitmq.http.client.domain.PolicyInfo;
import com.rabbitmq.http.client.domain.QueueInfo;
import com.rabbitmq.http.client.domain.UserPermissions;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The management API as Hop, RabbitMQ's Java client for it, uses it. Without COMPAT_HTTP_URL there is nothing to ask. */
class ManagementTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final String vhost = "compat.hop." + UUID.randomUUID();
  private final URI amqp = URI.create(System.getenv("AMQP_URL"));
  private String user;
  private Client client;

  @BeforeEach
  void open() throws Exception {
    String base = System.getenv("COMPAT_HTTP_URL");
    assumeTrue(base != null && !base.isEmpty(), "COMPAT_HTTP_URL is not set");
    String[] login = amqp.getUserInfo().split(":");
    user = login[0];
    client = new Client(new ClientParameters().url(base + "/api/").username(user).password(login[1]));
    client.createVhost(vhost);
    client.updatePermissions(vhost, user, new UserPermissions(".*", ".*", ".*"));
  }

  @AfterEach
  void close() {
    if (client != null) {
      client.deleteVhost(vhost);
    }
  }

  private static void eventually(String what, BooleanSupplier holds) throws InterruptedException {
    for (long end = System.nanoTime() + PATIENCE.toNanos(); !holds.getAsBoolean(); Thread.sleep(50)) {
      assertTrue(System.nanoTime() < end, () -> "waited in vain for " + what);
    }
  }

  @Test
  void theBrokerIsDescribed() {
    assertTrue(client.getOverview().getServerVersion().startsWith("4.") || client.getOverview().getServerVersion().startsWith("3."));
    assertEquals(user, client.whoAmI().getName());
    long nodes = Long.parseLong(System.getenv().getOrDefault("COMPAT_NODES", "1"));
    assertEquals(nodes, client.getNodes().stream().filter(node -> node.isRunning()).count());
    assertTrue(client.getVhosts().stream().anyMatch(v -> v.getName().equals(vhost)));
    assertTrue(client.alivenessTest("/"));
  }

  @Test
  void queuesExchangesAndBindings() {
    client.declareExchange(vhost, "x", new ExchangeInfo("topic", true, false));
    client.declareQueue(vhost, "q", new QueueInfo(true, false, false, Map.of("x-max-length", 10)));
    client.bindQueue(vhost, "q", "x", "a.#", Map.of("k", "v"));
    assertEquals("topic", client.getExchange(vhost, "x").getType());
    QueueInfo queue = client.getQueue(vhost, "q");
    assertTrue(queue.isDurable());
    assertEquals(10, queue.getArguments().get("x-max-length"));
    List<BindingInfo> bindings = client.getQueueBindingsBetween(vhost, "x", "q");
    assertEquals(1, bindings.size());
    assertEquals("a.#", bindings.get(0).getRoutingKey());
    assertEquals(Map.of("k", "v"), bindings.get(0).getArguments());
    client.unbindQueue(vhost, "q", "x", bindings.get(0).getPropertiesKey());
    assertTrue(client.getQueueBindingsBetween(vhost, "x", "q").isEmpty());
    client.deleteQueue(vhost, "q");
    assertNull(client.getQueue(vhost, "q"));
    client.deleteExchange(vhost, "x");
    assertNull(client.getExchange(vhost, "x"));
  }

  @Test
  void messages() {
    client.declareQueue(vhost, "q", new QueueInfo(true, false, false));
    assertTrue(client.publish(vhost, "amq.default", "q", new OutboundMessage().payload("Hallo, Welt").utf8Encoded()));
    assertFalse(client.publish(vhost, "amq.default", "nobody", new OutboundMessage().payload("x").utf8Encoded()));
    List<InboundMessage> got = client.get(vhost, "q", 5, GetAckMode.ACK_REQUEUE_FALSE, GetEncoding.AUTO, -1);
    assertEquals(1, got.size());
    assertEquals("Hallo, Welt", got.get(0).getPayload());
    client.purgeQueue(vhost, "q");
  }

  @Test
  void policiesAreInForce() throws Exception {
    client.declareQueue(vhost, "q", new QueueInfo(true, false, false));
    client.declarePolicy(vhost, "p", new PolicyInfo("^q", 1, "queues", Map.of("max-length", 2)));
    assertEquals(1, client.getPolicies(vhost).size());
    for (int i = 0; i < 5; i++) {
      client.publish(vhost, "amq.default", "q", new OutboundMessage().payload("m" + i).utf8Encoded());
    }
    eventually("two messages", () -> client.getQueue(vhost, "q").getTotalMessages() == 2);
    client.deletePolicy(vhost, "p");
    assertTrue(client.getPolicies(vhost).isEmpty());
  }

  @Test
  void usersAndTheirPermissions() {
    String name = "compat-hop-" + UUID.randomUUID();
    client.createUser(name, "secret".toCharArray(), List.of("monitoring", "management"));
    try {
      assertEquals(List.of("monitoring", "management"), client.getUser(name).getTags());
      client.updatePermissions(vhost, name, new UserPermissions("^c", "^w", "^r"));
      UserPermissions permissions = client.getPermissions(vhost, name);
      assertEquals("^w", permissions.getWrite());
      client.clearPermissions(vhost, name);
      assertTrue(client.getPermissionsOf(name).isEmpty());
    } finally {
      client.deleteUser(name);
    }
    assertNull(client.getUser(name));
  }

  @Test
  void connectionsAreShownAndClosed() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(amqp);
    factory.setVirtualHost(vhost);
    factory.setAutomaticRecoveryEnabled(false);
    String name = "hop-" + UUID.randomUUID();
    Connection connection = factory.newConnection(name);
    connection.createChannel();
    eventually("the connection to be listed", () -> find(name) != null && find(name).getChannels() == 1);
    ConnectionInfo info = find(name);
    assertEquals(vhost, info.getVhost());
    assertEquals(user, info.getUser());
    assertNotNull(client.getConnection(info.getName()));
    client.closeConnection(info.getName());
    eventually("the connection to be closed", () -> !connection.isOpen());
  }

  private ConnectionInfo find(String name) {
    return client.getConnections().stream()
        .filter(c -> c.getClientProperties() != null && name.equals(c.getClientProperties().getConnectionName()))
        .findFirst().orElse(null);
  }

  @Test
  void definitions() {
    client.declareQueue(vhost, "q", new QueueInfo(true, false, false));
    Definitions all = client.getDefinitions();
    assertTrue(all.getQueues().stream().anyMatch(q -> q.getVhost().equals(vhost) && q.getName().equals("q")));
    assertTrue(all.getVhosts().stream().anyMatch(v -> v.getName().equals(vhost)));
  }
}
