"""Online migration between classic groups and groups of KIP-848, request by request: up, mixed, down, static members,
refusals, descriptions of mixed and migrated groups.

group_script.py has how it runs and how it is compared.
"""
import time

import group_script
import lib
from group_script import assignment, subscription

TOPIC, OTHER = 'mg-topic', 'mg-other'
WAIT_S = 1.1   # group.consumer.assignment.interval.ms


def offers(owned=(), version=1, topics=(TOPIC,), names=('range',)):
    return [(name, subscription(*topics, version=version, owned=[(TOPIC, list(owned))] if owned else ()))
            for name in names]


def described(s, name, g):
    s.next_describe(name + ', consumer', None, g)
    s.describe(name + ', classic', None, g)
    s.ask(name + ', listed', None, 'ListGroups', 5, states_filter=[], types_filter=[])


def stable_one(s, tag, g, instance=None, **values):
    """A classic group of one member that has all."""
    values = dict(dict(protocols=offers(), instance=instance), **values)
    member = s.join(tag + ': asks for an id', 79 if instance is None else 0, g, **values)['member_id']
    generation = 1
    if instance is None:
        generation = s.join(tag + ': joins', 0, g, member=member, **values)['generation_id']
    s.sync(tag + ': syncs', 0, g, member, generation, [(member, assignment((TOPIC, [0, 1, 2, 3]), version=1))],
           instance=instance)
    return member, generation


