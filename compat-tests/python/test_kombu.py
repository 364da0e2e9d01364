"""kombu over py-amqp, as Celery and others use it without a worker."""

import socket

import kombu
import pytest
from conftest import PATIENCE
from kombu.mixins import ConsumerMixin
from kombu.pools import producers


@pytest.fixture
def connection(url):
    with kombu.Connection(url.replace("amqp://", "pyamqp://", 1), transport_options={"confirm_publish": True}) as opened:
        opened.ensure_connection(max_retries=1)
        yield opened


@pytest.fixture
def queue(connection, unique):
    """A bound queue that the test's end removes, with its exchange."""
    exchange = kombu.Exchange(unique("exchange"), type="topic")
    declared = kombu.Queue(unique("queue"), exchange, routing_key="a.#")(connection)
    declared.declare()
    yield declared
    channel = connection.channel()
    channel.queue_delete(declared.name)
    channel.exchange_delete(exchange.name)


def test_simple_queue(connection, unique):
    simple = connection.SimpleQueue(unique("simple"))
    for i in range(20):
        simple.put({"n": i})
    assert simple.qsize() == 20
    for i in range(20):
        message = simple.get(timeout=PATIENCE)
        assert message.payload == {"n": i}
        message.ack()
    with pytest.raises(simple.Empty):
        simple.get(block=False)
    simple.close()
    connection.channel().queue_delete(simple.queue.name)
    connection.channel().exchange_delete(simple.queue.exchange.name)


def test_serializers_compression_and_headers(connection, queue):
    bodies = {"json": {"text": "grüße", "list": [1, 2.5, None]}, "pickle": ("tuple", {1, 2})}
    for serializer, body in bodies.items():
        with producers[connection].acquire(block=True) as producer:
            producer.publish(
                body, exchange=queue.exchange, routing_key="a.b", serializer=serializer, compression="zlib",
                headers={"kind": serializer}, priority=3, expiration=600,
            )
    for serializer, body in bodies.items():
        message = queue.get(accept=["json", "pickle"])
        assert (message.payload, message.headers["kind"]) == (body, serializer)
        assert message.properties["expiration"] == "600000"
        assert message.delivery_info["routing_key"] == "a.b"
        message.ack()
    assert queue.get() is None


def test_reject_requeue_and_prefetch(connection, queue):
    producer = connection.Producer()
    for i in range(5):
        producer.publish({"n": i}, exchange=queue.exchange, routing_key="a")
    got = []
    channel = connection.channel()
    with kombu.Consumer(channel, [queue(channel)], on_message=got.append, accept=["json"], prefetch_count=2):

        def drain(count):
            while len(got) < count:
                connection.drain_events(timeout=PATIENCE)

        drain(2)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)
        assert [m.payload["n"] for m in got] == [0, 1]
        got[0].requeue()
        drain(3)
        assert (got[2].payload["n"], got[2].delivery_info["redelivered"]) == (0, True)
        for i in range(1, 6):
            if i == 1:
                got[1].reject()
            else:
                drain(i + 1)
                got[i].ack()
        assert [m.payload["n"] for m in got] == [0, 1, 0, 2, 3, 4]
    assert queue.get() is None


def test_consumer_mixin_resumes_after_the_connection_is_lost(connection, queue):
    class Worker(ConsumerMixin):
        def __init__(self):
            self.connection, self.got = connection.clone(), []

        def get_consumers(self, Consumer, channel):
            return [Consumer(queues=[queue], on_message=self.on_message, accept=["json"], prefetch_count=1)]

        def on_message(self, message):
            self.got.append((message.payload["n"], message.delivery_info["redelivered"]))
            if len(self.got) == 1:
                raise ConnectionResetError("the connection is lost before the acknowledgement")
            message.ack()
            self.should_stop = len(self.got) == 3

    producer = connection.Producer()
    for n in (1, 2):
        producer.publish({"n": n}, exchange=queue.exchange, routing_key="a")
    worker = Worker()
    worker.run()
    assert worker.got == [(1, False), (1, True), (2, False)]
