"""The seven RabbitMQ tutorials with pika's BlockingConnection, and what comes out of them."""

import threading
import time
import uuid

import pika
import pytest
from conftest import PATIENCE


def consume(connection, channel, count, on_message):
    """start_consuming until on_message was called count times, or PATIENCE is over. Returns what it returned."""
    results = []
    timer = connection.call_later(PATIENCE, channel.stop_consuming)

    def callback(ch, method, properties, body):
        results.append(on_message(ch, method, properties, body))
        if len(results) == count:
            ch.stop_consuming()

    for tag in list(channel.consumer_tags):
        channel.basic_cancel(tag)
    channel.basic_consume(queue=on_message.queue, on_message_callback=callback, auto_ack=on_message.auto_ack)
    channel.start_consuming()
    connection.remove_timeout(timer)
    assert len(results) == count, f"{len(results)} of {count} messages came: {results}"
    return results


def process(connection, until):
    """process_data_events until the condition holds, or PATIENCE is over."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        connection.process_data_events(time_limit=1)


def handler(queue, auto_ack, function):
    """A message handler that knows where its messages come from."""
    wrapped = lambda *delivery: function(*delivery)
    wrapped.queue, wrapped.auto_ack = queue, auto_ack
    return wrapped


def bodies(queue):
    return handler(queue, True, lambda ch, method, properties, body: body.decode())


def test_1_hello_world(connect, unique, cleanup):
    hello = unique("hello")
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue=hello)
    cleanup(queue=hello)
    channel.basic_publish(exchange="", routing_key=hello, body="Hello World!")
    connection.close()

    connection = connect()
    channel = connection.channel()
    channel.queue_declare(queue=hello)
    assert consume(connection, channel, 1, bodies(hello)) == ["Hello World!"]


def test_2_work_queues(connect, unique, cleanup):
    task_queue = unique("task_queue")
    tasks = connect().channel()
    tasks.queue_declare(queue=task_queue, durable=True)
    cleanup(queue=task_queue)

    def new_task(body):
        tasks.basic_publish(
            exchange="", routing_key=task_queue, body=body,
            properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
        )

    def work(ch, method, properties, body):
        assert properties.delivery_mode == 2
        ch.basic_ack(delivery_tag=method.delivery_tag)
        return body.decode()

    slow = connect()
    slow_channel = slow.channel()
    slow_channel.basic_qos(prefetch_count=1)
    got_by_slow = []
    slow_channel.basic_consume(queue=task_queue, on_message_callback=lambda *delivery: got_by_slow.append(delivery))
    new_task("a long task")
    process(slow, lambda: got_by_slow)
    assert [body for _, _, _, body in got_by_slow] == [b"a long task"]

    quick = connect()
    quick_channel = quick.channel()
    quick_channel.basic_qos(prefetch_count=1)
    for i in range(10):
        new_task(f"task {i}")
    assert consume(quick, quick_channel, 10, handler(task_queue, False, work)) == [f"task {i}" for i in range(10)]
    slow.process_data_events(time_limit=0.1)
    assert len(got_by_slow) == 1, "a worker with an unacknowledged task and a prefetch of one got another"

    slow.close()
    redelivered = handler(task_queue, False, lambda ch, method, *rest: (method.redelivered, work(ch, method, *rest)))
    assert consume(quick, quick_channel, 1, redelivered) == [(True, "a long task")]


def subscribe(channel, exchange, *keys):
    queue = channel.queue_declare(queue="", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)
    return queue


def test_3_publish_subscribe(connect, unique, cleanup):
    logs = unique("logs")
    connection = connect()
    channel = connection.channel()
    channel.exchange_declare(exchange=logs, exchange_type="fanout")
    cleanup(exchange=logs)
    channel.basic_publish(exchange=logs, routing_key="", body="nobody listens")
    queues = [subscribe(channel, logs, "") for _ in range(3)]
    for body in ("info: Hello World!", "warning"):
        channel.basic_publish(exchange=logs, routing_key="", body=body)
    for queue in queues:
        assert consume(connection, channel, 2, bodies(queue)) == ["info: Hello World!", "warning"]
        assert channel.queue_declare(queue=queue, passive=True).method.message_count == 0


def test_4_routing(connect, unique, cleanup):
    direct_logs = unique("direct_logs")
    connection = connect()
    channel = connection.channel()
    channel.exchange_declare(exchange=direct_logs, exchange_type="direct")
    cleanup(exchange=direct_logs)
    errors = subscribe(channel, direct_logs, "error", "end")
    everything = subscribe(channel, direct_logs, "info", "warning", "error", "end")
    for severity in ("info", "debug", "error", "warning", "end"):
        channel.basic_publish(exchange=direct_logs, routing_key=severity, body=severity)
    assert consume(connection, channel, 2, bodies(errors)) == ["error", "end"]
    assert consume(connection, channel, 4, bodies(everything)) == ["info", "error", "warning", "end"]


def test_5_topics(connect, unique, cleanup):
    topic_logs = unique("topic_logs")
    connection = connect()
    channel = connection.channel()
    channel.exchange_declare(exchange=topic_logs, exchange_type="topic")
    cleanup(exchange=topic_logs)
    keys = ["kern.critical", "kern.info", "cron.critical", "cron.info", "kern", "kern.a.b", "end"]
    expected = {
        "#": keys,
        "kern.*": ["kern.critical", "kern.info"],
        "kern.#": ["kern.critical", "kern.info", "kern", "kern.a.b"],
        "*.critical": ["kern.critical", "cron.critical"],
    }
    queues = {pattern: subscribe(channel, topic_logs, pattern, "end") for pattern in expected}
    for key in keys:
        channel.basic_publish(exchange=topic_logs, routing_key=key, body=key)
    for pattern, matched in expected.items():
        matched = matched if "end" in matched else matched + ["end"]
        assert consume(connection, channel, len(matched), bodies(queues[pattern])) == matched, pattern


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class FibonacciRpcClient:
    """The tutorial's client: a callback queue of its own and a correlation id per request."""

    def __init__(self, connection, rpc_queue):
        self.connection, self.rpc_queue = connection, rpc_queue
        self.channel = connection.channel()
        self.callback_queue = self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.channel.basic_consume(queue=self.callback_queue, on_message_callback=self.on_response, auto_ack=True)
        self.response = self.corr_id = None

    def on_response(self, ch, method, props, body):
        if self.corr_id == props.correlation_id:
            self.response = body

    def call(self, n):
        self.response, self.corr_id = None, str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="", routing_key=self.rpc_queue, body=str(n),
            properties=pika.BasicProperties(reply_to=self.callback_queue, correlation_id=self.corr_id),
        )
        process(self.connection, lambda: self.response is not None)
        return int(self.response)


