"""The Celery application under test: what its worker runs. The broker's address comes from AMQP_URL."""

import os
import time

from celery import Celery
from kombu import Exchange, Queue

run = os.environ.get("COMPAT_RUN", "run")

# pyamqp is kombu's name for py-amqp, the client written in Python.
app = Celery("compat", broker=os.environ["AMQP_URL"].replace("amqp://", "pyamqp://", 1), backend="rpc://")
app.conf.update(
    task_default_queue=f"compat.celery.{run}",
    task_queues=[
        Queue(f"compat.celery.{run}", Exchange(f"compat.celery.{run}", type="direct"), routing_key="usual"),
        Queue(f"compat.celery.{run}.late", Exchange(f"compat.celery.{run}", type="direct"), routing_key="late"),
    ],
    task_default_exchange=f"compat.celery.{run}",
    task_default_routing_key="usual",
    task_routes={"tasks.late": {"routing_key": "late"}, "tasks.hold": {"routing_key": "late"}},
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_expires=600,
    task_track_started=False,
    timezone="UTC",
)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def flaky(self, n, failures):
    """Fails so many times before it succeeds; each retry goes through the broker with a countdown."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.2, exc=RuntimeError(f"attempt {self.request.retries}"))
    return [n, self.request.retries]


@app.task
def after(due):
    """Returns how many seconds after its time it ran; negative is too early."""
    return time.time() - due


@app.task(acks_late=True)
def late(n):
    return n * n


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def hold(self, path):
    """Says in the file that it started, and does not end the first time: the worker dies while it holds this task."""
    with open(path, "a") as log:
        log.write("started\n")
    if not self.request.delivery_info["redelivered"]:
        time.sleep(120)
    return "done by the next worker"


@app.task
def fail(words):
    raise ValueError(words)
