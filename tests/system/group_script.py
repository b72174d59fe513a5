"""Requests about groups, row by row, and the comparison with another broker.

Each row names the error code that Apache Kafka 4.3.1 answers. With DIFF=host:port the same script runs against that
broker (with group.initial.rebalance.delay.ms=0) and every answer must be equal field by field; member ids and topic ids
are replaced by names first. Methods of ConsumerGroupHeartbeat begin with next_.
"""
import os
import re
import struct

import lib
import wire

NO_ID = bytes(16)


def subscription(*topics, version=0, owned=()):
    """The consumers' embedded protocol; owned: (topic, partitions) each, from version 1 on."""
    out = struct.pack('>hi', version, len(topics)) + b''.join(struct.pack('>h', len(t)) + t.encode() for t in topics) + \
        struct.pack('>i', -1)
    if version >= 1:
        out += struct.pack('>i', len(owned)) + b''.join(
            struct.pack('>h', len(t)) + t.encode() + struct.pack('>i%di' % len(p), len(p), *p) for t, p in owned)
    return out


def assignment(*topics, version=0):
    """(topic, partitions) each."""
    return struct.pack('>hi', version, len(topics)) + b''.join(
        struct.pack('>h', len(t)) + t.encode() + struct.pack('>i%di' % len(p), len(p), *p) for t, p in topics) + \
        struct.pack('>i', -1)


class Script:
    """topics: name and number of partitions each; requests name the first unless they say so."""

    def __init__(self, bootstrap, *topics):
        self.bootstrap, self.wrong, self.answers, self.members, self.conns = bootstrap, [], {}, {}, {}
        self.topics = [name for name, _ in topics]
        self.ids = {wire.create_topic(bootstrap, name, n): name for name, n in topics}
        self.topic, self.topic_id = self.topics[0], next(iter(self.ids))

    def conn(self, name='main'):
        if name not in self.conns:
            self.conns[name] = wire.Conn(self.bootstrap, timeout=15)
        return self.conns[name]

    def note(self, name, code, out):
        """code: the one error code in the answer; None: any."""
        codes = codes_in(out)
        got = 0 if not codes else codes[0] if len(codes) == 1 else codes
        if code is not None and got != code:
            self.wrong.append('%s: expected %s %s, got %s: %s' % (name, code, wire.ERRORS.get(code, ''), got, out))
        lib.check(name not in self.answers, 'two rows are called %r' % name)
        self.answers[name] = self.normal(out)
        return out

    def ask(self, name, code, api, version, **values):
        return self.note(name, code, self.conn().call(api, version, **values))

    def send(self, conn, api, version, **values):
        """Without waiting for the answer; recv gets it."""
        c = self.conn(conn)
        c.send(wire.frame(api, version, 7, **values))
        c.pending = (api, version)

    def recv(self, conn, name, code):
        c = self.conn(conn)
        return self.note(name, code, wire.read_response(*c.pending, c.receive_frame())[1])

    def normal(self, value):
        """Without what differs from run to run."""
        if isinstance(value, dict):
            return {k: self.normal(v) for k, v in value.items() if k not in ('throttle_time_ms', 'port')}
        if isinstance(value, list):
            value = [self.normal(v) for v in value]
            return sorted(value, key=repr)
        if isinstance(value, str) and re.fullmatch(r'(.*-)?[0-9a-zA-Z_-]{22}|.*-[0-9a-f-]{36}', value):
            return self.members.setdefault(value, 'member %d' % len(self.members))
        if isinstance(value, bytes):
            return 'id of ' + self.ids[value] if value in self.ids else value
        return value

    # ── short forms, the classic protocol ──
    def join_values(self, group, member='', session=10000, rebalance=20000, instance=None, kind='consumer',
                    protocols=None, reason=None):
        return dict(group_id=group, session_timeout_ms=session, rebalance_timeout_ms=rebalance, member_id=member,
                    group_instance_id=instance, protocol_type=kind, reason=reason,
                    protocols=[dict(name=n, metadata=m)
                               for n, m in ((('range', subscription(self.topic)),) if protocols is None else protocols)])

    def join(self, name, code, group, version=9, conn='main', **values):
        self.send(conn, 'JoinGroup', version, **self.join_values(group, **values))
        return self.recv(conn, name, code)

    def sync(self, name, code, group, member, generation, assignments=(), instance=None, kind='consumer',
             protocol='range', version=5, conn='main'):
        self.send(conn, 'SyncGroup', version, group_id=group, generation_id=generation, member_id=member,
                  group_instance_id=instance, protocol_type=kind, protocol_name=protocol,
                  assignments=[dict(member_id=m, assignment=a) for m, a in assignments])
        return self.recv(conn, name, code)

    def heartbeat(self, name, code, group, member, generation, instance=None, version=4):
        return self.ask(name, code, 'Heartbeat', version, group_id=group, generation_id=generation, member_id=member,
                        group_instance_id=instance)

    def commit(self, name, code, group, member='', generation=-1, offset=5, topic=None, partition=0, metadata='',
               version=8, instance=None, topic_id=NO_ID):
        return self.ask(name, code, 'OffsetCommit', version, group_id=group, generation_id_or_member_epoch=generation,
                        member_id=member, group_instance_id=instance, topics=[dict(
                            name=topic or self.topic, topic_id=topic_id, partitions=[dict(
                                partition_index=partition, committed_offset=offset, committed_metadata=metadata)])])

    def fetch(self, name, code, group, version=9, topics=(), by_id=None, epoch=-1, member=None):
        topics = ((self.topic, [0]),) if topics == () else topics
        form = None if topics is None else [
            dict(name=t, partition_indexes=p, **({'topic_id': by_id or NO_ID} if version >= 8 else {})) for t, p in topics]
        if version < 8:
            return self.ask(name, code, 'OffsetFetch', version, group_id=group, topics=form)
        return self.ask(name, code, 'OffsetFetch', version, groups=[dict(
            group_id=group, member_id=member, member_epoch=epoch, topics=form)], require_stable=True)

    def leave(self, name, code, group, *members, version=5, conn='main'):
        if version < 3:
            return self.ask(name, code, 'LeaveGroup', version, group_id=group, member_id=members[0])
        self.send(conn, 'LeaveGroup', version, group_id=group, members=[
            dict(member_id=m, group_instance_id=i, reason='because') for m, i in members])
        return self.recv(conn, name, code)

    def describe(self, name, code, group, version=6):
        return self.ask(name, code, 'DescribeGroups', version, groups=[group], include_authorized_operations=True)

    # ── short forms, ConsumerGroupHeartbeat ──
    def next_beat(self, name, code, group, member, epoch, version=1, **values):
        return self.ask(name, code, 'ConsumerGroupHeartbeat', version, group_id=group, member_id=member,
                        member_epoch=epoch, **values)

    def next_join(self, name, code, group, member, topics=(), version=1, **values):
        topics = (self.topic,) if topics == () else topics
        values = dict(dict(rebalance_timeout_ms=60000, subscribed_topic_names=None if topics is None else list(topics),
                           topic_partitions=[]), **values)
        return self.next_beat(name, code, group, member, 0, version, **values)

    def owning(self, partitions):
        return [dict(topic_id=self.topic_id, partitions=list(partitions))]

    def next_commit(self, name, code, group, member, epoch, version=9, partition=0):
        return self.ask(name, code, 'OffsetCommit', version, group_id=group, member_id=member,
                        generation_id_or_member_epoch=epoch, topics=[dict(name=self.topic, topic_id=self.topic_id if version > 9
                                                                          else NO_ID, partitions=[dict(
                            partition_index=partition, committed_offset=5, committed_metadata='')])])

    def next_fetch(self, name, code, group, member, epoch, version=9):
        return self.ask(name, code, 'OffsetFetch', version, require_stable=True, groups=[dict(
            group_id=group, member_id=member, member_epoch=epoch, topics=[dict(name=self.topic, topic_id=NO_ID,
                                                                               partition_indexes=[0])])])

    def next_describe(self, name, code, group, version=1):
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


