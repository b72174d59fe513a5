"""kill -9 in the middle of producing, again and again: what was acknowledged is there, and nothing is there twice.

Two producers run through all the kills: an idempotent one of librdkafka with acks=all, which carries on by itself, and
one of raw requests with acks=1, which notes what it was answered. Afterwards the log is read and compared.
"""
import random
import threading
import time

import lib
import wire

ROUNDS = 20 if lib.FULL else 5
PARTITIONS = 4


class Idempotent(threading.Thread):
    """acknowledged: id -> (partition, offset)."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        from confluent_kafka import Producer
        self.topic, self.acknowledged, self.failures, self.sent_n, self.stopping = topic, {}, [], 0, False
        self.producer = Producer({
            'bootstrap.servers': bootstrap, 'enable.idempotence': True, 'linger.ms': 2, 'delivery.timeout.ms': 120000,
            'reconnect.backoff.ms': 20, 'reconnect.backoff.max.ms': 200, 'retry.backoff.ms': 50, 'log_level': 0,
            'topic.metadata.refresh.interval.ms': 500, 'error_cb': self.on_error})

    def on_error(self, error):
        if error.fatal():
            self.failures.append('fatal: %s' % error)

    def on_delivery(self, error, message):
        if error:
            self.failures.append('%s: %s' % (message.value(), error))
        else:
            self.acknowledged[int(message.value())] = message.partition(), message.offset()

    def run(self):
        while not self.stopping and not self.failures:
            if len(self.producer) > 2000:
                self.producer.poll(0.01)
                continue
            self.producer.produce(self.topic, value=b'%d' % self.sent_n, partition=self.sent_n % PARTITIONS,
                                  on_delivery=self.on_delivery)
            self.sent_n += 1
            self.producer.poll(0)
            if self.sent_n % 50 == 0:
                time.sleep(0.005)

    def finish(self):
        self.stopping = True
        self.join(30)
        self.producer.flush(60)


class Raw(threading.Thread):
    """One batch at a time with acks=1; noted: [(offset, value)] of what was answered without an error."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.bootstrap, self.topic, self.noted, self.refused, self.stopping = bootstrap, topic, [], [], False

    def run(self):
        n = 0
        while not self.stopping:
            try:
                with wire.Conn(self.bootstrap, timeout=5) as c:
                    while not self.stopping:
                        n += 1
                        values = [b'raw-%d-%d' % (n, i) for i in range(3)]
                        out = wire.produce(c, self.topic, wire.batch([(None, v) for v in values]), acks=1)
                        if out['error_code'] == 0:
                            self.noted += [(out['base_offset'] + i, v) for i, v in enumerate(values)]
                        elif out['error_code'] not in (3, 6):
                            self.refused.append(out['error_code'])
            except (OSError, ValueError):
                time.sleep(0.02)


def read_all(bootstrap, topic, partitions):
    """Every record of a topic through librdkafka, with its checksum check: {(partition, offset): value}"""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({'bootstrap.servers': bootstrap, 'group.id': 'reader', 'enable.auto.commit': False,
                         'check.crcs': True, 'enable.partition.eof': False})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(partitions)]
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    got, deadline = {}, time.monotonic() + 60
    while len(got) < sum(ends):
        lib.check(time.monotonic() < deadline, 'read %d of %d records within 60 s' % (len(got), sum(ends)))
        for m in consumer.consume(1000, timeout=1):
            lib.check(m.error() is None, 'consume: %s' % m.error())
            got[m.partition(), m.offset()] = m.value()
    consumer.close()
    return got, ends


def compare_idempotent(t, producer, got, ends):
    lib.equal(producer.failures[:3], [], 'failed deliveries of the idempotent producer')
    lib.equal(len(producer.acknowledged), producer.sent_n, 'records acknowledged of those sent')
    for p, end in enumerate(ends):
        ids = [int(got[p, o]) for o in range(end)]
        twice = len(ids) - len(set(ids))
        lib.equal(twice, 0, 'records of partition %d that are there more than once' % p)
        lib.equal(ids, sorted(ids), 'order in partition %d' % p)
    for i, place in producer.acknowledged.items():
        value = got.get(place)
        # A repeated batch may be answered without its offset (-1); then the record must be anywhere in its partition.
        if place[1] >= 0:
            lib.equal(value, b'%d' % i, 'record %d, acknowledged at %s' % (i, place))
    lib.equal(sorted(int(v) for v in got.values()), list(range(producer.sent_n)), 'the ids in the log')
    t.say('idempotent, acks=all: %d acknowledged, %d in the log, none twice' % (producer.sent_n, len(got)))


def compare_raw(t, producer, got):
    lib.check(producer.noted, 'the producer with acks=1 was never answered')
    lib.equal(sorted(set(producer.refused)), [], 'errors answered to acks=1')
    for offset, value in producer.noted:
        lib.equal(got.get((0, offset)), value, 'acks=1: the record acknowledged at offset %d' % offset)
    t.say('acks=1: %d acknowledged, all in the log of %d' % (len(producer.noted), len(got)))


def test(t):
    lib.own_broker_only()
    prng = random.Random(11)
    broker = t.broker(workers=3)
    wire.create_topic(broker.bootstrap, 'all', partitions=PARTITIONS)
    wire.create_topic(broker.bootstrap, 'one')
    idempotent, raw = Idempotent(broker.bootstrap, 'all'), Raw(broker.bootstrap, 'one')
    idempotent.start()
    raw.start()
    lib.wait_until(lambda: idempotent.acknowledged and raw.noted, 20, 'both producers are answered')
    for i in range(ROUNDS):
        time.sleep(prng.uniform(0.15, 0.8))
        before = len(idempotent.acknowledged)
        broker.kill()
        began = time.monotonic()
        broker.start()
        t.say('kill %d: %d acknowledged before it, ready again after %.2f s' % (i + 1, before, time.monotonic() - began))
        lib.wait_until(lambda: len(idempotent.acknowledged) > before or idempotent.failures, 30,
                       'the idempotent producer goes on')
    raw.stopping = True
    idempotent.finish()
    raw.join(10)
    got, ends = read_all(broker.bootstrap, 'all', PARTITIONS)
    compare_idempotent(t, idempotent, got, ends)
    compare_raw(t, raw, read_all(broker.bootstrap, 'one', 1)[0])
    broker.stop()


lib.main(test)
