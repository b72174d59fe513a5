"""Groups of KIP-848, request by request: heartbeats, epochs, revocation, static members, expressions, commits.

group_script.py has how it runs and how it is compared; what differs on purpose is listed in DIFFERENT.
"""
import time

import group_script
import lib

TOPIC, OTHER = 'ng-topic', 'ng-other'
WAIT_S = 1.1   # group.consumer.assignment.interval.ms

# Rows in which the answers may differ, and why.
DIFFERENT = {
    'regex join': 'we match at once, Apache Kafka a heartbeat later',
    'regex beat': 'the same',
}


def part_refusals(s):
    s.next_join('empty group id', 42, '', 'a')
    s.next_join('empty member id', 42, 'g', '')
    s.next_join('empty instance id', 42, 'g', 'a', instance_id='')
    s.next_join('empty rack', 42, 'g', 'a', rack_id='')
    s.next_join('no rebalance timeout', 42, 'g', 'a', rebalance_timeout_ms=-1)
    s.next_join('no subscription', 42, 'g', 'a', topics=None)
    s.next_join('null owned', 42, 'g', 'a', topic_partitions=None)
    s.next_join('owns at join', 42, 'g', 'a', topic_partitions=s.owning([0]))
    s.next_join('unknown assignor', 112, 'g', 'a', server_assignor='zzz')
    s.next_beat('epoch -3', 42, 'g', 'a', -3)
    s.next_beat('epoch -2 without instance', 42, 'g', 'a', -2)
    s.next_beat('epoch 5 of nothing', 69, 'g', 'a', 5)
    s.next_beat('leave nothing', 69, 'g', 'a', -1)
    for i, expression in enumerate(('([', '(a', 'a**', '*a', '(?=a)', '(?!a)', '(?<=a)', '(a)\\1', '(?>a)', 'a{2,1}',
                                    '[b-a]', 'a\\', 'a)', '\\K', '(?P<n', 'a*+')):
        s.next_join('bad regex %d %s' % (i, expression), 128, 'g', 'a', topics=None, subscribed_topic_regex=expression)
    s.next_describe('describe of what was refused', 69, 'g')
    s.next_describe('describe v0 of what was refused', 69, 'g', version=0)


def part_one_member(s):
    g = 'ng-one'
    s.next_join('join', 0, g, 'a')
    s.next_beat('beat', 0, g, 'a', 2)
    s.next_beat('full request', 0, g, 'a', 2, rebalance_timeout_ms=60000, subscribed_topic_names=[TOPIC],
           topic_partitions=s.owning(range(4)))
    s.next_beat('greater epoch', 110, g, 'a', 99)
    s.next_beat('unknown member', 25, g, 'b', 2)
    s.next_beat('unknown member leaves', 25, g, 'b', -1)
    s.next_beat('leaves with an instance', 25, g, 'a', -1, instance_id='i')
    s.next_describe('describe one', 0, g)
    s.next_describe('describe one v0', 0, g, version=0)
    s.ask('classic describe', 69, 'DescribeGroups', 6, groups=[g], include_authorized_operations=True)
    s.ask('list consumer', 0, 'ListGroups', 5, states_filter=[], types_filter=['consumer'])
    s.ask('list stable', 0, 'ListGroups', 5, states_filter=['Stable'], types_filter=['Consumer'])
    s.next_commit('commit', 0, g, 'a', 2)
    s.next_commit('commit by id', 0, g, 'a', 2, version=10)
    s.next_commit('commit greater epoch', 113, g, 'a', 9)
    s.next_commit('commit v8', 35, g, 'a', 2, version=8)
    s.next_commit('commit unknown member', 25, g, 'b', 2)
    s.next_commit('commit no member', 25, g, '', -1)
    s.next_fetch('fetch', 0, g, 'a', 2)
    s.next_fetch('fetch greater epoch', 113, g, 'a', 9)
    s.next_fetch('fetch unknown member', 25, g, 'b', 2)
    s.next_fetch('fetch admin', 0, g, None, -1)
    s.ask('delete with members', 68, 'DeleteGroups', 2, groups_names=[g])
    s.ask('offset delete subscribed', 86, 'OffsetDelete', 0, group_id=g, topics=[dict(name=TOPIC, partitions=[dict(
        partition_index=0)])])
    s.next_join('join again with epoch 0', 0, g, 'a')
    s.next_beat('another topic', 0, g, 'a', 2, subscribed_topic_names=[TOPIC, OTHER])
    s.next_join('join again with epoch 0, names as first', 0, g, 'a')
    time.sleep(WAIT_S)
    epoch = s.next_beat('after the interval', 0, g, 'a', 2)['member_epoch']
    s.next_join('join again with epoch 0 two epochs later', 0, g, 'a')
    s.next_beat('after that', 0, g, 'a', epoch)
    s.ask('classic join into it', None, 'JoinGroup', 9, group_id=g, session_timeout_ms=10000, rebalance_timeout_ms=10000,
          member_id='', group_instance_id=None, protocol_type='consumer', reason=None,
          protocols=[dict(name='range', metadata=b'\0\0\0\0\0\0\0\0\0\0')])
    s.next_beat('leave', 0, g, 'a', -1)
    s.next_beat('leave again', 25, g, 'a', -1)
    s.next_describe('describe empty', 0, g)
    s.next_commit('commit into empty', 0, g, '', -1, version=8)
    s.ask('list empty', 0, 'ListGroups', 5, states_filter=['empty'], types_filter=['consumer'])
    s.ask('delete', 0, 'DeleteGroups', 2, groups_names=[g])
    s.next_describe('describe deleted', 69, g)