def remove_groups(c):
    """What an earlier run left on a broker that is not ours."""
    groups = c.call('ListGroups', 5, states_filter=[], types_filter=[])['groups']
    for kind, api, version in (('consumer', 'ConsumerGroupDescribe', 1), ('classic', 'DescribeGroups', 0)):
        names = [g['group_id'] for g in groups if g['group_type'] == kind]
        asked = dict(group_ids=names, include_authorized_operations=False) if version else dict(groups=names)
        for group in c.call(api, version, **asked)['groups']:
            for m in group['members']:
                if version == 0 or m['member_type'] == 0:
                    c.call('LeaveGroup', 0, group_id=group['group_id'], member_id=m['member_id'])
                else:
                    c.call('ConsumerGroupHeartbeat', 1, group_id=group['group_id'], member_id=m['member_id'],
                           member_epoch=-1, instance_id=m['instance_id'])
    c.call('DeleteGroups', 2, groups_names=[g['group_id'] for g in groups])


def run(bootstrap, topics, parts):
    with wire.Conn(bootstrap) as c:
        lib.wait_until(lambda: c.call('FindCoordinator', 6, key_type=0, coordinator_keys=['g'])['coordinators'][0][
            'error_code'] == 0, 20, 'a coordinator')
        lib.wait_until(lambda: c.call('ListGroups', 0)['error_code'] == 0, 20, 'the groups are loaded')
        remove_groups(c)
    s = Script(bootstrap, *topics)
    for part in parts:
        try:
            part(s)
        except (lib.Failed, OSError, KeyError, TypeError, IndexError) as e:
            s.wrong.append('%s ends at: %r' % (part.__name__, e))
    with wire.Conn(bootstrap) as c:
        c.call('DeleteTopics', 6, topics=[dict(name=name) for name in s.topics], timeout_ms=10000)
    return s


def compare(t, topics, parts, different=()):
    """Runs the parts here, and there when DIFF says where; `different`: rows whose answers may differ."""
    broker = t.broker(workers=3, settings={'node.id': '1', 'group.initial.rebalance.delay.ms': '0'})
    ours = run(broker.bootstrap, topics, parts)
    wrong = ours.wrong
    if os.environ.get('DIFF'):
        other = run(os.environ['DIFF'], topics, parts)
        wrong += ['the other broker: ' + w for w in other.wrong]
        for name, answer in ours.answers.items():
            if answer != other.answers.get(name) and name not in different:
                wrong.append('%s differs:\n    here  %s\n    there %s' % (name, answer, other.answers.get(name)))
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d of %d rows differ, the first: %s' % (len(wrong), len(ours.answers), (wrong or [''])[0]))
    t.say('%d rows as expected' % len(ours.answers))
