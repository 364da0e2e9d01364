// The seven RabbitMQ tutorials with amqplib's promise API, and what comes out of them.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { test, beforeEach, afterEach } = require('node:test');
const amqp = require('amqplib');
const { url, unique, within, Inbox } = require('./support');

let connections;
beforeEach(() => { connections = []; });
afterEach(async () => {
  for (const connection of connections) await connection.close().catch(() => {});
});

async function connect() {
  const connection = await amqp.connect(url);
  connection.on('error', () => {}); // a test that expects one looks at it itself
  connections.push(connection);
  return connection;
}

async function open() {
  return (await connect()).createChannel();
}

async function subscribe(exchange, ...keys) {
  const channel = await open();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const key of keys) await channel.bindQueue(queue, exchange, key);
  const inbox = new Inbox();
  await channel.consume(queue, inbox.receive, { noAck: true });
  return inbox;
}

test('1 hello world', async (t) => {
  const queue = unique('hello');
  const sender = await open();
  await sender.assertQueue(queue, { durable: false });
  t.after(async () => {
    const connection = await amqp.connect(url);
    await (await connection.createChannel()).deleteQueue(queue);
    await connection.close();
  });
  sender.sendToQueue(queue, Buffer.from('Hello World!'));
  await sender.close();
  const receiver = await open();
  await receiver.assertQueue(queue, { durable: false });
  const inbox = new Inbox();
  await receiver.consume(queue, inbox.receive, { noAck: true });
  assert.deepEqual(await inbox.bodies(1), ['Hello World!']);
});

test('2 work queues', async () => {
  const queue = unique('task_queue');
  const tasks = await open();
  await tasks.assertQueue(queue, { durable: true });
  const worker = async () => {
    const channel = await open();
    await channel.prefetch(1);
    const inbox = new Inbox();
    await channel.consume(queue, inbox.receive, { noAck: false });
    return { channel, inbox };
  };
  const slow = await worker();
  tasks.sendToQueue(queue, Buffer.from('a long task'), { persistent: true });
  const [long] = await slow.inbox.next();
  assert.equal(long.properties.deliveryMode, 2);
  const quick = await worker();
  const bodies = Array.from({ length: 10 }, (_, i) => `task ${i}`);
  for (const body of bodies) tasks.sendToQueue(queue, Buffer.from(body), { persistent: true });
  for (const body of bodies) {
    const [message] = await quick.inbox.next();
    assert.equal(message.content.toString(), body);
    quick.channel.ack(message);
  }
  assert.equal(slow.inbox.messages.length, 0, 'the busy worker got another task');
  await slow.channel.close();
  const [again] = await quick.inbox.next();
  assert.equal(again.content.toString(), 'a long task');
  assert.equal(again.fields.redelivered, true);
  quick.channel.ack(again);
  await tasks.deleteQueue(queue);
});

test('3 publish and subscribe', async () => {
  const exchange = unique('logs');
  const channel = await open();
  await channel.assertExchange(exchange, 'fanout', { durable: false });
  channel.publish(exchange, '', Buffer.from('nobody listens'));
  const inboxes = [await subscribe(exchange, ''), await subscribe(exchange, '')];
  for (const body of ['info: Hello World!', 'warning']) channel.publish(exchange, '', Buffer.from(body));
  for (const inbox of inboxes) assert.deepEqual(await inbox.bodies(2), ['info: Hello World!', 'warning']);
  await channel.deleteExchange(exchange);
});

test('4 routing', async () => {
  const exchange = unique('direct_logs');
  const channel = await open();
  await channel.assertExchange(exchange, 'direct', { durable: false });
  const errors = await subscribe(exchange, 'error', 'end');
  const all = await subscribe(exchange, 'info', 'warning', 'error', 'end');
  for (const severity of ['info', 'debug', 'error', 'warning', 'end']) {
    channel.publish(exchange, severity, Buffer.from(severity));
  }
  assert.deepEqual(await errors.bodies(2), ['error', 'end']);
  assert.deepEqual(await all.bodies(4), ['info', 'error', 'warning', 'end']);
  await channel.deleteExchange(exchange);
});

test('5 topics', async () => {
  const exchange = unique('topic_logs');
  const channel = await open();
  await channel.assertExchange(exchange, 'topic', { durable: false });
  const expected = {
    '#': ['kern.critical', 'kern.info', 'cron.critical', 'cron.info', 'kern', 'kern.a.b', 'end'],
    'kern.*': ['kern.critical', 'kern.info', 'end'],
    'kern.#': ['kern.critical', 'kern.info', 'kern', 'kern.a.b', 'end'],
    '*.critical': ['kern.critical', 'cron.critical', 'end'],
  };
  const inboxes = {};
  for (const pattern of Object.keys(expected)) inboxes[pattern] = await subscribe(exchange, pattern, 'end');
  for (const key of expected['#']) channel.publish(exchange, key, Buffer.from(key));
  for (const [pattern, keys] of Object.entries(expected)) {
    assert.deepEqual(await inboxes[pattern].bodies(keys.length), keys, pattern);
  }
  await channel.deleteExchange(exchange);
});

