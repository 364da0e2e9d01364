"""A Celery worker runs a thousand tasks: plain, retried, with an ETA, and acknowledged late with a prefetch."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

# Seconds for a worker's start and for all results of a test; a run against RabbitMQ needs a small part of it.
PATIENCE = 60

run = uuid.uuid4().hex


@pytest.fixture(scope="module")
def tasks(url):
    """The application, configured for this run, and its queues removed at the end."""
    os.environ["COMPAT_RUN"] = run
    import tasks as module

    with module.app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
    yield module
    with module.app.connection_for_write() as connection:
        channel = connection.channel()
        for queue in module.app.conf.task_queues:
            channel.queue_delete(queue.name)
        channel.exchange_delete(module.app.conf.task_default_exchange)


class Worker:
    """A worker process with its log. Leaving the context ends it as an operator would, with SIGTERM."""

    def __init__(self, tasks, directory, name):
        self.app, self.name, self.log = tasks.app, f"{name}.{run}@localhost", Path(directory) / f"{name}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "celery", "-A", "tasks", "worker", "--concurrency=4", "--loglevel=INFO",
             "--without-heartbeat", f"--hostname={self.name}"],
            cwd=Path(__file__).parent, stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        )

    def __enter__(self):
        try:
            self.wait(f"{self.name} ready", lambda: f"{self.name} ready" in self.log.read_text())
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self.kill()

    def kill(self):
        """SIGKILL for the worker and the processes of its pool."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self, what, holds, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"waited in vain for {what}; {self.state()}")
            time.sleep(0.05)

    def state(self):
        """What an operator would look at: the process, the queues, the end of the log."""
        lines = [f"worker {self.name}: exit status {self.process.poll()}"]
        try:
            with self.app.connection_for_write() as connection:
                for queue in self.app.conf.task_queues:
                    declared = queue(connection.channel()).queue_declare(passive=True)
                    lines.append(f"queue {queue.name}: {declared.message_count} ready, {declared.consumer_count} consumers")
        except Exception as error:
            lines.append(f"the broker answers: {error!r}")
        lines.append("end of the worker's log:")
        lines += self.log.read_text().splitlines()[-40:]
        return "\n".join(lines)


def collect(worker, results, patience=PATIENCE):
    """Waits for every result; when time is up says which are missing and what state the worker is in."""
    deadline = time.monotonic() + patience
    values = []
    for i, result in enumerate(results):
        try:
            values.append(result.get(timeout=max(deadline - time.monotonic(), 0.1), disable_sync_subtasks=False))
        except Exception as error:
            missing = sum(not r.ready() for r in results)
            pytest.fail(f"result {i}: {error!r}; {missing} of {len(results)} are missing; {worker.state()}")
    return values


def test_a_thousand_tasks(tasks, tmp_path):
    with Worker(tasks, tmp_path, "thousand") as worker:
        # Two seconds ahead, so that a worker whose prefetch did not grow with ETA tasks would stand still.
        etas = [time.time() + 2 + i % 10 / 10 for i in range(100)]
        eta = [tasks.after.apply_async((due,), countdown=due - time.time()) for due in etas]
        plain = [tasks.add.delay(i, i) for i in range(400)]
        flaky = [tasks.flaky.delay(i, i % 3) for i in range(300)]
        late = [tasks.late.delay(i) for i in range(200)]
        assert collect(worker, plain) == [2 * i for i in range(400)]
        assert collect(worker, flaky) == [[i, i % 3] for i in range(300)]
        assert collect(worker, late) == [i * i for i in range(200)]
        delays = collect(worker, eta)
        assert all(-0.1 < delay < PATIENCE for delay in delays), f"from {min(delays)} to {max(delays)} s after their time"
        for queue in tasks.app.conf.task_queues:
            with tasks.app.connection_for_write() as connection:
                declared = queue(connection.channel()).queue_declare(passive=True)
                assert declared.message_count == 0, worker.state()


def test_failures_come_back_with_their_words(tasks, tmp_path):
    with Worker(tasks, tmp_path, "failing") as worker:
        result = tasks.fail.delay("these words")
        with pytest.raises(ValueError, match="these words"):
            result.get(timeout=PATIENCE)
        gives_up = tasks.flaky.delay(1, 9)
        with pytest.raises(RuntimeError, match="attempt 3"):
            gives_up.get(timeout=PATIENCE)
        assert collect(worker, [tasks.add.delay(1, 2)]) == [3]


def test_task_of_a_killed_worker_is_done_by_the_next(tasks, tmp_path):
    started = tmp_path / "started"
    with Worker(tasks, tmp_path, "killed") as worker:
        result = tasks.hold.delay(str(started))
        worker.wait("the task to start", started.exists)
        worker.kill()
    with Worker(tasks, tmp_path, "successor") as worker:
        assert collect(worker, [result]) == ["done by the next worker"]
    assert started.read_text() == "started\nstarted\n"


def test_remote_control_reaches_the_worker(tasks, tmp_path):
    with Worker(tasks, tmp_path, "controlled") as worker:
        pong = tasks.app.control.ping(timeout=10, limit=1, destination=[worker.name])
        assert pong == [{worker.name: {"ok": "pong"}}], worker.state()
        inspect = tasks.app.control.inspect(destination=[worker.name], timeout=10, limit=1)
        assert inspect.stats()[worker.name]["pool"]["max-concurrency"] == 4
        queues = {queue["name"] for queue in inspect.active_queues()[worker.name]}
        assert queues == {queue.name for queue in tasks.app.conf.task_queues}

        # A task that waits for its time is revoked by broadcast and never runs.
        revoked = tasks.add.apply_async((1, 1), countdown=60)
        worker.wait("the task to be scheduled", lambda: inspect.scheduled()[worker.name])
        tasks.app.control.revoke(revoked.id)
        worker.wait("the revocation", lambda: revoked.id in (inspect.revoked() or {}).get(worker.name, ()))
