"""Online migration with real clients: a group rolls from the classic protocol to KIP-848 and back while records come in.

librdkafka of PyPI's confluent-kafka (2.12 or newer) with eager, cooperative and static members; Java's console consumer of
both protocols in one group. Every record is seen, none after one behind it was committed.
"""
import os
import time

import kafka_java
import lib
import members
import pace
import wire
from members import Member

PARTITIONS, RECORDS = 6, 4200
SETTINGS = {'group.consumer.min.session.timeout.ms': 6000, 'group.consumer.session.timeout.ms': 6000,
            'group.consumer.min.heartbeat.interval.ms': 500, 'group.consumer.heartbeat.interval.ms': 500,
            'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4}


def kind_of(broker, group):
    with wire.Conn(broker.bootstrap) as c:
        groups = c.call('ListGroups', 5, states_filter=[], types_filter=[])['groups']
    return [g['group_type'] for g in groups if g['group_id'] == group]


def roll(t, broker, python, strategy, is_static):
    name = strategy + ('-static' if is_static else '')
    topic, group = t.topic('roll-' + name), 'roll-' + name
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    team = members.Team(t, python, broker.bootstrap, group, topic)

    def start(i, protocol):
        return team.start('--protocol', protocol, *(('--instance', 'instance-%d' % i) if is_static else ()))

    def replace(i, protocol):
        """As a rolling restart does: the old one ends, the new one comes."""
        serving[i].stop()
        serving[i] = start(i, protocol)
        lib.wait_until(lambda: serving[i].of('assigned'), 40, 'member %d is assigned with %s' % (i, protocol))
    producer = members.produce(broker.bootstrap, python, topic, PARTITIONS, 0, RECORDS, 300)
    serving = [start(i, strategy) for i in range(3)]
    try:
        lib.wait_until(lambda: all(m.of('seen') for m in serving), 40, 'three classic members see records')
        lib.equal(kind_of(broker, group), ['classic'], 'the kind of the group')
        for i in range(3):
            replace(i, 'consumer')
            lib.equal(kind_of(broker, group), ['consumer'], 'the kind of the group after member %d' % i)
        for i in range(3):
            replace(i, strategy)
        lib.wait_until(lambda: kind_of(broker, group) == ['classic'], 30, 'a classic group again')
        lib.equal(producer.wait(pace.limit(90)), 0, 'the producer ends')
        team.wait_all(PARTITIONS, RECORDS)
    finally:
        producer.kill()
        team.stop()
    team.say(name, RECORDS)


def java(t, broker):
    """One console consumer of each protocol in one group; the one of KIP-848 leaves, then one comes back."""
    if not kafka_java.library():
        kafka_java.want(t)
    topic = t.topic('java')
    wire.create_topic(broker.bootstrap, topic, 4)

    def consumer(i, protocol):
        return Member(kafka_java.command(
            'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
            '--group', 'java', '--from-beginning', '--command-property', 'group.protocol=' + protocol),
            os.path.join(t.directory, 'java-%d' % i))

    def write(first, n):
        lines = b''.join(b'%d\n' % i for i in range(first, first + n))
        lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'produce', topic, stdin=lines)

    def values(cs):
        return {int(e[-1]) for c in cs for e in list(c.events) if e and e[-1].isdigit()}

    def members_n():
        with wire.Conn(broker.bootstrap) as c:
            g = c.call('ConsumerGroupDescribe', 1, group_ids=['java'], include_authorized_operations=False)['groups'][0]
        return sorted((m['member_type'], sum(len(p['partitions']) for p in m['assignment']['topic_partitions']))
                      for m in g['members'])
    consumers = [consumer(0, 'classic')]
    try:
        write(0, 100)
        lib.wait_until(lambda: values(consumers) >= set(range(100)), 60, 'a classic Java consumer sees everything')
        consumers.append(consumer(1, 'consumer'))
        lib.wait_until(lambda: members_n() == [(0, 2), (1, 2)], 60, 'both protocols share the topic')
        write(100, 200)
        lib.wait_until(lambda: values(consumers) >= set(range(300)), 60, 'both together see everything')
        _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                    broker.bootstrap, '--describe', '--group', 'java', '--members', '--verbose')
        t.say(out.decode().strip())
        consumers[1].stop()
        lib.wait_until(lambda: kind_of(broker, 'java') == ['classic'], 60, 'a classic group again')
        write(300, 100)
        lib.wait_until(lambda: values(consumers) >= set(range(400)), 60, 'the classic one sees the rest')
        lib.check(len(values(consumers[:1])) >= 200, 'it has seen its share')
        consumers.append(consumer(2, 'consumer'))
        lib.wait_until(lambda: members_n() == [(0, 2), (1, 2)], 60, 'up once more')
        consumers[0].stop()
        lib.wait_until(lambda: members_n() == [(1, 4)], 60, 'the one of KIP-848 has all')
    finally:
        for c in consumers:
            c.stop()


def settings(t, broker):
    """kafka-configs --entity-type groups: a group's own settings count at once."""
    def configs(*words):
        status, out, err = kafka_java.tool('kafka.admin.ConfigCommand', '--bootstrap-server', broker.bootstrap,
                                           '--entity-type', 'groups', '--entity-name', 'set', *words)
        lib.check(status == 0, 'kafka-configs: %s %s' % (out.decode(), err))
        return out.decode()

    def interval():
        with wire.Conn(broker.bootstrap) as c:
            return c.call('ConsumerGroupHeartbeat', 1, group_id='set', member_id='a', member_epoch=0,
                          rebalance_timeout_ms=10000, subscribed_topic_names=['x'], topic_partitions=[]
                          )['heartbeat_interval_ms']
    lib.equal(interval(), 500, 'the interval of the broker')
    configs('--alter', '--add-config', 'consumer.heartbeat.interval.ms=777,consumer.session.timeout.ms=7000')
    lib.equal(interval(), 777, 'the interval of the group')
    lib.check('consumer.session.timeout.ms=7000' in configs('--describe'), 'it is described')
    broker.kill()
    broker.start()
    lib.wait_until(lambda: interval() == 777, 20, 'the interval of the group after kill -9')
    configs('--alter', '--delete-config', 'consumer.heartbeat.interval.ms,consumer.session.timeout.ms')
    lib.equal(interval(), 500, 'the interval of the broker again')


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=3, settings=SETTINGS)
    python = members.python_with_protocol(t)
    for strategy, is_static in (('range', False), ('cooperative-sticky', False), ('range', True)):
        started = time.monotonic()
        roll(t, broker, python, strategy, is_static)
        t.say('%.0f s' % (time.monotonic() - started))
    java(t, broker)
    settings(t, broker)


lib.main(test)
