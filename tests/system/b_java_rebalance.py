"""Three members of kafka-clients 4.3 (java/Member.java) while records come in: one is killed -9, one added, one stands still
(SIGSTOP), the broker is killed -9 and started again. Every record is seen, none after one behind it was committed: eager,
cooperative, static, KIP-848. The same with librdkafka: b_rebalance.py, b_next_groups.py.
"""
import os

import kafka_java
import lib
import members
import wire

PARTITIONS, RECORDS = 6, 3000
SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4,
            'group.consumer.min.session.timeout.ms': 6000, 'group.consumer.session.timeout.ms': 6000,
            'group.consumer.min.heartbeat.interval.ms': 500, 'group.consumer.heartbeat.interval.ms': 500}
ASSIGNOR = 'org.apache.kafka.clients.consumer.'
KINDS = (('eager', ASSIGNOR + 'RangeAssignor', False), ('cooperative', ASSIGNOR + 'CooperativeStickyAssignor', False),
         ('static', ASSIGNOR + 'RangeAssignor', True), ('consumer', 'consumer', False), ('consumer-static', 'consumer', True))


class Team(members.Team):
    def command(self, *options):
        path = os.path.join(self.classes, '') + ':' + os.path.join(kafka_java.library(), '*')
        return ['java', '-Xmx96m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto',
                '-Dlog4j2.configurationFile=file:' + kafka_java.LOG4J, '-cp', path, 'Member', self.bootstrap, self.group,
                self.topic, *options]


def test(t):
    lib.own_broker_only()
    python = members.python_with_protocol(t)
    classes = kafka_java.compiled(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    for name, protocol, is_static in KINDS if lib.FULL else KINDS[:4]:
        topic = t.topic('java-' + name)
        wire.create_topic(broker.bootstrap, topic, PARTITIONS)
        team = Team(t, python, broker.bootstrap, 'java-' + name, topic)
        team.classes = classes
        members.kill_add_pause(team, broker, name, PARTITIONS, RECORDS,
                               lambda i: (protocol,) + (('instance-%d' % i,) if is_static else ()))


lib.main(test)
