"""kafka-dump-log of Apache Kafka 4.3 reads what a clean stop left: segments, indexes, snapshots, the metadata log."""
import glob
import os
import re

import kafka_java
import lib
import transfer
import wire


def dump(files, *options):
    status, out, err = kafka_java.tool('org.apache.kafka.tools.DumpLogSegments', '--files', ','.join(files), *options, ok=False)
    text = out.decode('utf-8', 'replace')
    lib.check(status == 0, 'kafka-dump-log %s: status %d: %s' % (files, status, err[-800:]))
    # "Non-consecutive offsets" is not among them: the tool says it of every segment that does not begin at 0.
    for word in ('Found timestamp mismatch', 'Mismatches in', 'Index sanity check failed', 'Exception',
                 'Found out of order timestamp', 'isvalid: false'):
        lib.check(word not in text + err, 'kafka-dump-log %s says: %s' % (files, [
            line for line in (text + err).splitlines() if word in line][:3]))
    return text


def fill(t, broker):
    # Small segments and a dense index, so that the topic has several of each.
    wire.create_topic(broker.bootstrap, 'dumped', configs={'segment.bytes': 1048576, 'index.interval.bytes': 4096})
    path = t.path('in')
    with open(path, 'wb') as f:
        f.write(transfer.lines(4000, bytes_n=1024))
    transfer.kcat_produce(broker, 'dumped', path, 'none', '-X', 'batch.num.messages=20')
    transfer.kcat_produce(broker, 'dumped', path, 'zstd', '-X', 'enable.idempotence=true')
    return 8000


def test_segments(t, broker, records_n):
    directory = os.path.join(broker.data, 'dumped-0')
    logs = sorted(glob.glob(os.path.join(directory, '*.log')))
    lib.check(len(logs) > 2, 'segments in %s: %s' % (directory, sorted(os.listdir(directory))))
    text = dump(logs, '--deep-iteration')
    offsets = [int(n) for n in re.findall(r'^\| offset: (\d+) ', text, re.M)]
    lib.equal(len(offsets), records_n, 'records that kafka-dump-log finds')
    lib.check(offsets == list(range(records_n)), 'the offsets that kafka-dump-log finds have gaps')
    indexes = sorted(glob.glob(os.path.join(directory, '*.index')))
    dump(indexes + sorted(glob.glob(os.path.join(directory, '*.timeindex'))))
    dump(indexes, '--index-sanity-check')
    snapshots = glob.glob(os.path.join(directory, '*.snapshot'))
    lib.check(snapshots, 'no producer snapshot after a clean stop')
    last = dump([sorted(snapshots)[-1]])
    lib.check('producerId' in last, 'the producer snapshot names no producer: %s' % last)
    t.say('%d segments, %d records, %d snapshots' % (len(logs), records_n, len(snapshots)))


def test_metadata_log(t, broker):
    directory = os.path.join(broker.data, '__cluster_metadata-0')
    logs = sorted(glob.glob(os.path.join(directory, '*.log')))
    lib.check(logs, 'no metadata log in %s' % os.listdir(broker.data))
    text = dump(logs, '--cluster-metadata-decoder')
    for record in ('TOPIC_RECORD', 'PARTITION_RECORD', 'FEATURE_LEVEL_RECORD', 'REGISTER_BROKER_RECORD', 'CONFIG_RECORD'):
        lib.check(record in text, 'the metadata log holds no %s' % record)
    lib.check('"name":"dumped"' in text, 'the metadata log does not name the topic')
    snapshots = sorted(glob.glob(os.path.join(directory, '*.checkpoint')))
    if snapshots:
        dump(snapshots, '--cluster-metadata-decoder')
    t.say('%d metadata logs, %d metadata snapshots' % (len(logs), len(snapshots)))


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    kafka_java.want(t)
    broker = t.broker(workers=3)
    records_n = fill(t, broker)
    broker.stop()
    test_segments(t, broker, records_n)
    test_metadata_log(t, broker)


lib.main(test)
