"""matrix.py - what every client of the matrix must have left behind, looked at with the tests' own client.

Each client creates TOPIC with 3 partitions, produces, reads everything in GROUP, commits, seeks back and reads again,
and asks its admin client. Then the ends, the committed offsets and the group must be those it speaks of.
"""
import lib
import wire

PARTITIONS = 3


def check(broker, topic, group, records):
    per = records // PARTITIONS
    with wire.Conn(broker.bootstrap) as c:
        lib.equal([wire.end_offset(c, topic, p) for p in range(PARTITIONS)], [per] * PARTITIONS, 'ends of ' + topic)
        out = c.call('OffsetFetch', 8, groups=[dict(group_id=group, topics=None)], require_stable=True)['groups'][0]
        got = {p['partition_index']: p['committed_offset'] for t in out['topics'] if t['name'] == topic
               for p in t['partitions']}
        lib.equal(got, {p: per for p in range(PARTITIONS)}, 'what %s committed' % group)

        def is_empty():
            return c.call('ListGroups', 5, states_filter=['Empty'], types_filter=[])['groups']
        # The last member's leaving may still be under way.
        lib.wait_until(lambda: group in [g['group_id'] for g in is_empty()], 30, '%s is empty' % group)
