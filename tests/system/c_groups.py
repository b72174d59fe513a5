"""Classic groups, request by request: joining, assignments, static members, commits, removal, descriptions.

One script of some hundred requests; group_script.py has how it runs and how it is compared.
"""
import group_script
import lib
import wire
from group_script import NO_ID, subscription

LOST_ID = bytes(range(16))
TOPIC = 'cg-topic'
OTHER = 'cg-other'


def part_simple_commits(s):
    s.commit('commit to a new group', 0, 'simple')
    s.commit('commit to an unknown group with a generation', 22, 'cg-nosuch', generation=5)
    s.commit('commit: unknown topic', 3, 'simple', topic='nosuch')
    s.commit('commit: unknown partition', 3, 'simple', partition=99)
    s.commit('commit: negative partition', 3, 'simple', partition=-1)
    s.commit('commit: negative offset', 0, 'simple', offset=-5, partition=1)
    s.commit('commit: metadata of 4096 bytes', 0, 'simple', metadata='m' * 4096, partition=2)
    s.commit('commit: metadata of 4097 bytes', 12, 'simple', metadata='m' * 4097)
    s.commit('commit: null metadata', 0, 'simple', metadata=None)
    s.commit('commit: empty group id', 0, '')
    s.commit('commit by id', 0, 'simple', topic=None, topic_id=s.topic_id, version=10, offset=77)
    s.commit('commit by unknown id', 100, 'simple', topic=None, topic_id=LOST_ID, version=10)
    s.commit('commit with a member id to an empty group', 0, 'simple', member='me', offset=6)
    for version in range(2, 10):
        s.commit('commit v%d' % version, 0, 'simple', version=version, offset=version)
        s.fetch('fetch v%d' % version, 0, 'simple', version=version)
    for version in (2, 5, 7, 8, 9):
        s.fetch('fetch all v%d' % version, 0, 'simple', version=version, topics=None)
    s.fetch('fetch v1', 0, 'simple', version=1)
    s.fetch('fetch by id', 0, 'simple', version=10, topics=((None, [0, 1, 2, 9]),), by_id=s.topic_id)
    s.fetch('fetch by unknown id', 100, 'simple', version=10, topics=((None, [0]),), by_id=LOST_ID)
    s.fetch('fetch all by id', 0, 'simple', version=10, topics=None)
    s.fetch('fetch: unknown topic', 0, 'simple', topics=(('nosuch', [0]),))
    for version in (1, 7, 8, 9):
        s.fetch('fetch: unknown group v%d' % version, 0, 'gnone', version=version)
    s.fetch('fetch all: unknown group', 0, 'gnone', topics=None)
    s.fetch('fetch: a member epoch', 0, 'simple', epoch=5, member='m')
    s.describe('describe a simple group', 0, 'simple')
    out = s.ask('list groups', 0, 'ListGroups', 5, states_filter=['eMpTy'], types_filter=['Classic'])
    lib.check({'simple', ''} <= {g['group_id'] for g in out['groups']}, 'simple groups are listed: %s' % out)
    s.ask('list groups: unknown state', 0, 'ListGroups', 5, states_filter=['Nonsense'], types_filter=[])
    s.ask('list groups: unknown type', 0, 'ListGroups', 5, states_filter=[], types_filter=['nonsense'])
    s.ask('list groups: another type', 0, 'ListGroups', 5, states_filter=[], types_filter=['consumer'])


def part_join_errors(s):
    s.join('join: empty group id', 24, '')
    s.join('join: session timeout too small', 26, 'je', session=10)
    s.join('join: session timeout too large', 26, 'je', session=3600001)
    s.join('join: unknown member id, unknown group', 25, 'je', member='nobody')
    s.join('join: no protocols', 23, 'je', protocols=())
    s.join('join: empty protocol type', 23, 'je', kind='')
    first = s.join('join: first', 79, 'je')
    s.join('join: unknown member id', 25, 'je', member='nobody')
    s.describe('describe a group with a pending member', 0, 'je')
    s.leave('leave: pending member', 0, 'je', (first['member_id'], None))
    s.join('join: pending id that left', 25, 'je', member=first['member_id'])
    s.sync('sync: empty group id', 24, '', 'm', 1)
    s.sync('sync: unknown group', 25, 'cg-nosuch', 'm', 1)
    s.sync('sync: empty group', 25, 'je', 'm', 0)
    s.heartbeat('heartbeat: unknown group', 25, 'cg-nosuch', 'm', 1)
    s.heartbeat('heartbeat: empty group id', 24, '', 'm', 1)
    s.heartbeat('heartbeat: empty group', 25, 'je', 'm', 0)
    s.leave('leave: unknown group', 25, 'cg-nosuch', ('m', None))
    s.leave('leave: unknown member', 25, 'je', ('m', None))
    s.leave('leave v0: unknown group', 25, 'cg-nosuch', 'm', version=0)
    s.leave('leave v0: unknown member', 25, 'je', 'm', version=0)
    s.leave('leave: empty group id', 24, '', ('m', None))
    s.leave('leave: nobody', 0, 'je')


