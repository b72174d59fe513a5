"""Three members of a group share six partitions; one leaves; every record is delivered, offsets are committed."""
import time

import lib
import wire

PARTITIONS, RECORDS = 6, 1200


def consumer(broker, group):
    from confluent_kafka import Consumer
    return Consumer({'bootstrap.servers': broker.bootstrap, 'group.id': group, 'auto.offset.reset': 'earliest',
                     'enable.auto.commit': False, 'session.timeout.ms': 10000, 'heartbeat.interval.ms': 500})


def fill(broker, topic, first):
    from confluent_kafka import Producer
    p = Producer({'bootstrap.servers': broker.bootstrap, 'linger.ms': 1})
    for i in range(first, first + RECORDS):
        p.produce(topic, value=('%d ' % i).ljust(500, 'x'), partition=i % PARTITIONS)
    lib.equal(p.flush(60), 0, 'records not delivered')


def poll(consumers, until, what, seen):
    end = time.monotonic() + 60
    while not until():
        lib.check(time.monotonic() < end, 'not within 60 s: %s' % what)
        for c in consumers:
            m = c.poll(0.02)
            if m is not None and m.error() is None:
                seen.add(int(m.value().split()[0]))


def test(t):
    from confluent_kafka import TopicPartition
    broker, topic, seen = t.broker(), t.topic('groups'), set()
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    fill(broker, topic, 0)
    cs = [consumer(broker, 'g-' + topic) for _ in range(3)]
    for c in cs:
        c.subscribe([topic])
    poll(cs, lambda: sorted(len(c.assignment()) for c in cs) == [2, 2, 2], 'two partitions for each of three', seen)
    poll(cs, lambda: len(seen) == RECORDS, 'every record', seen)
    for c in cs:
        c.commit(asynchronous=False)
    cs.pop().close()
    poll(cs, lambda: sorted(len(c.assignment()) for c in cs) == [3, 3], 'three partitions for each of two', seen)
    fill(broker, topic, RECORDS)
    poll(cs, lambda: len(seen) == 2 * RECORDS, 'every record after one left', seen)
    for c in cs:
        c.commit(asynchronous=False)
    done = cs[0].committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=30)
    lib.equal(sum(p.offset for p in done), 2 * RECORDS, 'committed offsets')
    for c in cs:
        c.close()


lib.main(test)
