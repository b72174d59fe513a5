"""A data directory is carried to Apache Kafka after a clean stop, used there, and carried back."""
import os
import signal
import time

import kafka_java
import lib
import transfer
import wire

TOPIC = 'carried'
OURS = {'storage.durability': 'group', 'millrace.latency.class': 'critical'}  # settings that Apache Kafka does not know


class Kafka:
    """An Apache Kafka (broker and controller) on the directory and the port of one of our brokers."""

    def __init__(self, t, broker):
        controller = lib.free_port()
        self.bootstrap, self.properties = broker.bootstrap, t.path('kafka.properties')
        with open(self.properties, 'w') as f:
            f.write('\n'.join([
                'process.roles=broker,controller', 'node.id=1', 'log.dirs=' + broker.data,
                'controller.quorum.voters=1@127.0.0.1:%d' % controller, 'controller.listener.names=CONTROLLER',
                'listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d' % (broker.bootstrap, controller),
                'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
                'offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1', '']))
        self.log_path = t.path('kafka.log')
        self.log = open(self.log_path, 'wb')
        self.process = t.spawn(*kafka_java.command('kafka.Kafka', self.properties), stdout=self.log, stderr=self.log)

    def said(self):
        with open(self.log_path, 'rb') as f:
            return lib.tail(f.read(), 15)

    def answers(self):
        lib.check(self.process.poll() is None, 'Apache Kafka ended at its start: %s' % self.said())
        try:
            with wire.Conn(self.bootstrap, timeout=2) as c:
                topic = c.call('Metadata', 12, topics=[dict(name=TOPIC)])['topics'][0]
                return topic['error_code'] == 0 and all(p['leader_id'] == 1 for p in topic['partitions'])
        except (OSError, ValueError):
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def read(t, broker, name):
    path = t.path(name)
    transfer.kcat_consume(broker, TOPIC, path)
    with open(path, 'rb') as f:
        return f.read()


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    kafka_java.want(t)
    broker = t.broker(workers=3)
    topic_id = wire.create_topic(broker.bootstrap, TOPIC, partitions=3, configs={'segment.bytes': 1 << 20, **OURS})
    ours, theirs = t.path('ours'), t.path('theirs')
    with open(ours, 'wb') as f:
        f.write(transfer.lines(6000, bytes_n=512, seed=1))
    with open(theirs, 'wb') as f:
        f.write(transfer.lines(2000, seed=2))
    transfer.kcat_produce(broker, TOPIC, ours, 'none', '-X', 'enable.idempotence=true')
    broker.stop()
    kafka = Kafka(t, broker)
    began = time.monotonic()
    lib.wait_until(kafka.answers, 60, 'Apache Kafka serves our directory')
    t.say('Apache Kafka serves our directory after %.1f s' % (time.monotonic() - began))
    with open(ours, 'rb') as a, open(theirs, 'rb') as b:
        expected = a.read()
        lib.check(read(t, broker, 'at-kafka') == expected, 'Apache Kafka reads other records than we wrote')
        transfer.kcat_produce(broker, TOPIC, theirs, 'lz4')
        expected += b.read()
    kafka.stop()
    # Apache Kafka leaves its own lock file and a clean-shutdown mark, as we do.
    lib.check(os.path.exists(os.path.join(broker.data, '.kafka_cleanshutdown')), 'Apache Kafka did not stop cleanly')
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        topic = c.call('Metadata', 12, topics=[dict(name=TOPIC)])['topics'][0]
    lib.equal((topic['error_code'], topic['topic_id'], len(topic['partitions'])), (0, topic_id, 3), 'the topic, back again')
    status, out, err = kafka_java.tool('kafka.admin.ConfigCommand', '--bootstrap-server', broker.bootstrap, '--describe',
                                       '--entity-type', 'topics', '--entity-name', TOPIC, ok=False)
    for name, value in OURS.items():
        lib.check(('%s=%s ' % (name, value)).encode() in out, 'kafka-configs shows %s: %d %s %s' % (name, status, out, err))
    lib.check(read(t, broker, 'back') == expected, 'the records of both do not come back')
    transfer.kcat_produce(broker, TOPIC, theirs, 'zstd')
    broker.stop()
    t.say('carried to Apache Kafka and back')


lib.main(test)
