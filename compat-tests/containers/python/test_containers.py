"""testcontainers-python's module for RabbitMQ: its environment, and its probe, which connects."""

import os

import pika
from testcontainers.community.rabbitmq import RabbitMqContainer


def test_the_module():
    image = os.environ["CONTAINER_IMAGE"]
    with RabbitMqContainer(image, port=5673, username="u", password="p", vhost="orders") as container:
        with pika.BlockingConnection(container.get_connection_params()) as connection:
            channel = connection.channel()
            channel.queue_declare("q")
            channel.confirm_delivery()
            channel.basic_publish("", "q", b"one")
            assert channel.basic_get("q", auto_ack=True)[2] == b"one"
        result = container.exec("rabbitmqctl -q list_permissions -p orders")
        assert (result.exit_code, result.output) == (0, b"user\tconfigure\twrite\tread\nu\t.*\t.*\t.*\n")
