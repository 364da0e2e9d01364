// Tutorials 1, 2 and 6 with amqplib's callback API.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const amqp = require('amqplib/callback_api');
const { url, within } = require('./support');

// program runs a callback-style program: it gets a connection, done(error) and check(fn), which turns a throw inside a
// callback into the test's failure.
function program(body) {
  return () => within(new Promise((resolve, reject) => {
    amqp.connect(url, (error, connection) => {
      if (error) return reject(error);
      const done = (failure) => connection.close(() => (failure ? reject(failure) : resolve()));
      const check = (fn) => (failure, ...results) => {
        if (failure) return done(failure);
        try {
          return fn(...results);
        } catch (thrown) {
          return done(thrown);
        }
      };
      body(connection, done, check);
    });
  }), 'the program to end');
}

test('1 hello world', program((connection, done, check) => {
  connection.createChannel(check((channel) => {
    channel.assertQueue('', { exclusive: true }, check(({ queue }) => {
      channel.sendToQueue(queue, Buffer.from('Hello World!'));
      channel.consume(queue, (message) => check(() => {
        assert.equal(message.content.toString(), 'Hello World!');
        assert.equal(message.fields.routingKey, queue);
        done();
      })(null), { noAck: true });
    }));
  }));
}));

test('2 work queues', program((connection, done, check) => {
  connection.createChannel(check((channel) => {
    channel.assertQueue('', { exclusive: true }, check(({ queue }) => {
      const seen = [];
      channel.prefetch(1);
      channel.consume(queue, (message) => check(() => {
        seen.push([message.content.toString(), message.fields.redelivered]);
        if (seen.length === 1) return channel.nack(message); // the first attempt fails
        channel.ack(message);
        if (seen.length === 6) {
          assert.deepEqual(seen, [
            ['0', false], ['0', true], ['1', false], ['2', false], ['3', false], ['4', false],
          ]);
          done();
        }
      })(null));
      for (let i = 0; i < 5; i++) channel.sendToQueue(queue, Buffer.from(String(i)), { persistent: true });
    }));
  }));
}));

test('6 RPC', program((connection, done, check) => {
  connection.createChannel(check((channel) => {
    channel.assertQueue('', { exclusive: true }, check(({ queue: requests }) => {
      channel.consume(requests, (message) => {
        const { replyTo, correlationId } = message.properties;
        channel.sendToQueue(replyTo, Buffer.from(String(Number(message.content) ** 2)), { correlationId });
        channel.ack(message);
      });
      const answers = {};
      channel.consume('amq.rabbitmq.reply-to', (message) => check(() => {
        answers[message.properties.correlationId] = message.content.toString();
        if (Object.keys(answers).length === 10) {
          for (let n = 0; n < 10; n++) assert.equal(answers[`id ${n}`], String(n * n));
          done();
        }
      })(null), { noAck: true }, check(() => {
        for (let n = 0; n < 10; n++) {
          channel.sendToQueue(requests, Buffer.from(String(n)), {
            replyTo: 'amq.rabbitmq.reply-to', correlationId: `id ${n}`,
          });
        }
      }));
    }));
  }));
}));

test('7 publisher confirms', program((connection, done, check) => {
  connection.createConfirmChannel(check((channel) => {
    channel.assertQueue('', { exclusive: true }, check(({ queue }) => {
      for (let i = 0; i < 1000; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      channel.waitForConfirms(check(() => {
        channel.checkQueue(queue, check(({ messageCount }) => {
          assert.equal(messageCount, 1000);
          done();
        }));
      }));
    }));
  }));
}));
