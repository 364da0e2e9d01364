package com.warrenmq.containers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.utility.DockerImageName;

/** testcontainers-java's two classes for RabbitMQ. The old one declares things by commands that it runs in the container. */
class ContainersTest {
  static final DockerImageName IMAGE =
      DockerImageName.parse(System.getenv("CONTAINER_IMAGE")).asCompatibleSubstituteFor("rabbitmq");

  @Test
  void theNewClass() throws Exception {
    try (var container = new org.testcontainers.rabbitmq.RabbitMQContainer(IMAGE).withAdminUser("u").withAdminPassword("p")) {
      container.start();
      ConnectionFactory factory = new ConnectionFactory();
      factory.setUri(container.getAmqpUrl());
      factory.setUsername(container.getAdminUsername());
      factory.setPassword(container.getAdminPassword());
      try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
        channel.queueDeclare("q", false, false, false, null);
        channel.confirmSelect();
        channel.basicPublish("", "q", null, "one".getBytes());
        channel.waitForConfirmsOrDie();
        assertEquals("one", new String(channel.basicGet("q", true).getBody()));
      }
      assertEquals("name\nq\n", run(container, "rabbitmqctl", "-q", "list_queues", "name"));
    }
  }

  @Test
  @SuppressWarnings("deprecation")
  void theOldClass() throws Exception {
    try (var container = new org.testcontainers.containers.RabbitMQContainer(IMAGE)
        .withVhost("v1").withVhost("v2", true).withVhostLimit("v1", "max-connections", 1)
        .withExchange("e1", "direct").withExchange("v1", "e2", "topic")
        .withExchange("e3", "fanout", true, false, true, Map.of("alternate-exchange", "amq.direct"))
        .withQueue("q1").withQueue("v1", "q2").withQueue("q3", true, false, Map.of("x-message-ttl", 1000))
        .withBinding("e1", "q1").withBinding("e1", "q3", Map.of("k", "v"), "rk", "queue")
        .withUser("user1", "password1").withUser("user2", "password2", Set.of("administrator"))
        .withPermission("v1", "user1", ".*", ".*", ".*")
        .withPolicy("p1", "^dog", Map.of("max-length", 1), 1, "queues")
        .withPolicy("v1", "p2", "^x", Map.of("alternate-exchange", "amq.direct"))
        .withOperatorPolicy("o1", "^q1", Map.of("message-ttl", 1000), 1, "queues")
        .withParameter("federation-upstream", "f1", "{\"uri\":\"amqp://localhost\"}")
        .withPluginsEnabled("rabbitmq_random_exchange", "rabbitmq_management")) {
      container.start();
      Map<String, List<String>> wanted = Map.of(
          "queues", List.of("q1", "q2", "q3"), "exchanges", List.of("e1", "e2", "e3"), "users", List.of("user1", "user2"),
          "policies", List.of("p1", "p2"), "operator_policies", List.of("o1"), "bindings", List.of("rk"),
          "permissions", List.of("user1"), "vhosts", List.of("v1", "v2"), "parameters", List.of("f1"));
      for (var list : wanted.entrySet()) {
        String shown = run(container, "rabbitmqadmin", "list", list.getKey());
        for (String name : list.getValue()) {
          assertTrue(shown.contains(name), list.getKey() + " are " + shown);
        }
      }
      assertTrue(run(container, "rabbitmq-plugins", "is_enabled", "rabbitmq_random_exchange").contains("is enabled"));
    }
  }

  static String run(GenericContainer<?> container, String... command) throws Exception {
    var result = container.execInContainer(command);
    assertEquals(0, result.getExitCode(), String.join(" ", command) + ": " + result.getStdout() + result.getStderr());
    return result.getStdout();
  }
}