def part_two_members(s):
    g = 'ng-two'
    s.next_join('two: a joins', 0, g, 'a')
    time.sleep(WAIT_S)
    s.next_join('two: b joins', 0, g, 'b')
    s.next_describe('two: assigning or reconciling', 0, g)
    out = s.next_beat('two: a is asked to revoke', 0, g, 'a', 2, topic_partitions=s.owning(range(4)))
    kept = out['assignment']['topic_partitions'][0]['partitions']
    s.next_beat('two: b waits', 0, g, 'b', 3, topic_partitions=[])
    s.next_beat('two: a still owns', 0, g, 'a', 2, topic_partitions=s.owning(range(4)))
    s.next_beat('two: a says nothing', 0, g, 'a', 2)
    s.next_describe('two: revoking', 0, g)
    s.next_beat('two: a has revoked', 0, g, 'a', 2, topic_partitions=s.owning(kept))
    s.next_beat('two: b gets them', 0, g, 'b', 3)
    s.next_beat('two: lost answer', 0, g, 'a', 2, topic_partitions=s.owning(kept))
    s.next_beat('two: smaller epoch', 110, g, 'a', 2)
    s.next_commit('two: older epoch, kept partition', 0, g, 'a', 2, partition=kept[0])
    s.next_commit('two: older epoch, other partition', 113, g, 'a', 2, partition=[p for p in range(4) if p not in kept][0])
    s.next_describe('two: stable', 0, g)
    s.next_beat('two: other topics', 0, g, 'b', 3, subscribed_topic_names=[OTHER])
    s.next_describe('two: other topics described', 0, g)
    time.sleep(WAIT_S)
    s.next_beat('two: b after the interval', 0, g, 'b', 3, topic_partitions=[])
    s.next_beat('two: a after the interval', 0, g, 'a', 3)
    s.next_describe('two: all described', 0, g)
    for m in 'ab':
        s.next_beat('two: %s leaves' % m, 0, g, m, -1)
    s.ask('two: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_static(s):
    g = 'ng-static'
    s.next_join('static: a joins', 0, g, 'a', instance_id='i')
    s.next_join('static: b, not released', 111, g, 'b', instance_id='i')
    s.next_join('static: a again, not released', 111, g, 'a', instance_id='i')
    s.next_beat('static: fenced', 82, g, 'b', 2, instance_id='i')
    s.next_beat('static: unknown instance', 25, g, 'a', 2, instance_id='j')
    s.next_beat('static: leaves for a while', 0, g, 'a', -2, instance_id='i')
    s.next_describe('static: away', 0, g)
    s.next_beat('static: beat while away', 110, g, 'a', 2, instance_id='i')
    s.next_join('static: b takes its place', 0, g, 'b', instance_id='i')
    s.next_beat('static: a is fenced', 82, g, 'a', 2, instance_id='i')
    s.next_beat('static: b beats', 0, g, 'b', 2, instance_id='i')
    s.next_describe('static: back', 0, g)
    s.next_beat('static: wrong member leaves', 82, g, 'a', -1, instance_id='i')
    s.next_beat('static: leaves', 0, g, 'b', -1, instance_id='i')
    s.next_beat('static: leaves twice', 25, g, 'b', -2, instance_id='i')
    s.ask('static: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_regex(s):
    g = 'ng-regex'
    s.next_join('regex join', 0, g, 'a', topics=None, subscribed_topic_regex='ng-t.*')
    s.next_beat('regex beat', 0, g, 'a', s.answers['regex join']['member_epoch'])
    s.next_beat('regex leaves', 0, g, 'a', -1)
    s.next_join('regex and names null', 0, g, 'a', topics=(), subscribed_topic_regex='')
    s.next_beat('regex leaves again', 0, g, 'a', -1)
    s.ask('regex delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_classic(s):
    g = 'ng-classic'
    s.next_commit('classic: commit makes a simple group', 0, g, '', -1, version=8)
    s.next_describe('classic: is no consumer group', 69, g)
    s.next_beat('classic: beat', 69, g, 'a', 3)
    s.next_join('classic: simple group becomes a consumer group', 0, g, 'a')
    s.next_fetch('classic: its offsets stay', 0, g, 'a', 2)
    s.next_beat('classic: leave', 0, g, 'a', -1)
    s.ask('classic: delete', 0, 'DeleteGroups', 2, groups_names=[g])


PARTS = (part_refusals, part_one_member, part_two_members, part_static, part_regex, part_classic)


def test(t):
    group_script.compare(t, [(TOPIC, 4), (OTHER, 2)], PARTS, DIFFERENT)


lib.main(test)