def part_up_and_down(s):
    g = 'mg-one'
    a, generation = stable_one(s, 'up', g)
    described(s, 'up: classic', g)
    s.commit('up: commit', 0, g, a, generation)
    s.next_join('up: c joins', 0, g, 'c')
    described(s, 'up: just after', g)
    s.heartbeat('up: a must join', 27, g, a, generation)
    s.heartbeat('up: a, other generation', 22, g, a, generation + 5)
    s.heartbeat('up: nobody beats', 25, g, 'nobody', generation)
    s.heartbeat('up: c beats as a classic one', 25, g, 'c', 2)
    s.sync('up: a syncs', 27, g, a, generation)
    s.sync('up: a syncs another generation', 22, g, a, generation + 5)
    s.sync('up: a syncs another protocol', 23, g, a, generation, protocol='zzz')
    s.sync('up: a syncs another type', 23, g, a, generation, kind='zzz')
    s.sync('up: c syncs', 25, g, 'c', 2)
    s.commit('up: a commits', 0, g, a, generation)
    s.commit('up: a commits, other generation', 22, g, a, generation + 5)
    s.fetch('up: a fetches, other generation', 22, g, member=a, epoch=generation + 5)
    s.fetch('up: a fetches', 0, g, member=a, epoch=generation)
    time.sleep(WAIT_S)
    s.next_beat('up: c waits', 0, g, 'c', s.answers['up: c joins']['member_epoch'], topic_partitions=[])
    out = s.join('up: a joins again', 0, g, member=a, protocols=offers(owned=range(4)))
    described(s, 'up: a revokes', g)
    s.sync('up: a gets what it keeps', 0, g, a, out['generation_id'])
    s.heartbeat('up: a revokes and must join', 27, g, a, out['generation_id'])
    kept = s.answers['up: a revokes, consumer']['groups'][0]
    mine = [m for m in kept['members'] if m['member_type'] == 0][0]['target_assignment']['topic_partitions']
    mine = mine[0]['partitions'] if mine else []
    out = s.join('up: a has revoked', 0, g, member=a, protocols=offers(owned=mine))
    s.sync('up: a stays', 0, g, a, out['generation_id'])
    s.heartbeat('up: a beats', 0, g, a, out['generation_id'])
    s.next_beat('up: c gets its share', 0, g, 'c', s.answers['up: c waits']['member_epoch'], topic_partitions=[])
    described(s, 'mixed', g)
    s.leave('mixed: nobody leaves', 25, g, ('nobody', None))
    s.ask('mixed: delete', 68, 'DeleteGroups', 2, groups_names=[g])
    s.next_beat('down: c leaves', 0, g, 'c', -1)
    described(s, 'down: just after', g)
    s.next_beat('down: c beats', 69, g, 'c', 3)
    s.heartbeat('down: a must join', None, g, a, out['generation_id'])
    out = s.join('down: a joins', 0, g, member=a, protocols=offers(owned=mine))
    s.sync('down: a syncs', 0, g, a, out['generation_id'], [(a, assignment((TOPIC, [0, 1, 2, 3]), version=1))])
    s.heartbeat('down: a beats', 0, g, a, out['generation_id'])
    described(s, 'down: stable', g)
    s.fetch('down: offsets are there', 0, g)
    s.leave('down: a leaves', 0, g, (a, None))
    s.ask('down: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_classic_joins(s):
    g = 'mg-two'
    s.next_join('two: c joins', 0, g, 'c')
    s.join('two: another type', 23, g, kind='connect')
    s.join('two: no protocols', 23, g, protocols=[])
    s.join('two: session timeout', 26, g, session=1)
    s.join('two: nothing that can be read', -1, g, member='x', protocols=[('range', b'\0')])
    a = s.join('two: a asks for an id', 79, g, protocols=offers())['member_id']
    time.sleep(WAIT_S)
    out = s.join('two: a joins', 0, g, member=a, protocols=offers(names=('range', 'cooperative-sticky')))
    s.sync('two: a has nothing yet', 0, g, a, out['generation_id'])
    s.heartbeat('two: a waits', 0, g, a, out['generation_id'])
    b = s.join('two: b joins in version 3', 0, g, version=3, protocols=offers(names=('cooperative-sticky',)))
    s.join('two: d has no protocol of all', 23, g, member='d', protocols=offers(names=('zzz',)))
    described(s, 'two: three members', g)
    s.leave('two: a and b leave', 0, g, (a, None), (b['member_id'], None))
    described(s, 'two: they are gone', g)
    b = s.join('two: b joins again', 0, g, version=3, protocols=offers())
    s.leave('two: c is removed by LeaveGroup', 0, g, ('c', None))
    described(s, 'two: a classic group', g)
    s.leave('two: b leaves', 0, g, (b['member_id'], None))
    s.ask('two: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_static(s):
    g = 'mg-static'
    a, generation = stable_one(s, 'static', g, instance='i')
    s.next_join('static: c takes the place of a', 0, g, 'c', instance_id='i')
    described(s, 'static: c', g)
    s.heartbeat('static: a is fenced', 82, g, a, generation, instance='i')
    s.sync('static: a is fenced, sync', 82, g, a, generation, instance='i')
    s.heartbeat('static: unknown instance', 25, g, a, generation, instance='j')
    s.join('static: fenced id', 82, g, member=a, instance='i', protocols=offers())
    s.join('static: unknown instance joins with an id', 25, g, member=a, instance='j', protocols=offers())
    out = s.join('static: a takes its place back', 0, g, instance='i', protocols=offers())
    described(s, 'static: a is back', g)
    s.next_beat('static: c is no member', None, g, 'c', 3, instance_id='i')
    s.sync('static: a syncs', 0, g, out['member_id'], out['generation_id'], instance='i')
    s.heartbeat('static: a beats', 0, g, out['member_id'], out['generation_id'], instance='i')
    s.leave('static: leaves by instance', 0, g, ('', 'i'))
    s.ask('static: delete', 0, 'DeleteGroups', 2, groups_names=[g])


def part_refused(s):
    g = 'mg-connect'
    member = s.join('connect: asks for an id', 79, g, kind='connect', protocols=[('x', b'\1')])['member_id']
    out = s.join('connect: joins', 0, g, member=member, kind='connect', protocols=[('x', b'\1')])
    s.next_join('connect: c joins while it gathers', 69, g, 'c')
    s.sync('connect: syncs', 0, g, member, out['generation_id'], [(member, b'\1')], kind='connect', protocol='x')
    s.next_join('connect: c joins', 69, g, 'c')
    s.heartbeat('connect: goes on', 0, g, member, out['generation_id'])
    s.leave('connect: leaves', 0, g, (member, None))
    s.next_join('connect: c joins the empty group', 0, g, 'c')
    s.next_beat('connect: c leaves', 0, g, 'c', -1)
    g = 'mg-bad'
    member = s.join('bad: asks for an id', 79, g, protocols=[('range', b'\0')])['member_id']
    out = s.join('bad: joins', 0, g, member=member, protocols=[('range', b'\0')])
    s.sync('bad: syncs', 0, g, member, out['generation_id'], [(member, assignment((TOPIC, [0])))])
    s.next_join('bad: c joins', 69, g, 'c')
    s.heartbeat('bad: goes on', 0, g, member, out['generation_id'])
    s.leave('bad: leaves', 0, g, (member, None))


def part_completing(s):
    """The upgrade while the leader's assignment is awaited."""
    g = 'mg-completing'
    member = s.join('completing: asks for an id', 79, g, protocols=offers())['member_id']
    out = s.join('completing: joins', 0, g, member=member, protocols=offers())
    s.next_join('completing: c joins', 0, g, 'c')
    described(s, 'completing: mixed', g)
    s.sync('completing: a syncs', 27, g, member, out['generation_id'],
           [(member, assignment((TOPIC, [0, 1, 2, 3]), version=1))])
    time.sleep(WAIT_S)
    out = s.join('completing: a joins', 0, g, member=member, protocols=offers())
    described(s, 'completing: a has joined', g)
    s.leave('completing: a leaves', 0, g, (member, None))
    s.next_beat('completing: c leaves', 0, g, 'c', -1)
    described(s, 'completing: empty', g)


PARTS = (part_up_and_down, part_classic_joins, part_static, part_refused, part_completing)


def test(t):
    group_script.compare(t, [(TOPIC, 4), (OTHER, 2)], PARTS)


lib.main(test)
