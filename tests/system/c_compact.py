"""A compacted topic, compacted by us, killed, carried to Apache Kafka, compacted there, and carried back."""
import glob
import os
import random
import re

import kafka_java
import lib
import transfer
import wire

TOPIC, KEYS, ROUNDS = 'compacted', 400, 6
CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
CLEANER = {'log.cleaner.backoff.ms': 100, 'log.initial.task.delay.ms': 100}
CONFIGS = {'cleanup.policy': 'compact', 'segment.bytes': 1 << 20, 'min.cleanable.dirty.ratio': '0.01',
           'index.interval.bytes': 1000}


# A batch that is kept for its producer's last sequence has no records, in Apache Kafka's logs, too; its header's timestamp
# stands in the index, and kafka-dump-log misses a record of that time.
EMPTY = re.compile(r'Found timestamp mismatch in :.*\n(\s+Index timestamp: \d+, log timestamp: -1\n)+')


class Model:
    """What was produced: for each key the latest value; "" is a tombstone (kcat -Z)."""

    def __init__(self, t):
        self.t, self.latest, self.produced, self.random = t, {}, 0, random.Random(11)

    def produce(self, broker, rounds):
        for number in range(rounds):
            path = self.t.path('round')
            with open(path, 'wb') as f:
                for key in range(KEYS):
                    name = b'key-%d' % key
                    value = b'' if key % 10 == 9 and number == rounds - 2 else b'%d-' % number + bytes(
                        self.random.choices(b'0123456789abcdefghijklmnopqrstuv', k=1024))
                    f.write(name + b'\t' + value + b'\n')
                    self.latest[name] = value
                    self.produced += 1
            transfer.kcat_produce(broker, TOPIC, path, CODECS[number % len(CODECS)], '-Z', '-X', 'batch.num.messages=50',
                                  '-X', 'enable.idempotence=true')

    def check(self, broker, what):
        path = self.t.path('back')
        transfer.kcat_consume(broker, TOPIC, path, '-Z')
        last, records = {}, 0
        with open(path, 'rb') as f:
            for line in f.read().split(b'\n')[:-1]:
                key, _, value = line.partition(b'\t')
                last[key] = b'' if value == b'NULL' else value
                records += 1
        for key, value in self.latest.items():
            lib.check(last.get(key, b'') == value, '%s: %s is %r, but %r was written last' % (
                what, key, last.get(key, b'nothing')[:20], value[:20]))
        lib.check(set(last) <= set(self.latest), '%s: keys that nobody wrote' % what)
        self.t.say('%s: %d records of %d' % (what, records, self.produced))
        return records


def cleaner_offset(broker, topic=TOPIC):
    """As the checkpoint says; -1 when it says nothing."""
    try:
        with open(os.path.join(broker.data, 'cleaner-offset-checkpoint')) as f:
            rows = [line.split() for line in f]
    except OSError:
        return -1
    return max([int(row[2]) for row in rows if len(row) == 3 and row[0] == topic] or [-1])


def active_base(broker):
    return max([int(os.path.basename(f)[:20]) for f in glob.glob(os.path.join(broker.data, TOPIC + '-0', '*.log'))] or [-1])


def offsets_below(broker, offset):
    """How many records are left in front of it; the segment behind it, up to 1 MiB, is not the cleaner's yet."""
    _, out, _ = lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, 'consume', TOPIC, '-F', '%o\\n')
    return sum(int(o) < offset for o in out.split())


def wait_compacted(broker, what):
    lib.wait_until(lambda: cleaner_offset(broker) == active_base(broker) > 0, 90, what)


def test_dump(broker):
    logs = sorted(glob.glob(os.path.join(broker.data, TOPIC + '-0', '*.log')))
    rest = [f for end in ('index', 'timeindex') for f in glob.glob(os.path.join(broker.data, TOPIC + '-0', '*.' + end))]
    status, out, err = kafka_java.tool('org.apache.kafka.tools.DumpLogSegments', '--files', ','.join(logs + rest),
                                       '--deep-iteration', ok=False)
    text = out.decode('utf-8', 'replace') + err
    lib.check(status == 0, 'kafka-dump-log: status %d: %s' % (status, err[-800:]))
    text = EMPTY.sub('', text)
    for word in ('Mismatches in', 'Found timestamp mismatch', 'Exception', 'isvalid: false', 'out of order'):
        lib.check(word not in text, 'kafka-dump-log says: %s' % [x for x in text.splitlines() if word in x][:3])
    lib.check('deleteHorizonMs: OptionalLong[' in text, 'no tombstone has a delete horizon')


