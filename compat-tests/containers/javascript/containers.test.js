// testcontainers-node's module for RabbitMQ: it waits for the log's last line of the start.
"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { RabbitMQContainer } = require("@testcontainers/rabbitmq");
const amqplib = require("amqplib");

test("the module", async () => {
  const container = await new RabbitMQContainer(process.env.CONTAINER_IMAGE).start();
  try {
    const connection = await amqplib.connect(container.getAmqpUrl());
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue("q");
    channel.sendToQueue("q", Buffer.from("one"));
    await channel.waitForConfirms();
    const message = await channel.get("q", { noAck: true });
    assert.equal(message.content.toString(), "one");
    await connection.close();
    const { exitCode, output } = await container.exec(["rabbitmqctl", "-q", "list_queues", "name"]);
    assert.deepEqual([exitCode, output], [0, "name\nq\n"]);
  } finally {
    await container.stop();
  }
});
