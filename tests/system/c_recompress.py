"""compression.type of a topic: what any client sends comes back byte for byte in the topic's codec; batches that are
wrong inside get Apache Kafka's codes; kafka-dump-log reads the segments. SYSTEM_KAFKA=1 asks an Apache Kafka the same.
"""
import glob
import gzip
import os
import re
import struct

import kafka_java
import lib
import transfer
import wire

TYPE = dict(zip(lib.CODECS, ('uncompressed',) + lib.CODECS[1:]))


def clients(t, broker):
    """kcat with every codec, into a topic of every codec."""
    path = t.path('in')
    with open(path, 'wb') as f:
        f.write(transfer.lines(2000, bytes_n=512))
    for codec in lib.CODECS:
        topic = t.topic('to-' + codec)
        wire.create_topic(broker.bootstrap, topic, configs={'compression.type': TYPE[codec]})
        for sent in lib.CODECS:
            transfer.kcat_produce(broker, topic, path, sent, '-X', 'enable.idempotence=true')
        back, want = t.path('back'), t.path('want')
        transfer.kcat_consume(broker, topic, back)
        with open(path, 'rb') as f, open(want, 'wb') as g:
            g.write(f.read() * len(lib.CODECS))
        transfer.same_files(want, back, 'compression.type=' + TYPE[codec])
        lib.equal(transfer.stored_codec(broker, topic), [transfer.NUMBER[codec]], 'stored codec of ' + topic)
    t.say('kcat: %d codecs into %d' % (len(lib.CODECS), len(lib.CODECS)))


def python_clients(t, broker):
    import confluent_kafka
    import kafka
    values = [b'%d ' % i * 50 for i in range(500)]
    topic = t.topic('python')
    wire.create_topic(broker.bootstrap, topic, configs={'compression.type': 'gzip'})
    failed = []
    p = confluent_kafka.Producer({'bootstrap.servers': broker.bootstrap, 'compression.type': 'lz4', 'acks': 'all',
                                  'enable.idempotence': True, 'linger.ms': 5})
    for v in values:
        p.produce(topic, v, partition=0, on_delivery=lambda e, m: failed.append(e) if e else None)
    lib.equal(p.flush(30), 0, 'messages left in confluent-kafka')
    lib.equal(failed, [], 'errors of confluent-kafka')
    p = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=None, acks='all', linger_ms=5)
    sent = [p.send(topic, v, partition=0) for v in values]
    lib.equal([s.get(30).offset for s in sent], list(range(500, 1000)), 'offsets of kafka-python')
    p.close()
    c = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=30000)
    tp = kafka.TopicPartition(topic, 0)
    c.assign([tp])
    c.seek(tp, 0)
    got = []
    while len(got) < 1000:
        got.append(next(c).value)
    c.close()
    lib.check(got == values * 2, 'kafka-python reads something else')
    lib.equal(transfer.stored_codec(broker, topic), [transfer.NUMBER['gzip']], 'stored codec of ' + topic)


def packed(records, **wrong):
    """A batch of gzip; records is [(key, value)]."""
    payload = wrong.pop('payload', None)
    if payload is None:
        payload = gzip.compress(b''.join(wire.record(i, k, v) for i, (k, v) in enumerate(records)))
    return wire.batch(records, attributes=1 | wrong.pop('bits', 0), payload=payload, **wrong)


def gaps(n):
    """n records whose offsets are 0, 2, 4 .."""
    return gzip.compress(b''.join(wire.record(2 * i, b'k', b'v') for i in range(n)))


def late(times):
    return b''.join(wire.record(i, b'k', b'v', timestamp_delta=d) for i, d in enumerate(times))


def bomb(n):
    return gzip.compress(wire.record(0, b'k', bytes(n)))


RECORDS = [(b'k%d' % i, b'value' * 20) for i in range(5)]
NOW = 1700000000000

