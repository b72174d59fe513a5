"""Groups of KIP-848, request by request: heartbeats, epochs, revocation, static members, expressions, commits.

Each row names the error code that Apache Kafka 4.3.1 answers, and the whole answer is compared with its own (golden.py).
"""
import time

import golden
import lib
import wire

NO_ID = bytes(16)
TOPIC, OTHER = 'ng-topic', 'ng-other'
WAIT_S = 1.1   # group.consumer.assignment.interval.ms


class Script:
    def __init__(self, bootstrap):
        self.bootstrap, self.wrong, self.answers = bootstrap, [], {}
        self.ids = {wire.create_topic(bootstrap, TOPIC, 4): TOPIC, wire.create_topic(bootstrap, OTHER, 2): OTHER}
        self.topic_id = next(iter(self.ids))
        self.normal = golden.Normal(self.ids)
        self.conn = wire.Conn(bootstrap, timeout=15)

    def ask(self, name, code, api, version, **values):
        out = self.conn.call(api, version, **values)
        got = codes_in(out)
        if code is not None and (got or [0]) != [code]:
            self.wrong.append('%s: expected %s, got %s: %s' % (name, code, got, out))
        lib.check(name not in self.answers, 'two rows are called %r' % name)
        self.answers[name] = self.normal.of(out)
        return out

    def beat(self, name, code, group, member, epoch, version=1, **values):
        return self.ask(name, code, 'ConsumerGroupHeartbeat', version, group_id=group, member_id=member,
                        member_epoch=epoch, **values)

    def join(self, name, code, group, member, topics=(TOPIC,), version=1, **values):
        values = dict(dict(rebalance_timeout_ms=60000, subscribed_topic_names=None if topics is None else list(topics),
                           topic_partitions=[]), **values)
        return self.beat(name, code, group, member, 0, version, **values)

    def owning(self, partitions):
        return [dict(topic_id=self.topic_id, partitions=list(partitions))]

    def commit(self, name, code, group, member, epoch, version=9, partition=0):
        return self.ask(name, code, 'OffsetCommit', version, group_id=group, member_id=member,
                        generation_id_or_member_epoch=epoch, topics=[dict(name=TOPIC, topic_id=self.topic_id if version > 9
                                                                          else NO_ID, partitions=[dict(
                            partition_index=partition, committed_offset=5, committed_metadata='')])])

    def fetch(self, name, code, group, member, epoch, version=9):
        return self.ask(name, code, 'OffsetFetch', version, require_stable=True, groups=[dict(
            group_id=group, member_id=member, member_epoch=epoch, topics=[dict(name=TOPIC, topic_id=NO_ID,
                                                                               partition_indexes=[0])])])

    def describe(self, name, code, group, version=1):
        return self.ask(name, code, 'ConsumerGroupDescribe', version, group_ids=[group],
                        include_authorized_operations=True)


def codes_in(out):
    codes = set()
    for name, value in out.items():
        if name == 'error_code' and value != 0:
            codes.add(value)
        for inner in value if isinstance(value, list) else ():
            if isinstance(inner, dict):
                codes |= set(codes_in(inner))
    return sorted(codes)


def part_refusals(s):
    s.join('empty group id', 42, '', 'a')
    s.join('empty member id', 42, 'g', '')
    s.join('empty instance id', 42, 'g', 'a', instance_id='')
    s.join('empty rack', 42, 'g', 'a', rack_id='')
    s.join('no rebalance timeout', 42, 'g', 'a', rebalance_timeout_ms=-1)
    s.join('no subscription', 42, 'g', 'a', topics=None)
    s.join('null owned', 42, 'g', 'a', topic_partitions=None)
    s.join('owns at join', 42, 'g', 'a', topic_partitions=s.owning([0]))
    s.join('unknown assignor', 112, 'g', 'a', server_assignor='zzz')
    s.beat('epoch -3', 42, 'g', 'a', -3)
    s.beat('epoch -2 without instance', 42, 'g', 'a', -2)
    s.beat('epoch 5 of nothing', 69, 'g', 'a', 5)
    s.beat('leave nothing', 69, 'g', 'a', -1)
    for i, expression in enumerate(('([', '(a', 'a**', '*a', '(?=a)', '(?!a)', '(?<=a)', '(a)\\1', '(?>a)', 'a{2,1}',
                                    '[b-a]', 'a\\', 'a)', '\\K', '(?P<n', 'a*+')):
        s.join('bad regex %d %s' % (i, expression), 128, 'g', 'a', topics=None, subscribed_topic_regex=expression)
    s.describe('describe of what was refused', 69, 'g')
    s.describe('describe v0 of what was refused', 69, 'g', version=0)


