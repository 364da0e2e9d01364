"""Tutorials 2, 6 and 7 with pika's asynchronous SelectConnection."""

import pika
from conftest import PATIENCE


class Program:
    """One SelectConnection with one channel. steps() is a generator: each yield waits for a callback to resume it."""

    def __init__(self, url, steps):
        self.failure, self.finished = None, False
        self.steps = steps
        self.connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.on_channel),
            on_open_error_callback=lambda _, error: self.stop(error),
            on_close_callback=lambda _, reason: self.on_closed(reason),
        )
        self.connection.ioloop.call_later(PATIENCE, lambda: self.stop("time is up"))

    def run(self):
        self.connection.ioloop.start()
        assert self.failure is None, self.failure
        assert self.finished

    def on_channel(self, channel):
        self.channel = channel
        channel.add_on_close_callback(lambda _, reason: self.finished or self.stop(reason))
        self.program = self.steps(self, channel)
        self.resume()

    def resume(self, value=None):
        """The callback for whatever a step waits for."""
        try:
            self.program.send(value)
        except StopIteration:
            self.finished = True
            self.connection.close()
        except Exception as error:
            self.stop(error)

    def on_closed(self, reason):
        if not self.finished:
            self.failure = self.failure or reason
        self.connection.ioloop.stop()

    def stop(self, failure):
        self.failure = self.failure or failure
        self.connection.ioloop.stop()


def test_2_work_queue(url):
    def steps(program, channel):
        queue = (yield channel.queue_declare("", exclusive=True, callback=program.resume)).method.queue
        yield channel.basic_qos(prefetch_count=1, callback=program.resume)
        for i in range(20):
            channel.basic_publish("", queue, f"task {i}", pika.BasicProperties(delivery_mode=2))
        deliver = lambda _, method, properties, body: program.resume((method, body))
        channel.basic_consume(queue, deliver)
        for i in range(20):
            method, body = yield
            assert (method.delivery_tag, body.decode()) == (i + 1, f"task {i}")
            channel.basic_ack(method.delivery_tag)

    Program(url, steps).run()


def test_6_rpc_with_direct_reply_to(url):
    def steps(program, channel):
        rpc_queue = (yield channel.queue_declare("", exclusive=True, callback=program.resume)).method.queue

        def serve(ch, method, properties, body):
            ch.basic_publish(
                "", properties.reply_to, str(int(body) ** 2), pika.BasicProperties(correlation_id=properties.correlation_id)
            )

        reply = lambda _, method, properties, body: program.resume((properties.correlation_id, int(body)))
        yield channel.basic_consume("amq.rabbitmq.reply-to", reply, auto_ack=True, callback=program.resume)
        yield channel.basic_consume(rpc_queue, serve, auto_ack=True, callback=program.resume)
        for n in range(10):
            channel.basic_publish(
                "", rpc_queue, str(n), pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=f"id {n}")
            )
            assert (yield) == (f"id {n}", n * n)

    Program(url, steps).run()


def test_7_asynchronous_confirms(url):
    count = 3000

    def steps(program, channel):
        queue = (yield channel.queue_declare("", exclusive=True, callback=program.resume)).method.queue
        outstanding = set(range(1, count + 1))

        def on_confirm(frame):
            assert frame.method.NAME == "Basic.Ack", frame
            tag = frame.method.delivery_tag
            settled = {t for t in outstanding if t <= tag} if frame.method.multiple else {tag}
            assert settled <= outstanding, f"{settled - outstanding} confirmed twice"
            outstanding.difference_update(settled)
            if not outstanding:
                program.resume("all confirmed")

        yield channel.confirm_delivery(ack_nack_callback=on_confirm, callback=program.resume)
        for i in range(count):
            channel.basic_publish("", queue, str(i))
        assert (yield) == "all confirmed"
        declared = yield channel.queue_declare(queue, passive=True, callback=program.resume)
        assert declared.method.message_count == count

    Program(url, steps).run()


def test_consumer_is_told_that_its_queue_went(url):
    def steps(program, channel):
        queue = (yield channel.queue_declare("", exclusive=True, callback=program.resume)).method.queue
        channel.add_on_cancel_callback(lambda frame: program.resume(frame.method.consumer_tag))
        yield channel.basic_consume(queue, lambda *delivery: None, consumer_tag="tag", callback=program.resume)
        events = []
        channel.queue_delete(queue, callback=lambda frame: program.resume(frame.method.NAME))
        for _ in range(2):
            events.append((yield))
        assert sorted(events) == ["Queue.DeleteOk", "tag"]

    Program(url, steps).run()
