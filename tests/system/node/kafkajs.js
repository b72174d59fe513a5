// The kafkajs part of b_node.py: creates a topic, produces with gzip, asks for offsets, consumes in a group, commits,
// seeks back, describes the group.
'use strict';
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');
const assert = require('assert');

const [bootstrap, topic, groupId] = process.argv.slice(2);
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

// Reads n records; where seekTo stands, partition 0 begins there anew. What was read is committed.
async function consume(kafka, n, seekTo) {
  const consumer = kafka.consumer({ groupId, rebalanceTimeout: 3000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const seen = new Set();
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${seen.size} of ${n} records came`)), 40000).unref();
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        const i = Number(message.offset) * PARTITIONS + partition;
        if (message.value.toString() !== `v${i}` || message.key.toString() !== `k${i}` ||
            message.headers.n.toString() !== String(i)) reject(new Error(`record ${i} came back as ${message.value}`));
        seen.add(i);
        if (seen.size === n) resolve();
      },
    }).catch(reject);
    if (seekTo !== undefined) consumer.seek({ topic, partition: 0, offset: String(seekTo) });
  });
  const offsets = [];
  for (let p = 0; p < PARTITIONS; p++) offsets.push({ topic, partition: p, offset: String(N / PARTITIONS) });
  await consumer.commitOffsets(offsets);
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
  await consume(kafka, N);
  await consume(kafka, 10, N / PARTITIONS - 10);
  const described = await admin.describeGroups([groupId]);
  assert.strictEqual(described.groups[0].state, 'Empty');
  await admin.disconnect();
  console.log(`${N} records`);
}

main().then(() => process.exit(0), (e) => { console.error(e.stack); process.exit(1); });