def part_one_member(s):
    g = 'ng-one'
    s.join('join', 0, g, 'a')
    s.beat('beat', 0, g, 'a', 2)
    s.beat('full request', 0, g, 'a', 2, rebalance_timeout_ms=60000, subscribed_topic_names=[TOPIC],
           topic_partitions=s.owning(range(4)))
    s.beat('greater epoch', 110, g, 'a', 99)
    s.beat('unknown member', 25, g, 'b', 2)
    s.beat('unknown member leaves', 25, g, 'b', -1)
    s.beat('leaves with an instance', 25, g, 'a', -1, instance_id='i')
    s.describe('describe one', 0, g)
    s.describe('describe one v0', 0, g, version=0)
    s.ask('classic describe', 69, 'DescribeGroups', 6, groups=[g], include_authorized_operations=True)
    s.ask('list consumer', 0, 'ListGroups', 5, states_filter=[], types_filter=['consumer'])
    s.ask('list stable', 0, 'ListGroups', 5, states_filter=['Stable'], types_filter=['Consumer'])
    s.commit('commit', 0, g, 'a', 2)
    s.commit('commit by id', 0, g, 'a', 2, version=10)
    s.commit('commit greater epoch', 113, g, 'a', 9)
    s.commit('commit v8', 35, g, 'a', 2, version=8)
    s.commit('commit unknown member', 25, g, 'b', 2)
    s.commit('commit no member', 25, g, '', -1)
    s.fetch('fetch', 0, g, 'a', 2)
    s.fetch('fetch greater epoch', 113, g, 'a', 9)
    s.fetch('fetch unknown member', 25, g, 'b', 2)
    s.fetch('fetch admin', 0, g, None, -1)
    s.ask('delete with members', 68, 'DeleteGroups', 2, groups_names=[g])
    s.ask('offset delete subscribed', 86, 'OffsetDelete', 0, group_id=g, topics=[dict(name=TOPIC, partitions=[dict(
        partition_index=0)])])
    s.join('join again with epoch 0', 0, g, 'a')
    s.beat('another topic', 0, g, 'a', 2, subscribed_topic_names=[TOPIC, OTHER])
    s.join('join again with epoch 0, names as first', 0, g, 'a')
    time.sleep(WAIT_S)
    epoch = s.beat('after the interval', 0, g, 'a', 2)['member_epoch']
    s.join('join again with epoch 0 two epochs later', 0, g, 'a')
    s.beat('after that', 0, g, 'a', epoch)
    s.ask('classic join into it', None, 'JoinGroup', 9, group_id=g, session_timeout_ms=10000, rebalance_timeout_ms=10000,
          member_id='', group_instance_id=None, protocol_type='consumer', reason=None,
          protocols=[dict(name='range', metadata=b'\0\0\0\0\0\0\0\0\0\0')])
    s.beat('leave', 0, g, 'a', -1)
    s.beat('leave again', 25, g, 'a', -1)
    s.describe('describe empty', 0, g)
    s.commit('commit into empty', 0, g, '', -1, version=8)
    s.ask('list empty', 0, 'ListGroups', 5, states_filter=['empty'], types_filter=['consumer'])
    s.ask('delete', 0, 'DeleteGroups', 2, groups_names=[g])
    s.describe('describe deleted', 69, g)