# What is sent, to a topic of which settings; the code, and of what stands in the log: codec and other attributes,
# count, base timestamp, largest timestamp. All of it is what Apache Kafka 4.3.1 answers, but for APACHES.
ROWS = (
    ('into zstd', {'compression.type': 'zstd'}, packed(RECORDS, timestamp=NOW), 0, (4, 5, NOW, NOW)),
    ('out of gzip', {'compression.type': 'uncompressed'}, packed(RECORDS, timestamp=NOW), 0, (0, 5, NOW, NOW)),
    ('plain into gzip', {'compression.type': 'gzip'}, wire.batch(RECORDS, timestamp=NOW), 0, (1, 5, NOW, NOW)),
    ('producer stays', {'compression.type': 'lz4'},
     packed(RECORDS, timestamp=NOW, producer_id=4711, producer_epoch=3, sequence=0), 0, (3, 5, NOW, NOW)),
    ('base time', {'compression.type': 'gzip'}, wire.batch(RECORDS[:3], timestamp=NOW, payload=late((7, -3, 900))), 0,
     (1, 3, NOW + 7, NOW + 900)),
    ('largest time', {}, wire.batch(RECORDS[:3], timestamp=NOW, payload=late((0, 50, 20))), 0, (0, 3, NOW, NOW + 50)),
    ('largest time inside', {}, packed(RECORDS[:3], timestamp=NOW, payload=gzip.compress(late((0, 50, 20)))), 0,
     (1, 3, NOW, NOW + 50)),
    ('gaps', {'compression.type': 'gzip'}, packed(RECORDS[:3], timestamp=NOW, payload=gaps(3)), 0, (1, 3, NOW, NOW)),
    ('gaps into plain', {'compression.type': 'uncompressed'}, packed(RECORDS[:3], timestamp=NOW, payload=gaps(3)), 0,
     (0, 3, NOW, NOW)),
    ('append time', {'message.timestamp.type': 'LogAppendTime'}, packed(RECORDS, timestamp=NOW), 0, (9, 5, NOW, None)),
    ('append time into lz4', {'message.timestamp.type': 'LogAppendTime', 'compression.type': 'lz4'},
     packed(RECORDS, timestamp=NOW), 0, (11, 5, NOW, None)),
    ('not gzip', {'compression.type': 'lz4'}, packed(RECORDS, payload=b'\xee' * 100), 2, None),
    ('not gzip, same codec', {}, packed(RECORDS, payload=b'\xee' * 100), 2, None),
    ('cut gzip', {'compression.type': 'lz4'},
     packed(RECORDS, payload=gzip.compress(b''.join(wire.record(i, k, v) for i, (k, v) in enumerate(RECORDS)))[:-20]),
     2, None),
    ('wrong record', {'compression.type': 'lz4'}, packed(RECORDS, payload=gzip.compress(b'\x7f' * 100)), 87, None),
    ('too few records', {'compression.type': 'lz4'}, packed(RECORDS, count=6, last_delta=5), 87, None),
    ('too many records', {'compression.type': 'lz4'}, packed(RECORDS, count=4, last_delta=3), 87, None),
    ('checksum', {'compression.type': 'lz4'}, packed(RECORDS, crc_xor=1), 2, None),
    ('no key', {'cleanup.policy': 'compact'}, packed([(b'k', b'v'), (None, b'v')]), 87, None),
    ('old time inside', {'message.timestamp.before.max.ms': 3600000},
     packed(RECORDS[:2], timestamp=wire.now_ms(), payload=gzip.compress(late((0, -7200000)))), 32, None),
    ('bomb', {'compression.type': 'uncompressed', 'max.message.bytes': 100000}, packed(RECORDS[:1], payload=bomb(1 << 21)),
     10, None),
    ('grows', {'compression.type': 'snappy', 'max.message.bytes': 1100},
     wire.batch([(None, os.urandom(1010))], timestamp=NOW), 10, None),
)
# Apache Kafka answers UNKNOWN_SERVER_ERROR where a batch does not decompress, and fails to close gaps within a codec.
APACHES = {'gaps': -1, 'not gzip': -1, 'not gzip, same codec': -1, 'cut gzip': -1}


def stored(c, topic):
    answer = wire.fetch(c, topic, 0)
    lib.equal(answer['error_code'], 0, 'Fetch of ' + topic)
    found = wire.batches(answer['records'])
    lib.equal(len(found), 1, 'batches in ' + topic)
    base, attributes, count, pid, epoch, seq, whole = found[0]
    lib.equal(base, 0, 'base offset in ' + topic)
    lib.equal(wire.crc32c(whole[21:]), struct.unpack_from('>I', whole, 17)[0], 'checksum in ' + topic)
    first, largest = struct.unpack_from('>qq', whole, 27)
    return (attributes, count, first, largest), (pid, epoch, seq), whole


