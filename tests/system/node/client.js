// The kafkajs part of b_node.py: creates a topic, produces with gzip, asks for offsets, and consumes in a group when the
// broker has groups.
'use strict';
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');
const assert = require('assert');

const [bootstrap, topic, withGroups] = process.argv.slice(2);
const PARTITIONS = 3;
const N = 3000;

async function produce(kafka) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (let from = 0; from < N; from += 500) {
    const messages = [];
    for (let i = from; i < from + 500; i++) {
      messages.push({ key: `k${i}`, value: `v${i}`, partition: i % PARTITIONS, headers: { n: String(i) } });
    }
    await producer.send({ topic, messages, acks: -1, compression: CompressionTypes.GZIP });
  }
  await producer.disconnect();
}

async function offsets(admin) {
  const found = await admin.fetchTopicOffsets(topic);
  assert.strictEqual(found.length, PARTITIONS);
  for (const p of found) {
    assert.strictEqual(p.low, '0');
    assert.strictEqual(p.high, String(N / PARTITIONS));
  }
}

async function consume(kafka) {
  const consumer = kafka.consumer({ groupId: `${topic}-group`, rebalanceTimeout: 3000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const seen = new Set();
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${seen.size} of ${N} records came`)), 30000).unref();
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        const i = Number(message.offset) * PARTITIONS + partition;
        if (message.value.toString() !== `v${i}` || message.key.toString() !== `k${i}` ||
            message.headers.n.toString() !== String(i)) reject(new Error(`record ${i} came back as ${message.value}`));
        seen.add(i);
        if (seen.size === N) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
}

async function main() {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR, retry: { retries: 3 } });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] });
  assert.ok((await admin.listTopics()).includes(topic));
  await produce(kafka);
  await offsets(admin);
  if (withGroups === 'groups') await consume(kafka);
  await admin.deleteTopics({ topics: [topic] });
  await admin.disconnect();
  console.log(`${N} records`);
}

main().then(() => process.exit(0), (e) => { console.error(e.stack); process.exit(1); });