def test_6_rpc(connect, unique, cleanup):
    rpc_queue = unique("rpc_queue")
    server = connect()
    channel = server.channel()
    channel.queue_declare(queue=rpc_queue)
    cleanup(queue=rpc_queue)

    def on_request(ch, method, props, body):
        ch.basic_publish(
            exchange="", routing_key=props.reply_to, body=str(fib(int(body))),
            properties=pika.BasicProperties(correlation_id=props.correlation_id),
        )
        ch.basic_ack(delivery_tag=method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue=rpc_queue, on_message_callback=on_request)
    thread = threading.Thread(target=channel.start_consuming, daemon=True)
    thread.start()
    client = FibonacciRpcClient(connect(), rpc_queue)
    assert [client.call(n) for n in range(15)] == [fib(n) for n in range(15)]
    server.add_callback_threadsafe(channel.stop_consuming)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_7_publisher_confirms(connect):
    channel = connect().channel()
    channel.confirm_delivery()
    queue = channel.queue_declare(queue="", exclusive=True).method.queue
    # With BlockingConnection every publish waits for its own confirm.
    for i in range(200):
        channel.basic_publish(exchange="", routing_key=queue, body=str(i), mandatory=True)
        if i % 50 == 0:
            assert channel.queue_declare(queue=queue, passive=True).method.message_count == i + 1
    with pytest.raises(pika.exceptions.UnroutableError) as unroutable:
        channel.basic_publish(exchange="", routing_key=queue + ".missing", body="lost", mandatory=True)
    (returned,) = unroutable.value.messages
    assert (returned.method.reply_code, returned.method.reply_text, returned.body) == (312, "NO_ROUTE", b"lost")


def test_7_refused_publish(connect):
    channel = connect().channel()
    channel.confirm_delivery()
    full = channel.queue_declare(
        queue="", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    ).method.queue
    channel.basic_publish(exchange="", routing_key=full, body="fits")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish(exchange="", routing_key=full, body="does not fit")


def test_wrong_password_is_refused_with_words(connect, url):
    username = pika.URLParameters(url).credentials.username
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as refusal:
        connect(credentials=pika.PlainCredentials(username, "not the password"))
    assert "Login was refused using authentication mechanism PLAIN" in str(refusal.value)


def test_channel_error_has_code_and_words(connect, unique):
    connection = connect()
    channel = connection.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refusal:
        channel.queue_declare(queue=unique("missing"), passive=True)
    assert refusal.value.reply_code == 404
    assert refusal.value.reply_text.startswith("NOT_FOUND - no queue")
    assert connection.channel().queue_declare(queue="", exclusive=True).method.message_count == 0


def test_consume_generator_and_cancel(connect):
    channel = connect().channel()
    queue = channel.queue_declare(queue="", exclusive=True).method.queue
    for i in range(5):
        channel.basic_publish(exchange="", routing_key=queue, body=str(i))
    got = []
    for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE):
        assert method is not None, f"only {got} came"
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(got) == 3:
            break
    assert got == [b"0", b"1", b"2"]
    channel.cancel()  # what was read ahead goes back
    assert [channel.basic_get(queue, auto_ack=True)[2] for _ in range(2)] == [b"3", b"4"]
    assert channel.basic_get(queue) == (None, None, None)
