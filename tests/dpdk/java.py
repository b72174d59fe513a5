"""Apache Kafka's own clients: the console producer (idempotent), the console consumer in a group, the perf test."""
import re

import kafka_java
import lib
import wire

RECORDS = 2000


def test(t):
    kafka_java.want(t)
    broker, topic = t.broker(), t.topic('java')
    wire.create_topic(broker.bootstrap, topic, 6)
    lines = b''.join(b'%d %s\n' % (i, b'x' * 200) for i in range(RECORDS))
    kafka_java.tool('org.apache.kafka.tools.ConsoleProducer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
                    '--compression-codec', 'lz4', stdin=lines)
    _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap,
                                '--topic', topic, '--group', 'g-java', '--from-beginning', '--max-messages', str(RECORDS))
    lib.equal(sorted(out.splitlines()), sorted(lines.splitlines()), 'lines through the console tools')
    _, out, _ = kafka_java.tool(
        'org.apache.kafka.tools.ProducerPerformance', '--topic', topic, '--num-records', '20000', '--record-size', '1024',
        '--throughput', '-1', '--producer-props', 'bootstrap.servers=' + broker.bootstrap, 'acks=all')
    last = out.decode().splitlines()[-1]
    lib.check(re.match(r'20000 records sent', last), 'the perf test prints: %s' % last)
    t.say(last)


lib.main(test)