def part_two_members(s):
    g = 'ng-two'
    s.join('two: a joins', 0, g, 'a')
    time.sleep(WAIT_S)
    s.join('two: b joins', 0, g, 'b')
    s.describe('two: assigning or reconciling', 0, g)
    out = s.beat('two: a is asked to revoke', 0, g, 'a', 2, topic_partitions=s.owning(range(4)))
    kept = out['assignment']['topic_partitions'][0]['partitions']
    s.beat('two: b waits', 0, g, 'b', 3, topic_partitions=[])
    s.beat('two: a still owns', 0, g, 'a', 2, topic_partitions=s.owning(range(4)))
    s.beat('two: a says nothing', 0, g, 'a', 2)
    s.describe('two: revoking', 0, g)
    s.beat('two: a has revoked', 0, g, 'a', 2, topic_partitions=s.owning(kept))
    s.beat('two: b gets them', 0, g, 'b', 3)
    s.beat('two: lost answer', 0, g, 'a', 2, topic_partitions=s.owning(kept))
    s.beat('two: smaller epoch', 110, g, 'a', 2)
    s.commit('two: older epoch, kept partition', 0, g, 'a', 2, partition=kept[0])
    s.commit('two: older epoch, other partition', 113, g, 'a', 2, partition=[p for p in range(4) if p not in kept][0])
    s.describe('two: stable', 0, g)
    s.beat('two: other topics', 0, g, 'b', 3, subscribed_topic_names=[OTHER])
    s.describe('two: other topics described', 0, g)
    time.sleep(WAIT_S)
    s.beat('two: b after the interval', 0, g, 'b', 3, topic_partitions=[])
    s.beat('two: a after the interval', 0, g, 'a', 3)
    s.describe('two: all described', 0, g)
    for m in 'ab':
        s.beat('two: %s leaves' % m, 0, g, m, -1)
    s.ask('two: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_static(s):
    g = 'ng-static'
    s.join('static: a joins', 0, g, 'a', instance_id='i')
    s.join('static: b, not released', 111, g, 'b', instance_id='i')
    s.join('static: a again, not released', 111, g, 'a', instance_id='i')
    s.beat('static: fenced', 82, g, 'b', 2, instance_id='i')
    s.beat('static: unknown instance', 25, g, 'a', 2, instance_id='j')
    s.beat('static: leaves for a while', 0, g, 'a', -2, instance_id='i')
    s.describe('static: away', 0, g)
    s.beat('static: beat while away', 110, g, 'a', 2, instance_id='i')
    s.join('static: b takes its place', 0, g, 'b', instance_id='i')
    s.beat('static: a is fenced', 82, g, 'a', 2, instance_id='i')
    s.beat('static: b beats', 0, g, 'b', 2, instance_id='i')
    s.describe('static: back', 0, g)
    s.beat('static: wrong member leaves', 82, g, 'a', -1, instance_id='i')
    s.beat('static: leaves', 0, g, 'b', -1, instance_id='i')
    s.beat('static: leaves twice', 25, g, 'b', -2, instance_id='i')
    s.ask('static: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_regex(s):
    g = 'ng-regex'
    s.join('regex join', 0, g, 'a', topics=None, subscribed_topic_regex='ng-t.*')
    s.beat('regex beat', 0, g, 'a', s.answers['regex join']['member_epoch'])
    s.beat('regex leaves', 0, g, 'a', -1)
    s.join('regex and names null', 0, g, 'a', topics=(), subscribed_topic_regex='')
    s.beat('regex leaves again', 0, g, 'a', -1)
    s.ask('regex delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_classic(s):
    g = 'ng-classic'
    s.commit('classic: commit makes a simple group', 0, g, '', -1, version=8)
    s.describe('classic: is no consumer group', 69, g)
    s.beat('classic: beat', 69, g, 'a', 3)
    s.join('classic: simple group becomes a consumer group', 0, g, 'a')
    s.fetch('classic: its offsets stay', 0, g, 'a', 2)
    s.beat('classic: leave', 0, g, 'a', -1)
    s.ask('classic: delete', 0, 'DeleteGroups', 2, groups_names=[g])


PARTS = (part_refusals, part_one_member, part_two_members, part_static, part_regex, part_classic)


def remove_groups(c):
    """What an earlier run left on a broker that is not ours."""
    names = [g['group_id'] for g in c.call('ListGroups', 5, states_filter=[], types_filter=['consumer'])['groups']]
    for group in c.call('ConsumerGroupDescribe', 1, group_ids=names, include_authorized_operations=False)['groups']:
        for m in group['members']:
            c.call('ConsumerGroupHeartbeat', 1, group_id=group['group_id'], member_id=m['member_id'], member_epoch=-1,
                   instance_id=m['instance_id'])
    c.call('DeleteGroups', 2, groups_names=names)


def run(bootstrap):
    with wire.Conn(bootstrap) as c:
        lib.wait_until(lambda: c.call('FindCoordinator', 6, key_type=0, coordinator_keys=['g'])['coordinators'][0][
            'error_code'] == 0, 20, 'a coordinator')
        lib.wait_until(lambda: c.call('ListGroups', 0)['error_code'] == 0, 20, 'the groups are loaded')
        remove_groups(c)
    s = Script(bootstrap)
    for part in PARTS:
        try:
            part(s)
        except (lib.Failed, OSError, KeyError, TypeError) as e:
            s.wrong.append('%s ends at: %r' % (part.__name__, e))
    with wire.Conn(bootstrap) as c:
        c.call('DeleteTopics', 6, topics=[dict(name=TOPIC), dict(name=OTHER)], timeout_ms=10000)
    return s


def test(t):
    broker = t.broker(workers=3, settings={'node.id': '1'})
    ours = run(broker.bootstrap)
    wrong = ours.wrong + golden.compare(t, 'c_next_groups', ours.answers)
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d of %d rows differ, the first: %s' % (len(wrong), len(ours.answers), (wrong or [''])[0]))
    t.say('%d rows as expected' % len(ours.answers))


lib.main(test)