def part_one_member(s):
    g = 'one'
    m = s.join('one: join first', 79, g)['member_id']
    out = s.join('one: join', 0, g, member=m)
    gen = out['generation_id']
    lib.equal((gen, out['leader'], out['protocol_name']), (1, m, 'range'), 'the first generation')
    s.describe('describe: completing', 0, g)
    s.sync('sync: wrong generation', 22, g, m, gen + 1)
    s.sync('sync: other protocol name', 23, g, m, gen, protocol='nope')
    s.sync('sync: other protocol type', 23, g, m, gen, kind='nope')
    s.sync('sync: unknown member', 25, g, 'nobody', gen)
    s.heartbeat('heartbeat before sync', 0, g, m, gen)
    s.commit('commit before sync', 27, g, m, gen)
    s.join('one: join again while completing', 0, g, member=m)
    s.sync('sync', 0, g, m, gen, [(m, b'plan'), ('stranger', b'x')])
    s.sync('sync again', 0, g, m, gen)
    s.sync('sync: no protocol name', 23, g, m, gen, protocol=None)
    s.sync('sync v4: no protocol name', 0, g, m, gen, protocol=None, version=4)
    s.sync('sync v0', 0, g, m, gen, version=0)
    s.heartbeat('heartbeat', 0, g, m, gen)
    s.heartbeat('heartbeat v0', 0, g, m, gen, version=0)
    s.heartbeat('heartbeat: wrong generation', 22, g, m, gen + 1)
    s.heartbeat('heartbeat: unknown member', 25, g, 'nobody', gen)
    s.heartbeat('heartbeat: wrong instance', 25, g, m, gen, instance='i')
    s.commit('one: commit', 0, g, m, gen, offset=11)
    s.commit('one: commit, wrong generation', 22, g, m, gen + 1)
    s.commit('one: commit, unknown member', 25, g, 'nobody', gen)
    s.commit('one: commit, no generation', 25, g)
    s.commit('one: commit, instance', 25, g, m, gen, instance='i')
    s.commit('one: commit, member without generation', 22, g, m, -1)
    s.fetch('one: fetch', 0, g)
    for version in range(0, 7):
        s.describe('describe v%d' % version, 0, g, version=version)
    s.join('join: other protocol type', 23, g, kind='other')
    s.join('join: other protocols', 23, g, protocols=(('sticky', b''),))
    s.ask('delete: group with members', 68, 'DeleteGroups', 2, groups_names=[g])
    s.ask('offset delete: subscribed', 86, 'OffsetDelete', 0, group_id=g,
          topics=[dict(name=TOPIC, partitions=[dict(partition_index=0)])])
    s.ask('list groups: stable', 0, 'ListGroups', 4, states_filter=['Stable'])
    s.leave('leave v2', 0, g, m, version=2)
    s.describe('describe: empty', 0, g)
    s.fetch('one: fetch after leaving', 0, g)
    out = s.join('one: join v3 into an empty group', 0, g, version=3)
    lib.equal(out['generation_id'], 3, 'generation after leave and join')
    s.leave('leave', 0, g, (out['member_id'], None))


def part_two_members(s):
    g = 'two'
    a = s.join('two: a first', 79, g)['member_id']
    gen = s.join('two: a', 0, g, member=a)['generation_id']
    s.sync('two: a sync', 0, g, a, gen, [(a, b'all')])
    b = s.join('two: b first', 79, g)['member_id']
    s.send('b', 'JoinGroup', 9, **s.join_values(g, b))
    while s.conn().call('Heartbeat', 4, group_id=g, generation_id=gen, member_id=a, group_instance_id=None)['error_code'] != 27:
        pass
    s.heartbeat('heartbeat during a rebalance', 27, g, a, gen)
    s.commit('commit during a rebalance', 0, g, a, gen, offset=20)
    s.sync('sync during a rebalance', 27, g, a, gen)
    s.describe('describe: preparing', 0, g)
    s.ask('delete: group that prepares', 68, 'DeleteGroups', 2, groups_names=[g])
    out = s.join('two: a again', 0, g, member=a, reason='rebalance')
    s.recv('b', 'two: b', 0)
    gen = out['generation_id']
    lib.equal(sorted(m['member_id'] for m in out['members']), sorted([a, b]), 'what the leader sees')
    s.send('b', 'SyncGroup', 5, group_id=g, generation_id=gen, member_id=b, group_instance_id=None,
           protocol_type='consumer', protocol_name='range', assignments=[])
    s.sync('two: a sync again', 0, g, a, gen, [(a, b'half'), (b, b'other half')])
    lib.equal(s.recv('b', 'two: b sync', 0)['assignment'], b'other half', "the follower's assignment")
    s.join('two: follower joins again unchanged', 0, g, member=b, conn='b')
    s.describe('describe: two', 0, g)
    s.leave('two: both leave, and a stranger', 25, g, (a, None), (b, None), ('stranger', None))
    s.describe('describe: two gone', 0, g)


