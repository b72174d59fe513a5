"""kill -9 while records stand in the commit journal alone: they are there after the next start, and after
`millraced --recover` its kafka-dump-log finds every acknowledged record in plain segments."""
import os
import re
import shutil

import kafka_java
import lib
import wire

TOPICS, RECORDS = 8, 25
JOURNAL = 'millrace.journal'


def fill(broker):
    """Acknowledged with acks=all; written back only after a minute, so the journal holds it alone."""
    for i in range(TOPICS):
        wire.create_topic(broker.bootstrap, 'topic-%d' % i)
    with wire.Conn(broker.bootstrap) as c:
        for n in range(RECORDS):
            for i in range(TOPICS):
                out = wire.produce(c, 'topic-%d' % i, wire.batch([(None, b'%d' % n)]))
                lib.equal((out['error_code'], out['base_offset']), (0, n), 'the answer to record %d' % n)


def count(data, topic):
    log = os.path.join(data, '%s-0' % topic, '%020d.log' % 0)
    status, out, err = kafka_java.tool('org.apache.kafka.tools.DumpLogSegments', '--files', log, '--deep-iteration', ok=False)
    text = out.decode('utf-8', 'replace')
    lib.equal(status, 0, 'status of kafka-dump-log: %s' % err[-500:])
    return [int(n) for n in re.findall(r'^\| offset: (\d+) ', text, re.M)]


def test_recover(t, broker):
    status, out, err = lib.run(lib.MILLRACED, '--recover', broker.write_settings(), ok=False)
    text = out.decode('utf-8', 'replace')
    lib.equal(status, 0, 'status of millraced --recover: %s%s' % (text[-500:], err))
    lib.check('recovered: clean' in text, 'millraced --recover does not say so: %s' % text[-500:])
    names = os.listdir(broker.data)
    lib.check(JOURNAL not in names and '.kafka_cleanshutdown' in names, 'after --recover: %s' % sorted(names))
    for i in range(TOPICS):
        lib.equal(count(broker.data, 'topic-%d' % i), list(range(RECORDS)), 'offsets that kafka-dump-log finds')


def test(t):
    lib.own_broker_only()
    kafka_java.want(t)
    broker = t.broker(workers=3, settings={'storage.writeback.ms': 60000})
    fill(broker)
    broker.kill()
    names = os.listdir(broker.data)
    lib.check(JOURNAL in names, 'no journal after a kill: %s' % sorted(names))
    lib.check(not any(n.startswith('topic-') for n in names), 'the journal does not hold them alone: %s' % sorted(names))
    # Another number of workers replays what three have left, and a start does so, too.
    copy = os.path.join(broker.directory, 'copy')
    shutil.copytree(broker.data, copy)
    broker.settings['dataplane.workers'] = '1'
    test_recover(t, broker)
    shutil.rmtree(broker.data)
    os.rename(copy, broker.data)
    broker.start()
    lib.check('rings replayed' in broker.log(), 'the start does not say what it replayed')
    with wire.Conn(broker.bootstrap) as c:
        for i in range(TOPICS):
            out = wire.produce(c, 'topic-%d' % i, wire.batch([(None, b'more')]))
            lib.equal((out['error_code'], out['base_offset']), (0, RECORDS), 'the next record')
    broker.stop()
    lib.check(JOURNAL not in os.listdir(broker.data), 'the journal stands after a clean stop')
    t.say('%d topics: %d records each, recovered both ways' % (TOPICS, RECORDS))


lib.main(test)
