"""`millrace verify` over directories of ours and of Apache Kafka 4.3; read_committed over a log with transactions that it wrote."""
import glob
import json
import os
import signal
import struct

import kafka_java
import lib
import transfer
import wire

TOPIC, ROUNDS = 'transactions', 8


def verify(directory, *options, expect=0):
    status, out, err = lib.run(lib.MILLRACE, 'verify', '--json', directory, *options, ok=False)
    rows = [json.loads(line) for line in out.decode().splitlines()]
    lib.check(status == expect, 'verify %s %s: status %d, expected %d: %s %s' % (
        directory, options, status, expect, rows[:8], err))
    return rows


def test_ours(t, broker):
    wire.create_topic(broker.bootstrap, 'verified', partitions=2, configs={'segment.bytes': 1048576})
    path = t.path('in')
    with open(path, 'wb') as f:
        f.write(transfer.lines(4000, bytes_n=1024))
    for codec in lib.CODECS:
        transfer.kcat_produce(broker, 'verified', path, codec, '-X', 'enable.idempotence=true')
    status, _, err = lib.run(lib.MILLRACE, 'verify', broker.data, ok=False)
    lib.check(status == 2 and 'in use' in err, 'verify beside a running broker: %d %s' % (status, err))
    broker.kill()
    rows = verify(broker.data)
    t.say('after kill -9: %s' % rows[-1])
    broker.start()
    broker.stop()
    rows = verify(broker.data)
    lib.check(rows[-1]['records'] >= 4000 * len(lib.CODECS), 'records: %r' % rows[-1])
    lib.equal(rows[-1]['notes'], 0, 'notes after a clean stop: %r' % rows)
    index = sorted(glob.glob(os.path.join(broker.data, 'verified-*', '*.index')), key=os.path.getsize)[-1]
    with open(index, 'r+b') as f:
        f.seek(5)
        f.write(b'\x55')
    rows = verify(broker.data, expect=1)
    lib.equal([r['path'] for r in rows if r['row'] == 'damage'], [index], 'damages')
    verify(broker.data, '--repair', '--dry-run', expect=1)
    verify(broker.data, '--repair')
    rows = verify(broker.data)
    log = index[:-len('.index')] + '.log'
    with open(log, 'r+b') as f:
        f.seek(300)
        f.write(b'damaged')
    rows = verify(broker.data, '--repair', expect=1)
    lib.check(rows[-1]['refused'] == 1 and '--allow-loss' in str(rows), 'a loss is refused: %r' % rows)
    status, _, err = lib.run(lib.MILLRACE, 'verify', '/nonexistent', ok=False)
    lib.equal(status, 2, 'no such directory: %s' % err)
    t.say('ours: %d records, %d bytes' % (rows[-1]['records'], rows[-1]['bytes']))


class Kafka:
    """An Apache Kafka on a directory that it formatted itself."""

    def __init__(self, t, port, data):
        controller = lib.free_port()
        self.t, self.bootstrap, self.properties = t, '127.0.0.1:%d' % port, t.path('kafka.properties')
        with open(self.properties, 'w') as f:
            f.write('\n'.join([
                'process.roles=broker,controller', 'node.id=1', 'log.dirs=' + data,
                'controller.quorum.voters=1@127.0.0.1:%d' % controller, 'controller.listener.names=CONTROLLER',
                'listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d' % (self.bootstrap, controller),
                'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
                'offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1',
                'transaction.state.log.replication.factor=1', 'transaction.state.log.min.isr=1',
                'transaction.state.log.num.partitions=1', 'group.initial.rebalance.delay.ms=0', '']))
        kafka_java.tool('kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', self.properties)
        self.log = open(t.path('kafka.log'), 'wb')

    def start(self):
        self.process = self.t.spawn(*kafka_java.command('kafka.Kafka', self.properties), stdout=self.log, stderr=self.log)
        lib.wait_until(self.answers, 90, 'Apache Kafka answers')

    def answers(self):
        lib.check(self.process.poll() is None, 'Apache Kafka ended at its start')
        try:
            with wire.Conn(self.bootstrap, timeout=2) as c:
                return c.call('Metadata', 12, topics=[])['brokers']
        except (OSError, ValueError):
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def committed(bootstrap, is_ordered):
    """What a reader of committed records sees -> ([(offset, value)], all aborted entries it was told).

    Apache Kafka tells them in the order of their markers, we by their first offset (is_ordered)."""
    out, told, at = [], set(), 0
    with wire.Conn(bootstrap) as c:
        while True:
            answer = c.call('Fetch', 12, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, isolation_level=1, topics=[
                dict(topic=TOPIC, partitions=[dict(partition=0, fetch_offset=at, partition_max_bytes=2000)])])
            p = answer['responses'][0]['partitions'][0]
            lib.equal(p['error_code'], 0, 'Fetch at %d' % at)
            aborted = [(a['producer_id'], a['first_offset']) for a in p['aborted_transactions'] or []]
            if is_ordered:
                lib.equal([first for _, first in aborted], sorted(first for _, first in aborted), 'order of aborted transactions')
            told.update(aborted)
            batches = wire.batches(p['records'] or b'')
            if not batches:
                return out, told, p
            pending = sorted(aborted, key=lambda a: a[1])
            out += visible(batches, pending, at)
            last = batches[-1]
            at = last[0] + struct.unpack_from('>i', last[6], 23)[0] + 1


