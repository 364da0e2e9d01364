"""What every Python suite needs: the broker's address from AMQP_URL, and names that no other run uses."""

import os
import time
import uuid

import pika
import pytest

# Seconds that bound every wait for something that must happen.
PATIENCE = 30


@pytest.fixture(scope="session")
def url():
    """The broker's address, amqp://user:password@host:port/vhost."""
    address = os.environ.get("AMQP_URL")
    if not address:
        pytest.exit("AMQP_URL is not set: give the address of a broker", returncode=2)
    return address


@pytest.fixture
def unique():
    """Makes a name of this run: unique("logs") -> "compat.py.<hex>.logs"."""
    prefix = f"compat.py.{uuid.uuid4().hex}"
    return lambda name: f"{prefix}.{name}"


@pytest.fixture
def connect(url):
    """Opens pika BlockingConnections that are closed with the test."""
    opened = []

    def dial(**changes):
        parameters = pika.URLParameters(url)
        for key, value in changes.items():
            setattr(parameters, key, value)
        opened.append(pika.BlockingConnection(parameters))
        return opened[-1]

    yield dial
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def cleanup(connect):
    """Names queues and exchanges to delete after the test: cleanup(queue=..., exchange=...)."""
    doomed = []
    yield lambda **what: doomed.append(what)
    if not doomed:
        return
    channel = connect().channel()
    for what in doomed:
        if "queue" in what:
            channel.queue_delete(what["queue"])
        if "exchange" in what:
            channel.exchange_delete(what["exchange"])


@pytest.fixture
def eventually():
    """Polls until the condition holds: eventually("what is awaited", lambda: ...) returns its value."""

    def poll(what, holds, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while True:
            value = holds()
            if value:
                return value
            if time.monotonic() > deadline:
                pytest.fail(f"waited {patience} s in vain for {what}")
            time.sleep(0.02)

    return poll