def commit(c, offset):
    out = c.call('OffsetCommit', 8, group_id='g', generation_id_or_member_epoch=-1, member_id='', group_instance_id=None,
                 topics=[dict(name='many', partitions=[dict(
                     partition_index=p, committed_offset=offset + p, committed_leader_epoch=-1,
                     committed_metadata='m' * 1000) for p in range(50)])])
    lib.equal({p['error_code'] for p in out['topics'][0]['partitions']}, {0}, 'errors of OffsetCommit')


def test_offsets(t):
    """__consumer_offsets is compacted, and a start reads what is left of it."""
    broker = t.broker(workers=3, settings={**CLEANER, 'offsets.topic.num.partitions': 1, 'offsets.topic.segment.bytes': 1 << 20,
                                           'log.cleaner.min.cleanable.ratio': 0.01, 'group.min.session.timeout.ms': 100})
    wire.create_topic(broker.bootstrap, 'many', partitions=50)
    with wire.Conn(broker.bootstrap) as c:
        lib.wait_until(lambda: c.call('FindCoordinator', 4, key_type=0, coordinator_keys=['g'])['coordinators'][0][
            'error_code'] == 0, 30, 'a coordinator')
        for i in range(100):
            commit(c, i * 1000)
    lib.wait_until(lambda: cleaner_offset(broker, '__consumer_offsets') > 0, 90, '__consumer_offsets is compacted')
    before = sum(os.path.getsize(f) for f in glob.glob(os.path.join(broker.data, '__consumer_offsets-0', '*.log')))
    lib.check(before < 3 << 20, '%d bytes of __consumer_offsets are left' % before)
    broker.kill()
    broker.start()

    def fetched():
        with wire.Conn(broker.bootstrap) as c:
            group = c.call('OffsetFetch', 8, groups=[dict(group_id='g', topics=None)], require_stable=False)['groups'][0]
        return group['error_code'] == 0 and {p['partition_index']: p['committed_offset']
                                             for p in group['topics'][0]['partitions']}
    lib.wait_until(fetched, 30, 'the group is loaded')
    lib.equal(fetched(), {p: 99000 + p for p in range(50)}, 'offsets after a start that read a compacted log')
    broker.stop()
    t.say('__consumer_offsets: %d bytes left of 100 commits of 50 offsets' % before)


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    broker = t.broker(workers=1, settings=CLEANER)
    wire.create_topic(broker.bootstrap, TOPIC, configs=CONFIGS)
    model = Model(t)
    model.produce(broker, ROUNDS)
    wait_compacted(broker, 'the topic is compacted')
    model.check(broker, 'compacted by us')
    cleaned = offsets_below(broker, cleaner_offset(broker))
    lib.check(0 < cleaned <= KEYS, '%d records are left below the cleaner, of %d keys' % (cleaned, KEYS))
    lib.check(broker.metric('millrace_compactions_total') >= 1, 'no compaction is counted')
    lib.equal(broker.metric('millrace_logs_uncleanable'), 0, 'logs that failed to be compacted')
    broker.kill()
    broker.start()
    model.check(broker, 'after kill -9')
    test_offsets(t)
    kafka_java.want(t)
    broker.stop()
    test_dump(broker)
    kafka = kafka_java.Kafka(t, broker, ['%s=%s' % kv for kv in CLEANER.items()])
    lib.wait_until(lambda: kafka.answers(TOPIC), 90, 'Apache Kafka serves our directory')
    model.check(broker, 'at Apache Kafka')
    model.produce(broker, 4)
    wait_compacted(broker, 'Apache Kafka has compacted it')
    kafka.stop()
    broker.start()
    model.check(broker, 'compacted by Apache Kafka')
    model.produce(broker, 3)
    wait_compacted(broker, 'it is compacted once more')
    model.check(broker, 'compacted by us again')
    broker.stop()


lib.main(test)