def part_static(s):
    g = 'static'
    out = s.join('static: first', 0, g, instance='i1')
    a, gen = out['member_id'], out['generation_id']
    lib.check(a.startswith('i1-'), 'the id of a static member begins with its instance: %s' % a)
    s.sync('static: sync', 0, g, a, gen, [(a, b'plan')], instance='i1')
    out = s.join('static: comes back', 0, g, instance='i1')
    lib.equal((out['generation_id'], out['skip_assignment']), (gen, True), 'no rebalance')
    b = out['member_id']
    s.heartbeat('static: the old id', 82, g, a, gen, instance='i1')
    s.heartbeat('static: the old id without instance', 25, g, a, gen)
    s.commit('static: commit by the old id', 82, g, a, gen, instance='i1')
    s.sync('static: sync by the old id', 82, g, a, gen, instance='i1')
    s.join('static: join by the old id', 82, g, member=a, instance='i1')
    lib.equal(s.sync('static: sync after coming back', 0, g, b, gen, instance='i1')['assignment'], b'plan', 'plan')
    out = s.join('static: comes back v8', 0, g, instance='i1', version=8)
    c = out['member_id']
    lib.check(out['leader'] != c, 'below v9 the old id is named as leader')
    s.heartbeat('static: heartbeat', 0, g, c, gen, instance='i1')
    s.describe('static: describe', 0, g)
    s.leave('static: leave by a wrong id', 82, g, (a, 'i1'))
    s.leave('static: leave by an unknown instance', 25, g, ('', 'i9'))
    s.leave('static: leave by instance', 0, g, ('', 'i1'))
    s.describe('static: describe, empty', 0, g)


def part_removal(s):
    simple = dict(group_id='simple')
    partition = [dict(partition_index=0), dict(partition_index=9)]
    s.ask('offset delete: unknown group', 69, 'OffsetDelete', 0, group_id='gnone', topics=[])
    s.ask('offset delete: unknown topic', 3, 'OffsetDelete', 0, topics=[dict(name='nosuch', partitions=partition)], **simple)
    s.ask('offset delete', 3, 'OffsetDelete', 0, topics=[dict(name=TOPIC, partitions=partition)], **simple)
    s.fetch('fetch what was deleted', 0, 'simple', topics=((TOPIC, [0, 1, 2]),))
    s.ask('delete: unknown group', 69, 'DeleteGroups', 2, groups_names=['gnone'])
    s.ask('delete: several', 69, 'DeleteGroups', 1, groups_names=['simple', 'gnone', 'two'])
    s.ask('delete: empty name', 0, 'DeleteGroups', 2, groups_names=[''])
    s.fetch('fetch of a deleted group', 0, 'simple', topics=None)
    s.describe('describe a deleted group', 69, 'simple')
    s.describe('describe a deleted group v5', 0, 'simple', version=5)
    s.commit('commit to a deleted group', 0, 'simple')
    s.ask('coordinator of anything', 0, 'FindCoordinator', 4, key_type=0, coordinator_keys=['a', ''])
    for g in ('one', 'static', 'je', 'simple'):
        s.ask('delete: %s' % g, 0, 'DeleteGroups', 2, groups_names=[g])


def part_deleted_topic(s):
    wire.create_topic(s.bootstrap, OTHER, 2)
    s.commit('commit to a topic that will go', 0, 'gone', topic=OTHER)
    s.commit('commit to one that stays', 0, 'gone')
    s.conn().call('DeleteTopics', 6, topics=[dict(name=OTHER)], timeout_ms=10000)

    def is_gone():
        out = s.conn().call('OffsetFetch', 8, groups=[dict(group_id='gone', topics=None)], require_stable=False)
        return [t['name'] for t in out['groups'][0]['topics']] == [TOPIC]
    lib.wait_until(is_gone, 10, 'the offsets of a deleted topic are gone')
    s.ask('delete: gone', 0, 'DeleteGroups', 2, groups_names=['gone'])


PARTS = (part_simple_commits, part_join_errors, part_one_member, part_two_members, part_static, part_removal,
         part_deleted_topic)


def test(t):
    group_script.compare(t, [(TOPIC, 3)], PARTS)


lib.main(test)
