"""Groups of KIP-848 with real clients: the current librdkafka (of PyPI's confluent-kafka) and Java's consumer.

Three members work while records come in; one is killed -9, one is added, one stands still for a while, the broker is
killed -9 and started again. Every record is seen, and none is seen after one behind it was committed.
"""
import json
import os

import kafka_java
import lib
import members
import wire
from members import Member

PARTITIONS, RECORDS = 6, 6000
SETTINGS = {'group.consumer.min.session.timeout.ms': 6000, 'group.consumer.session.timeout.ms': 6000,
            'group.consumer.min.heartbeat.interval.ms': 500, 'group.consumer.heartbeat.interval.ms': 500,
            'offsets.topic.num.partitions': 4}


def kill_add_pause(t, broker, python, is_static):
    name = 'static' if is_static else 'dynamic'
    topic = t.topic('next-' + name)
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'topic', 'create', topic, '--partitions', str(PARTITIONS))
    team = members.Team(t, python, broker.bootstrap, 'group-' + name, topic)
    members.kill_add_pause(team, broker, name, PARTITIONS, RECORDS, lambda i: (
        '--protocol', 'consumer') + (('--instance', 'instance-%d' % i) if is_static else ()))


def state_of(broker, group):
    with wire.Conn(broker.bootstrap) as c:
        return c.call('ConsumerGroupDescribe', 1, group_ids=[group], include_authorized_operations=False)['groups'][0][
            'group_state']


def is_described(broker, group):
    out = json.loads(lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, '--json', 'group', 'describe', group)[1])
    lib.equal([out['type'], out['protocol'], len(out['members'])], ['consumer', 'uniform', 2], 'the group: %r' % out)
    return {o['member'] for o in out['offsets']} == {m['member'] for m in out['members']}


def java(t, broker):
    """Two console consumers of Java share a topic with the protocol; one leaves, the other gets all."""
    if not kafka_java.library() and not os.environ.get('KAFKA_LIB'):
        t.say('no jars: Java is left out')
        return
    topic = t.topic('next-java')
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'topic', 'create', topic, '--partitions', '4')

    def consumer(i):
        return Member(kafka_java.command(
            'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
            '--group', 'java', '--from-beginning', '--consumer-property', 'group.protocol=consumer',
            '--formatter-property', 'print.partition=true'), os.path.join(t.directory, 'java-%d' % i))

    def write(first, n):
        lines = b''.join(b'%d\n' % i for i in range(first, first + n))
        lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'produce', topic, stdin=lines)

    def values(consumers):
        return {int(e[-1]) for c in consumers for e in list(c.events) if e and e[-1].isdigit()}
    consumers = [consumer(i) for i in range(2)]
    try:
        write(0, 200)
        lib.wait_until(lambda: values(consumers) >= set(range(200)), 40, 'two Java consumers see everything')
        _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                    broker.bootstrap, '--describe', '--group', 'java', '--members', '--verbose')
        t.say(out.decode().strip())
        lib.wait_until(lambda: is_described(broker, 'java'), 40, 'millrace describes two members that have partitions each')
        consumers[0].process.kill()
        write(200, 200)
        lib.wait_until(lambda: values(consumers) >= set(range(400)), 40, 'the one that is left sees everything')
        lib.wait_until(lambda: state_of(broker, 'java') == 'Stable', 40, 'the group settles')
        _, out, err = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                      broker.bootstrap, '--describe', '--group', 'java', '--state')
        lib.check(b'Stable' in out and b'uniform' in out, 'the state of the group: %s %s' % (out.decode(), err))
    finally:
        for c in consumers:
            c.stop()


def test(t):
    lib.own_broker_only()
    python = members.python_with_protocol(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    kill_add_pause(t, broker, python, False)
    kill_add_pause(t, broker, python, True)
    java(t, broker)


lib.main(test)
