// The @platformatic/kafka part of b_node.py: the same job as kafkajs.js by its admin, producer and consumer.
import assert from 'node:assert';
import { Admin, Consumer, Producer, ProduceAcks, stringDeserializers, stringSerializers } from '@platformatic/kafka';

const [bootstrap, topic, groupId] = process.argv.slice(2);
const PARTITIONS = 3;
const N = 3000;
const common = { clientId: 'matrix', bootstrapBrokers: [bootstrap], retries: 3 };

async function produce() {
  const producer = new Producer({ ...common, serializers: stringSerializers, idempotent: true });
  for (let from = 0; from < N; from += 500) {
    const messages = [];
    for (let i = from; i < from + 500; i++) {
      messages.push({ topic, key: `k${i}`, value: `v${i}`, partition: i % PARTITIONS, headers: { n: String(i) } });
    }
    await producer.send({ messages, acks: ProduceAcks.ALL, compression: 'gzip' });
  }
  await producer.close();
}

// Reads n records in the group, or from given offsets, and commits the ends.
async function consume(n, how) {
  const consumer = new Consumer({ ...common, groupId, deserializers: stringDeserializers });
  const stream = await consumer.consume({ topics: [topic], autocommit: false, maxWaitTime: 500, sessionTimeout: 10000,
    heartbeatInterval: 500, ...how });
  const seen = new Set();
  for await (const m of stream) {
    const i = Number(m.offset) * PARTITIONS + m.partition;
    assert.strictEqual(m.value, `v${i}`);
    assert.strictEqual(m.key, `k${i}`);
    assert.strictEqual(m.headers.get('n'), String(i));
    seen.add(i);
    if (seen.size === n) break;
  }
  const offsets = [];
  for (let p = 0; p < PARTITIONS; p++) offsets.push({ topic, partition: p, offset: BigInt(N / PARTITIONS), leaderEpoch: 0 });
  await consumer.commit({ offsets });
  await consumer.close(true);
}

async function main() {
  const admin = new Admin(common);
  await admin.createTopics({ topics: [topic], partitions: PARTITIONS, replicas: 1 });
  assert.ok((await admin.listTopics()).includes(topic));
  await produce();
  await consume(N, { mode: 'committed', fallbackMode: 'earliest' });
  const end = BigInt(N / PARTITIONS);
  await consume(10, { mode: 'manual', offsets: [
    { topic, partition: 0, offset: end - 10n }, { topic, partition: 1, offset: end }, { topic, partition: 2, offset: end }] });
  const groups = await admin.describeGroups({ groups: [groupId] });
  assert.strictEqual(groups.get(groupId).id, groupId);
  await admin.close();
  console.log(`${N} records`);
}

setTimeout(() => { console.error('not done within 60 s'); process.exit(1); }, 60000).unref();
main().then(() => process.exit(0), (e) => { console.error(e.stack, e.errors); process.exit(1); });