def visible(batches, pending, at):
    """As a client does it (Fetcher): an aborted producer's batches are skipped until its abort marker."""
    out, skipped = [], set()
    for base, attributes, _, producer, _, _, whole in batches:
        last = base + struct.unpack_from('>i', whole, 23)[0]
        while pending and pending[0][1] <= last:
            skipped.add(pending.pop(0)[0])
        if attributes & 32:
            if wire.records_of(whole)[0][1][2:4] == b'\x00\x00':
                skipped.discard(producer)
        elif not (attributes & 16 and producer in skipped):
            out += [(o, v) for o, _, v in wire.records_of(whole) if o >= at]
    return out


def test_kafka(t):
    port, data = lib.free_port(), t.path('kafka-data')
    kafka = Kafka(t, port, data)
    kafka.start()
    wire.create_topic(kafka.bootstrap, TOPIC, configs={'segment.bytes': 1048576})
    wire.create_topic(kafka.bootstrap, 'plain', partitions=2, configs={'segment.bytes': 1048576})
    path = t.path('kafka-in')
    with open(path, 'wb') as f:
        f.write(transfer.lines(3000, bytes_n=1024))
    for codec in lib.CODECS:
        transfer.kcat_produce(kafka, 'plain', path, codec)
    status, out, err = lib.run('java', '-Xmx256m', '-cp', os.path.join(kafka_java.library(), '*'), os.path.join(
        lib.HERE, 'java', 'Transactions.java'), kafka.bootstrap, TOPIC, str(ROUNDS), timeout=120, ok=False)
    lib.check(b'done' in out, 'the transactions: %d %s' % (status, err[-500:]))
    theirs, told, p = committed(kafka.bootstrap, False)
    kafka.stop()
    rows = verify(data)
    lib.check(rows[-1]['records'] > 3000 * len(lib.CODECS), 'records of Apache Kafka: %r' % rows[-1])
    lib.equal([r for r in rows if r['row'] != 'summary'], [], 'findings in a directory of Apache Kafka')
    t.say("Apache Kafka's directory: %r" % rows[-1])

    # The same directory, served by us: the same records are visible, the same transactions told.
    ours = t.broker(start=False, settings={'log.dirs': data})
    ours.start()
    mine, told_mine, p_mine = committed(ours.bootstrap, True)
    values = [v for _, v in mine]
    lib.equal(mine, theirs, 'committed records')
    lib.equal(values, [v % i for i in range(ROUNDS) for v in (b'one-committed-%d', b'one-committed-again-%d')],
              'what was committed in front of the open transaction')
    lib.equal(told_mine, told, 'aborted transactions')
    lib.equal(len(told), 2 * ROUNDS, 'aborted transactions in all')
    for field in ('last_stable_offset', 'high_watermark'):
        lib.equal(p_mine[field], p[field], field)
    ours.stop()
    txn = glob.glob(os.path.join(data, TOPIC + '-0', '*.txnindex'))
    os.unlink(txn[0])
    rows = verify(data, '--repair')
    lib.check(any('is not in it' in r.get('what', '') for r in rows), 'a lost .txnindex is found: %r' % rows)
    verify(data)


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    test_ours(t, t.broker(workers=2))
    kafka_java.want(t)
    test_kafka(t)


lib.main(test)
