"""The management API as AMQPStorm's client for it and Flower, Celery's dashboard, use it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from amqpstorm.management import ApiError, ManagementApi

PATIENCE = 30


@pytest.fixture(scope="module")
def base():
    """The API's address; without one there is nothing to ask."""
    address = os.environ.get("COMPAT_HTTP_URL")
    if not address:
        pytest.skip("COMPAT_HTTP_URL is not set: no management API to ask")
    return address


@pytest.fixture(scope="module")
def login(url):
    parts = urllib.parse.urlparse(url)
    return parts.username, parts.password


@pytest.fixture(scope="module")
def api(base, login):
    return ManagementApi(base, *login)


def eventually(what, holds):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def test_overview_and_nodes(api, login):
    overview = api.overview()
    assert overview["rabbitmq_version"][0] in "34"
    running = {node["name"]: node["running"] for node in api.nodes()}
    assert overview["node"] in running
    assert list(running.values()) == [True] * int(os.environ.get("COMPAT_NODES", "1"))
    assert api.whoami()["name"] == login[0]
    assert api.aliveness_test("/") == {"status": "ok"}


def test_queues_and_messages(api, unique):
    queue = unique("queue")
    api.queue.declare(queue, durable=True, arguments={"x-max-length": 5})
    try:
        assert api.queue.get(queue)["arguments"]["x-max-length"] == 5
        for i in range(3):
            assert api.basic.publish(f"m{i}", queue) == {"routed": True}
        got = api.basic.get(queue, count=2, requeue=False)
        assert [message.body for message in got] == ["m0", "m1"]
        eventually("one message left", lambda: api.queue.get(queue).get("messages") == 1)
        api.queue.purge(queue)
    finally:
        api.queue.delete(queue)
    with pytest.raises(ApiError) as refused:
        api.queue.get(queue)
    assert refused.value.error_code == 404


def test_exchanges_and_bindings(api, unique):
    exchange, queue = unique("exchange"), unique("queue")
    api.exchange.declare(exchange, "topic", durable=True)
    api.queue.declare(queue, durable=True)
    try:
        assert api.exchange.get(exchange)["type"] == "topic"
        api.queue.bind(queue, exchange, "a.#", arguments=None)
        key = [binding["properties_key"] for binding in api.queue.bindings(queue) if binding["routing_key"] == "a.#"]
        api.queue.unbind(queue, exchange, "a.#", properties_key=key[0])
        assert "a.#" not in [binding["routing_key"] for binding in api.queue.bindings(queue)]
    finally:
        api.queue.delete(queue)
        api.exchange.delete(exchange)


def test_users_and_vhosts(api, unique):
    user, vhost = unique("user"), unique("vhost")
    api.user.create(user, "secret", tags="monitoring")
    api.virtual_host.create(vhost)
    try:
        assert api.user.get(user)["tags"] == ["monitoring"]
        api.user.set_permission(user, vhost, configure_regex="^c", write_regex="^w", read_regex="^r")
        assert api.user.get_permission(user, vhost)["write"] == "^w"
        assert [p["user"] for p in api.virtual_host.get_permissions(vhost) if p["user"] == user] == [user]
        api.user.delete_permission(user, vhost)
    finally:
        api.virtual_host.delete(vhost)
        api.user.delete(user)


def test_connections(api, connect):
    channel = connect(client_properties={"connection_name": "seen by the API"}).channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_consume(queue, lambda *_: None, consumer_tag="a tag")

    def mine():
        return [c for c in api.connection.list() if c.get("client_properties", {}).get("connection_name") == "seen by the API"]

    name = eventually("the connection", mine)[0]["name"]
    assert api.connection.get(name)["vhost"] == "/"
    assert eventually("its channel", lambda: [c for c in api.channel.list() if c["connection_details"]["name"] == name])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_flower_shows_the_queues(api, base, login, url, tmp_path, unique):
    queue, port = unique("flower"), free_port()
    api.queue.declare(queue, durable=True)
    try:
        for i in range(3):
            api.basic.publish(f"m{i}", queue)
        parts = urllib.parse.urlparse(base)
        broker_api = f"http://{login[0]}:{login[1]}@{parts.netloc}/api/"
        (tmp_path / "app.py").write_text(
            "import celery, kombu\n"
            f"app = celery.Celery(broker={url!r})\n"
            f"app.conf.task_queues = [kombu.Queue({queue!r})]\n"
        )
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-B", "-m", "celery", "-A", "app", "flower", f"--port={port}", "--address=127.0.0.1",
                 f"--broker-api={broker_api}"],
                cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "1"},
            )
        try:
            def lengths():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/queues/length", timeout=5) as answer:
                        return {q["name"]: q.get("messages") for q in json.load(answer)["active_queues"]}
                except OSError:
                    assert process.poll() is None, Path(tmp_path / "log").read_text()
                    return {}

            eventually("the queue with its messages in Flower", lambda: lengths().get(queue) == 3)
        finally:
            process.terminate()
            process.wait(15)
    finally:
        api.queue.delete(queue)
