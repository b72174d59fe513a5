"""kill -9 while records stand in the commit journal alone: Apache Kafka refuses that directory, the next start finds
them all, and after `millraced --recover` kafka-dump-log finds them in plain segments."""
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


def test_kafka_refuses(t, broker, data):
    """It must not start without what the journal holds."""
    path = t.path('kafka.properties')
    with open(path, 'w') as f:
        f.write('process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:%d\n'
                'listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d\ncontroller.listener.names=CONTROLLER\n'
                'advertised.listeners=PLAINTEXT://127.0.0.1:%d\nlog.dirs=%s\n'
                % (broker.metrics_port, broker.port, broker.metrics_port, broker.port, data))
    log_path = t.path('kafka.log')
    with open(log_path, 'wb') as log:
        process = t.spawn(*kafka_java.command('kafka.Kafka', path), stdout=log, stderr=log)
        lib.wait_until(lambda: process.poll() is not None, 60, 'Apache Kafka refuses a directory with a journal')
    with open(log_path, errors='replace') as f:
        lib.check(JOURNAL in f.read(), 'Apache Kafka ended for another reason: see %s' % log_path)


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
    kafka = os.path.join(broker.directory, 'kafka')
    shutil.copytree(broker.data, kafka)
    test_kafka_refuses(t, broker, kafka)
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