test('6 RPC', async () => {
  const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
  const server = await open();
  const { queue: requests } = await server.assertQueue('', { exclusive: true });
  await server.prefetch(1);
  await server.consume(requests, (message) => {
    const reply = Buffer.from(String(fib(Number(message.content))));
    server.sendToQueue(message.properties.replyTo, reply, { correlationId: message.properties.correlationId });
    server.ack(message);
  });
  const client = await open();
  const { queue: replies } = await client.assertQueue('', { exclusive: true });
  const pending = new Map();
  await client.consume(replies, (message) => {
    const { correlationId } = message.properties;
    pending.get(correlationId)(Number(message.content));
    pending.delete(correlationId);
  }, { noAck: true });
  const call = (n) => within(new Promise((resolve) => {
    const correlationId = randomUUID();
    pending.set(correlationId, resolve);
    client.sendToQueue(requests, Buffer.from(String(n)), { correlationId, replyTo: replies });
  }), `the answer to fib(${n})`);
  const numbers = Array.from({ length: 20 }, (_, n) => n);
  assert.deepEqual(await Promise.all(numbers.map(call)), numbers.map(fib));
  assert.equal(pending.size, 0);
});

async function confirmChannel() {
  const channel = await (await connect()).createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const wantMessages = async (want) => assert.equal((await channel.checkQueue(queue)).messageCount, want);
  return { channel, queue, wantMessages };
}

test('7 publisher confirms, one by one', async () => {
  const { channel, queue, wantMessages } = await confirmChannel();
  for (let i = 0; i < 300; i++) {
    channel.sendToQueue(queue, Buffer.from(String(i)));
    await within(channel.waitForConfirms(), `the confirm of message ${i}`);
  }
  await wantMessages(300);
});

test('7 publisher confirms, in batches', async () => {
  const { channel, queue, wantMessages } = await confirmChannel();
  for (let batch = 0; batch < 30; batch++) {
    for (let i = 0; i < 100; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
    await within(channel.waitForConfirms(), `the confirms of batch ${batch}`);
  }
  await wantMessages(3000);
});

test('7 publisher confirms, asynchronously', async () => {
  const { channel, queue, wantMessages } = await confirmChannel();
  const outcomes = Array.from({ length: 3000 }, (_, i) => new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from(String(i)), {}, (error) => (error ? reject(error) : resolve(i)));
  }));
  const confirmed = await within(Promise.all(outcomes), 'all confirms');
  assert.equal(new Set(confirmed).size, 3000);
  await wantMessages(3000);
});

test('7 a refused publish is rejected', async () => {
  const { channel } = await confirmChannel();
  const { queue } = await channel.assertQueue('', {
    exclusive: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
  });
  channel.sendToQueue(queue, Buffer.from('fits'));
  await within(channel.waitForConfirms(), 'the confirm');
  channel.sendToQueue(queue, Buffer.from('does not fit'));
  await assert.rejects(within(channel.waitForConfirms(), 'the refusal'), /nacked/);
});

test('errors carry the broker\'s code and words', async () => {
  const connection = await connect();
  const channel = await connection.createChannel();
  const closed = new Promise((resolve) => { channel.on('error', resolve); });
  const missing = unique('missing');
  await assert.rejects(channel.checkQueue(missing), (error) => {
    assert.equal(error.code, 404);
    assert.match(error.message, new RegExp(`NOT_FOUND - no queue '${missing}' in vhost`));
    return true;
  });
  assert.equal((await within(closed, 'the error event')).code, 404);
  const { messageCount } = await (await connection.createChannel()).assertQueue('', { exclusive: true });
  assert.equal(messageCount, 0, 'the connection lives on');
});

test('mandatory messages come back, headers of all types arrive', async () => {
  const channel = await open();
  const headers = {
    text: 'grüße', int: 42, negative: -7, big: 2 ** 40, double: 1.5, yes: true, nothing: null,
    list: ['a', 1, { deep: 'x' }], table: { inner: { n: 1 } },
  };
  const returned = new Promise((resolve) => { channel.on('return', resolve); });
  channel.publish('', unique('missing'), Buffer.from('lost'), { mandatory: true, headers, messageId: 'id' });
  const message = await within(returned, 'the return');
  assert.equal(message.fields.replyCode, 312);
  assert.equal(message.fields.replyText, 'NO_ROUTE');
  assert.equal(message.properties.messageId, 'id');
  assert.deepEqual(message.properties.headers, headers);
});

test('a consumer learns that its queue went', async () => {
  const channel = await open();
  const queue = unique('doomed');
  await channel.assertQueue(queue);
  const inbox = new Inbox();
  await channel.consume(queue, inbox.receive);
  await channel.deleteQueue(queue);
  assert.deepEqual(await inbox.next(), [null]);
});
