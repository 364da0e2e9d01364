// What both suites need: the broker's address, bounded waits, and names that no other run uses.
'use strict';

const { randomUUID } = require('node:crypto');

const url = process.env.AMQP_URL;
if (!url) {
  console.error('AMQP_URL is not set: give the address of a broker, amqp://user:password@host:port/vhost');
  process.exit(2);
}

// Milliseconds that bound every wait for something that must happen.
const patience = 20_000;

const run = randomUUID();
const unique = (name) => `compat.js.${run}.${name}`;

// within fails when the promise has not settled in time, and says what was awaited.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Inbox is a consumer's callback that keeps what comes; next(n) waits for n further messages.
class Inbox {
  messages = [];
  #wake = () => {};

  receive = (message) => {
    this.messages.push(message);
    this.#wake();
  };

  async next(n = 1) {
    const enough = async () => {
      while (this.messages.length < n) {
        await new Promise((resolve) => { this.#wake = resolve; });
      }
    };
    await within(enough(), `${n} messages (${this.messages.length} came)`);
    return this.messages.splice(0, n);
  }

  async bodies(n) {
    return (await this.next(n)).map((message) => message.content.toString());
  }
}

module.exports = { url, unique, within, Inbox, patience };