def row(c, broker, topic, what, settings, batch, code, want):
    wire.create_topic(broker.bootstrap, topic, configs=settings)
    began = wire.now_ms()
    answer = wire.produce(c, topic, batch)
    if lib.APACHE:
        code = APACHES.get(what, code)
    lib.equal(answer['error_code'], code, 'code, of %r' % answer)
    if code:
        lib.equal(wire.end_offset(c, topic), 0, 'end of the log')
        lib.check(lib.APACHE or answer['error_message'], 'no reason')
        return
    got, producer, whole = stored(c, topic)
    if want[3] is None:
        lib.check(began - 1000 <= got[3] <= wire.now_ms() + 1000, 'stamped %r' % (got,))
        lib.equal(answer['log_append_time_ms'], got[3], 'time in the answer')
        got = got[:3] + (None,)
    lib.equal(got, want, 'attributes, count, base and largest timestamp')
    lib.equal(producer, struct.unpack_from('>qhi', batch, 43), 'producer')
    if got[0] in (0, 1):
        inside = whole[:21] + bytes(2) + whole[23:61] + (gzip.decompress(whole[61:]) if got[0] else whole[61:])
        lib.equal([r[0] for r in wire.records_of(inside)], list(range(want[1])), 'offsets')


def rows(t, broker):
    wrong = []
    with wire.Conn(broker.bootstrap, timeout=30) as c:
        for at, (what, *rest) in enumerate(ROWS):
            try:
                row(c, broker, 'row-%d' % at, what, *rest)
            except lib.Failed as e:
                wrong.append('%s: %s' % (what, e))
    lib.check(not wrong, '\n'.join(wrong))
    t.say('%d batches made by hand' % len(ROWS))


def versions(t, broker):
    """zstd of a topic: who does not know it may send to it, and is not told at a fetch (as since Apache Kafka 4.0)."""
    with wire.Conn(broker.bootstrap, timeout=30) as c:
        wire.create_topic(broker.bootstrap, 'zstd', configs={'compression.type': 'zstd'})
        lib.equal(wire.produce(c, 'zstd', wire.batch(RECORDS), version=3)['error_code'], 0, 'Produce v3 into zstd')
        for version, code in ((9, 0), (10, 0)):
            values = dict(max_wait_ms=100, min_bytes=1, max_bytes=1 << 20, topics=[dict(topic='zstd', partitions=[
                dict(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)])])
            out = c.call('Fetch', version, **values)['responses'][0]['partitions'][0]
            lib.equal(out['error_code'], code, 'Fetch v%d of zstd' % version)


def changed(t, broker):
    """The setting may change while the broker runs; what is there stays."""
    if lib.PEER:
        return
    wire.create_topic(broker.bootstrap, 'changed')
    with wire.Conn(broker.bootstrap, timeout=30) as c:
        for at, (codec, number) in enumerate((('gzip', 1), ('producer', 0), ('zstd', 4))):
            lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, 'config', 'set', 'topic', 'changed',
                    'compression.type=' + codec)
            lib.equal(wire.produce(c, 'changed', wire.batch(RECORDS))['error_code'], 0, 'Produce')
            found = wire.batches(wire.fetch(c, 'changed', 5 * at)['records'])
            lib.equal([b[1] & 7 for b in found if b[0] == 5 * at], [number], 'codec after ' + codec)
    for name, least in (('inflated_batches', len(ROWS)), ('inflated_batches_refused', 11), ('recompressed_bytes_in', 1),
                        ('recompressed_bytes_out', 1)):
        lib.wait_until(lambda: broker.metric('millrace_%s_total' % name) >= least, 30, name + ' are counted')


def dumped(t, broker):
    """kafka-dump-log reads all of it, record by record."""
    broker.stop()
    kafka_java.want(t)
    for codec in lib.CODECS:
        logs = glob.glob(os.path.join(broker.data, '*to-%s-0' % codec, '*.log'))
        lib.check(logs, 'no segment of ' + codec)
        status, out, err = kafka_java.tool('org.apache.kafka.tools.DumpLogSegments', '--files', ','.join(logs),
                                           '--deep-iteration', ok=False)
        text = out.decode('utf-8', 'replace')
        lib.equal(status, 0, 'kafka-dump-log: ' + err[-500:])
        lib.check('Exception' not in text + err and 'isvalid: false' not in text, 'kafka-dump-log complains')
        lib.equal(set(re.findall(r'compresscodec: (\w+)', text)), {codec}, 'codecs in ' + codec)
        offsets = [int(n) for n in re.findall(r'^\| offset: (\d+) ', text, re.M)]
        lib.check(offsets == list(range(2000 * len(lib.CODECS))), 'offsets in ' + codec)
    t.say('kafka-dump-log agrees')


def test(t):
    lib.need('kcat')
    broker = t.broker(workers=3, settings={'storage.validate.compressed': 'true'})
    clients(t, broker)
    python_clients(t, broker)
    rows(t, broker)
    versions(t, broker)
    changed(t, broker)
    dumped(t, broker)


lib.main(test)
