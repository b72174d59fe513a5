"""Apache Kafka 4.3's own clients and tools: topics, configs, console producer and consumer, every assignor, the perf test."""
import re

import kafka_java
import lib
import wire

ASSIGNORS = {'range': 'RangeAssignor', 'roundrobin': 'RoundRobinAssignor', 'sticky': 'StickyAssignor',
             'cooperative-sticky': 'CooperativeStickyAssignor'}


def topics(broker, *arguments, **options):
    return kafka_java.tool('org.apache.kafka.tools.TopicCommand', '--bootstrap-server', broker.bootstrap, *arguments,
                           **options)


def test_topics(broker, topic):
    topics(broker, '--create', '--topic', topic, '--partitions', '3', '--config', 'retention.ms=7200000')
    _, out, _ = topics(broker, '--describe', '--topic', topic)
    text = out.decode()
    lib.check('PartitionCount: 3' in text and 'retention.ms=7200000' in text, 'describe prints: %s' % text)
    status, out, err = topics(broker, '--create', '--topic', topic, ok=False)
    lib.check(status != 0 and 'already exists' in out.decode() + err, 'create twice: %s %s' % (out, err))


def test_console(broker, topic):
    """Every line comes back; the Java producer is idempotent by default."""
    lines = b''.join(b'key%d:value %d \xc3\xa9\n' % (i, i) for i in range(500))
    kafka_java.tool('org.apache.kafka.tools.ConsoleProducer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
                    '--reader-property', 'parse.key=true', '--reader-property', 'key.separator=:',
                    '--compression-codec', 'zstd', stdin=lines)
    got = b''
    for partition in range(3):
        _, out, _ = kafka_java.tool(
            'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
            '--partition', str(partition), '--offset', 'earliest', '--timeout-ms', '8000',
            '--formatter-property', 'print.key=true', '--formatter-property', 'key.separator=:', ok=False)
        got += out
    lib.equal(sorted(got.splitlines()), sorted(lines.splitlines()), 'lines through the console tools')


def test_perf(t, broker, topic):
    _, out, _ = kafka_java.tool(
        'org.apache.kafka.tools.ProducerPerformance', '--topic', topic, '--num-records', '50000', '--record-size', '1024',
        '--throughput', '-1', '--producer-props', 'bootstrap.servers=' + broker.bootstrap, 'acks=all')
    last = out.decode().splitlines()[-1]
    lib.check(re.match(r'50000 records sent', last), 'the perf test prints: %s' % last)
    t.say(last)
    _, out, _ = kafka_java.tool('org.apache.kafka.tools.GetOffsetShell', '--bootstrap-server', broker.bootstrap,
                                '--topic', topic, '--time', 'latest')
    ends = [int(line.split(b':')[2]) for line in out.split()]
    lib.equal(sum(ends), 50500, 'end offsets after the perf test')


def test_groups(broker, topic):
    """The console consumer in a group; the tool lists, describes, moves and deletes it."""
    _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap,
                                '--topic', topic, '--group', 'g-java', '--from-beginning', '--max-messages', '500')
    lib.equal(len(out.splitlines()), 500, 'lines through the console consumer in a group')

    def groups(*words):
        _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                    broker.bootstrap, *words)
        return out.decode()
    lib.check('g-java' in groups('--list'), 'the group is listed')

    def lags():
        return [line.split()[5] for line in groups('--describe', '--group', 'g-java').splitlines() if topic in line]
    lib.equal(lags(), ['0'] * 3, 'lag')
    groups('--reset-offsets', '--group', 'g-java', '--topic', topic, '--to-earliest', '--execute')
    lib.equal(sum(int(n) for n in lags()), 500, 'lag after the reset')
    lib.check('Successful' in groups('--delete-offsets', '--group', 'g-java', '--topic', topic + ':0'), 'offsets are deleted')
    lib.check('was successful' in groups('--delete', '--group', 'g-java'), 'the group is deleted')
    for formatter, word in (('OffsetsMessageFormatter', '"leaderEpoch"'), ('GroupMetadataMessageFormatter', '"protocolType"')):
        _, out, _ = kafka_java.tool(
            'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap, '--topic',
            '__consumer_offsets', '--from-beginning', '--timeout-ms', '8000', '--formatter',
            'org.apache.kafka.tools.consumer.' + formatter, ok=False)
        lib.check(word in out.decode() and 'g-java' in out.decode(), '%s reads: %s' % (formatter, out[:300]))


def shared(broker, group, protocol):
    """The partitions of each member once two members share the group by that protocol, else nothing."""
    with wire.Conn(broker.bootstrap) as c:
        if protocol == 'consumer':
            g = c.call('ConsumerGroupDescribe', 1, group_ids=[group], include_authorized_operations=False)['groups'][0]
            is_shared = g['group_state'] == 'Stable' and all(m['assignment'] == m['target_assignment'] for m in g['members'])
            held = [sum(len(x['partitions']) for x in m['assignment']['topic_partitions']) for m in g['members']]
        else:
            g = c.call('DescribeGroups', 5, groups=[group], include_authorized_operations=False)['groups'][0]
            is_shared = g['group_state'] == 'Stable' and g['protocol_data'] == protocol
            # version, one topic: its name, its partitions
            held = [m['member_assignment'].count(b'java') and len(m['member_assignment']) for m in g['members']]
        return held if is_shared and len(held) == 2 and all(held) else None


def committed(broker, group):
    with wire.Conn(broker.bootstrap) as c:
        out = c.call('OffsetFetch', 8, groups=[dict(group_id=group, topics=None)], require_stable=False)['groups'][0]
        return sum(p['committed_offset'] for t in out['topics'] for p in t['partitions'])


def test_assignors(t, broker, topic):
    """Two members with each assignor, and with KIP-848, share the partitions, read every record, commit and leave."""
    driver = kafka_java.Driver(t)
    for protocol in [*ASSIGNORS, 'consumer']:
        group = 'g-' + protocol
        extra = 'group.protocol=consumer' if protocol == 'consumer' else \
            'partition.assignment.strategy=org.apache.kafka.clients.consumer.' + ASSIGNORS[protocol]
        for member in ('one', 'two'):
            driver.start(protocol + member, 'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server',
                         broker.bootstrap, '--topic', topic, '--group', group, '--from-beginning',
                         '--command-property', extra, '--command-property', 'auto.commit.interval.ms=100')
        lib.wait_until(lambda: shared(broker, group, protocol), 60, 'two members share %s' % group)
        lib.wait_until(lambda: committed(broker, group) == 500, 60, '%s has committed everything' % group)
        got = []
        for member in ('one', 'two'):
            status, out, err = driver.stop(protocol + member)
            lib.equal(status, 0, 'exit status of a member of %s: %s' % (group, err[-500:]))
            got += out.splitlines()
        lib.equal(len(set(got)), 500, 'different records that %s has read' % group)
        t.say('%s: two members, 500 records' % protocol)


def test_versions(broker):
    _, out, _ = kafka_java.tool('org.apache.kafka.tools.BrokerApiVersionsCommand', '--bootstrap-server', broker.bootstrap)
    text = out.decode()
    lib.check('Produce(0): 0 to 13' in text and 'Fetch(1): 4 to 18' in text, 'api versions: %s' % text)


def test(t):
    kafka_java.want(t)
    broker, topic = t.broker(workers=3), t.topic('java')
    test_topics(broker, topic)
    test_console(broker, topic)
    test_groups(broker, topic)
    test_assignors(t, broker, topic)
    test_perf(t, broker, topic)
    test_versions(broker)
    topics(broker, '--delete', '--topic', topic)


lib.main(test)
