"""Apache Kafka 4.3's own clients and tools: topics, configs, console producer and consumer, every assignor, the perf test."""
import re

import kafka_java
import lib
import wire

TOOLS = 'org.apache.kafka.tools.'
SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'group.consumer.min.heartbeat.interval.ms': 500,
            'group.consumer.heartbeat.interval.ms': 500}
ASSIGNORS = {'range': 'RangeAssignor', 'roundrobin': 'RoundRobinAssignor', 'sticky': 'StickyAssignor',
             'cooperative-sticky': 'CooperativeStickyAssignor'}


class Tools:
    """Main classes in one JVM; each is given the broker's address."""

    def __init__(self, t, broker):
        self.driver, self.address = kafka_java.Driver(t), ('--bootstrap-server', broker.bootstrap)

    def run(self, name, *words, stdin='', ok=True):
        """-> what it printed, on stdout and stderr"""
        status, out, err = self.driver.run(TOOLS + name, *self.address, *words, stdin=stdin, seconds=90)
        lib.check((status == 0) == ok, '%s %s: status %s: %s %s' % (name, ' '.join(words), status, out[-500:], err[-1000:]))
        return out + ('' if ok else err)

    def until(self, name, condition, what, *words):
        """Runs it until what it printed fulfils the condition."""
        self.driver.start('until', TOOLS + name, *self.address, *words)
        lib.wait_until(lambda: condition(self.driver.read('until')[1]), 60, what)
        self.driver.stop('until')


def test_topics(tools, topic):
    tools.run('TopicCommand', '--create', '--topic', topic, '--partitions', '3', '--config', 'retention.ms=7200000')
    text = tools.run('TopicCommand', '--describe', '--topic', topic)
    lib.check('PartitionCount: 3' in text and 'retention.ms=7200000' in text, 'describe prints: %s' % text)
    text = tools.run('TopicCommand', '--create', '--topic', topic, ok=False)
    lib.check('already exists' in text, 'create twice: %s' % text)


def test_console(tools, topic):
    """Every line comes back; the Java producer is idempotent by default."""
    lines = ''.join('key%d:value %d \u00e9\n' % (i, i) for i in range(500))
    tools.run('ConsoleProducer', '--topic', topic, '--reader-property', 'parse.key=true', '--reader-property',
              'key.separator=:', '--compression-codec', 'zstd', stdin=lines)
    got = tools.run('consumer.ConsoleConsumer', '--topic', topic, '--from-beginning', '--max-messages', '500',
                    '--formatter-property', 'print.key=true', '--formatter-property', 'key.separator=:')
    lib.equal(sorted(got.splitlines()), sorted(lines.splitlines()), 'lines through the console tools')


def test_perf(t, tools, topic):
    out = tools.run('ProducerPerformance', '--topic', topic, '--num-records', '50000', '--record-size', '1024',
                    '--throughput', '-1', '--command-property', 'acks=all')
    last = out.splitlines()[-1]
    lib.check(re.match(r'50000 records sent', last), 'the perf test prints: %s' % last)
    t.say(last)
    out = tools.run('GetOffsetShell', '--topic', topic, '--time', 'latest')
    lib.equal(sum(int(line.split(':')[2]) for line in out.split()), 50500, 'end offsets after the perf test')


def test_groups(tools, topic):
    """The console consumer in a group; the tool lists, describes, moves and deletes it."""
    out = tools.run('consumer.ConsoleConsumer', '--topic', topic, '--group', 'g-java', '--from-beginning', '--max-messages', '500')
    lib.equal(len(out.splitlines()), 500, 'lines through the console consumer in a group')

    def groups(*words):
        return tools.run('consumer.group.ConsumerGroupCommand', *words)
    lib.check('g-java' in groups('--list'), 'the group is listed')

    def lags():
        return [line.split()[5] for line in groups('--describe', '--group', 'g-java').splitlines() if topic in line]
    lib.equal(lags(), ['0'] * 3, 'lag')
    groups('--reset-offsets', '--group', 'g-java', '--topic', topic, '--to-earliest', '--execute')
    lib.equal(sum(int(n) for n in lags()), 500, 'lag after the reset')
    lib.check('Successful' in groups('--delete-offsets', '--group', 'g-java', '--topic', topic + ':0'), 'offsets are deleted')
    lib.check('was successful' in groups('--delete', '--group', 'g-java'), 'the group is deleted')
    for formatter, word in (('OffsetsMessageFormatter', '"leaderEpoch"'), ('GroupMetadataMessageFormatter', '"protocolType"')):
        tools.until('consumer.ConsoleConsumer', lambda out: word in out and 'g-java' in out, formatter, '--topic',
                    '__consumer_offsets', '--from-beginning', '--formatter', TOOLS + 'consumer.' + formatter)


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


def test_assignors(t, broker, tools, topic):
    """Two members with each assignor, and with KIP-848, share the partitions, read every record, commit and leave."""
    driver = tools.driver
    for protocol in [*ASSIGNORS, 'consumer']:
        group = 'g-' + protocol
        extra = 'group.protocol=consumer' if protocol == 'consumer' else \
            'partition.assignment.strategy=org.apache.kafka.clients.consumer.' + ASSIGNORS[protocol]
        for member in ('one', 'two'):
            driver.start(protocol + member, TOOLS + 'consumer.ConsoleConsumer', '--bootstrap-server',
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


def test_versions(tools):
    text = tools.run('BrokerApiVersionsCommand')
    lib.check('Produce(0): 0 to 13' in text and 'Fetch(1): 4 to 18' in text, 'api versions: %s' % text)


def test(t):
    kafka_java.compiled(t)
    broker, topic = t.broker(workers=3, settings=SETTINGS), t.topic('java')
    tools = Tools(t, broker)
    test_topics(tools, topic)
    test_console(tools, topic)
    test_groups(tools, topic)
    test_assignors(t, broker, tools, topic)
    test_perf(t, tools, topic)
    test_versions(tools)
    tools.run('TopicCommand', '--delete', '--topic', topic)


lib.main(test)
