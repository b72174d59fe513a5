"""A data directory is carried to Apache Kafka after a clean stop, used there, and carried back."""
import os
import time

import kafka_java
import lib
import transfer
import wire

TOPIC = 'carried'
OURS = {'storage.durability': 'group', 'millrace.latency.class': 'critical'}  # settings that Apache Kafka does not know


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
    kafka = kafka_java.Kafka(t, broker)
    began = time.monotonic()
    lib.wait_until(lambda: kafka.answers(TOPIC), 60, 'Apache Kafka serves our directory')
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
