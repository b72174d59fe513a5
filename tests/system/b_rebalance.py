"""Three classic members of a group while records come in: one is killed -9, one added, one stands still, the broker is
killed -9 and started again. Every record is seen, none after one behind it was committed: eager, cooperative, static.

The same for KIP-848 is in b_next_groups.py.
"""
import lib
import members
import wire

PARTITIONS, RECORDS = 6, 5000
SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4}


def test(t):
    lib.own_broker_only()
    python = members.python_with_protocol(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    for strategy, is_static in (('range', False), ('cooperative-sticky', False), ('range', True)):
        name = strategy + ('-static' if is_static else '')
        topic = t.topic('rebalance-' + name)
        wire.create_topic(broker.bootstrap, topic, PARTITIONS)
        team = members.Team(t, python, broker.bootstrap, 'rebalance-' + name, topic)
        members.kill_add_pause(team, broker, name, PARTITIONS, RECORDS, lambda i: (
            '--protocol', strategy) + (('--instance', 'instance-%d' % i) if is_static else ()))


lib.main(test)
