#!/usr/bin/env python3
"""heartbeats.py - how long a heartbeat takes while nothing happens, and while 1,000 members of another group rebalance.

    heartbeats.py [--seconds 5] [--port PORT]     without --port: a broker of its own, one worker

A probe, a process of its own, sends one Heartbeat every 5 ms for a member of a small group and times the answers. Beside
it 1,000 members over 10,000 partitions (50 topics: with twice as many the record of the classic group is larger than a
message may be, here as in Apache Kafka) rebalance again and again: of the classic protocol each on a
connection of its own, of KIP-848 twenty to a connection. What is asked is how long the broker takes, on a machine whose
two cores the members have to share with it: their frames are made once, they run at nice 10, and the probe before everybody else
(SCHED_FIFO, as root), so that neither's wait for a processor counts as the broker's.
"""
import argparse
import multiprocessing
import os
import selectors
import socket
import struct
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
sys.path.insert(0, os.path.join(ROOT, 'bench', 'peers'))
import wire  # noqa: E402

MEMBERS, TOPICS, PARTITIONS, EVERY_S = 1000, 50, 200, 0.005
NAMES = ['topic-%04d' % i for i in range(TOPICS)]


def subscription():
    names = b''.join(struct.pack('>h', len(n)) + n.encode() for n in NAMES)
    return struct.pack('>hi', 1, TOPICS) + names + struct.pack('>ii', -1, 0)


def assignment(topic, partitions):
    return struct.pack('>hih', 1, 1, len(topic)) + topic.encode() + struct.pack(
        '>i%di' % len(partitions), len(partitions), *partitions) + struct.pack('>i', -1)


def first_in_line():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass  # the figures are then also those of the scheduler


# ── the probe ────────────────────────────────────────────────────────────────────────────────────────────────
def join(bootstrap, group, conn, metadata):
    """One classic member alone -> (member id, generation)."""
    asked = dict(group_id=group, session_timeout_ms=60000, rebalance_timeout_ms=60000, protocol_type='consumer',
                 protocols=[dict(name='range', metadata=metadata)])
    r = conn.call('JoinGroup', 3, member_id='', **asked)
    conn.call('SyncGroup', 3, group_id=group, generation_id=r['generation_id'], member_id=r['member_id'],
              assignments=[dict(member_id=r['member_id'], assignment=b'')])
    return r['member_id'], r['generation_id']


def probe(bootstrap, seconds, out):
    times = []
    first_in_line()
    with wire.Conn(bootstrap) as c:
        c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member, generation = join(bootstrap, 'probe-%d' % os.getpid(), c, b'')
        frame = wire.frame('Heartbeat', 3, group_id='probe-%d' % os.getpid(), generation_id=generation, member_id=member)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            c.send(frame)
            answer = c.receive_frame()
            times.append(time.monotonic() - began)
            if answer[-2:] != b'\0\0':
                raise SystemExit('the probe got error %d' % struct.unpack('>h', answer[-2:])[0])
            time.sleep(max(0.0, began + EVERY_S - time.monotonic()))
    out.put(sorted(times))


# ── members ──────────────────────────────────────────────────────────────────────────────────────────────────
class Many:
    """Frames out on many connections, answers back in any order."""

    def __init__(self, bootstrap, n):
        self.selector, self.sockets = selectors.DefaultSelector(), []
        host, port = bootstrap.rsplit(':', 1)
        for i in range(n):
            s = socket.create_connection((host, int(port)))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(s, selectors.EVENT_READ, i)
            self.sockets.append(s)
        self.bytes = [b''] * n

    def answers(self, want, until):
        """(connection, frame) of `want` frames."""
        while want > 0 and time.monotonic() < until:
            for key, _ in self.selector.select(0.1):
                i = key.data
                self.bytes[i] += key.fileobj.recv(1 << 20)
                while len(self.bytes[i]) >= 4:
                    n = struct.unpack('>i', self.bytes[i][:4])[0]
                    if len(self.bytes[i]) < 4 + n:
                        break
                    frame, self.bytes[i] = self.bytes[i][4:4 + n], self.bytes[i][4 + n:]
                    want -= 1
                    yield i, frame
        if want > 0:
            raise SystemExit('%d members were not answered' % want)

    def close(self):
        for s in self.sockets:
            s.close()


def text(s):
    return struct.pack('>h', len(s)) + s


def text_at(frame, at):
    n = struct.unpack_from('>h', frame, at)[0]
    return frame[at + 2:at + 2 + n], at + 2 + n


def head(api_key, i):
    """Of a request of version 3, behind the length."""
    return struct.pack('>hhi', api_key, 3, i) + text(b'member')


def sized(body):
    return struct.pack('>i', len(body)) + body


class Thousand:
    """The frames of one classic group: only ids and generations change."""

    def __init__(self):
        metadata = subscription()
        self.before = text(b'thousand') + struct.pack('>ii', 60000, 60000)
        self.after = text(b'consumer') + struct.pack('>i', 1) + text(b'range') + sized(metadata)
        self.parts = [assignment(NAMES[i // 20], list(range(i % 20 * 10, i % 20 * 10 + 10))) for i in range(MEMBERS)]

    def join(self, i, member):
        return sized(head(11, i) + self.before + text(member) + self.after)

    def sync(self, i, generation, member, plan):
        return sized(head(14, i) + text(b'thousand') + struct.pack('>i', generation) + text(member) + struct.pack('>h', -1) +
                     plan)

    def plan(self, ids):
        return struct.pack('>i', MEMBERS) + b''.join(text(m) + sized(p) for m, p in zip(ids, self.parts))

    @staticmethod
    def joined(frame):
        """(member id, generation, leader's id) of a JoinGroup's answer."""
        error, generation = struct.unpack_from('>hi', frame, 8)
        if error != 0:
            raise SystemExit('a JoinGroup got error %d' % error)
        _, at = text_at(frame, 14)
        leader, at = text_at(frame, at)
        return text_at(frame, at)[0], generation, leader


def classic(bootstrap, stop, ready, count):
    os.nice(10)
    many, group = Many(bootstrap, MEMBERS), Thousand()
    ids, leader, none = [b''] * MEMBERS, 0, struct.pack('>i', 0)
    while not stop.is_set():
        until = time.monotonic() + 60
        for i in [leader] + [i for i in range(MEMBERS) if i != leader]:  # the leader's begins a rebalance
            many.sockets[i].sendall(group.join(i, ids[i]))
        generation = 0
        for i, frame in many.answers(MEMBERS, until):
            ids[i], generation, is_leader = group.joined(frame)
            if is_leader == ids[i]:
                leader = i
        for i, s in enumerate(many.sockets):
            s.sendall(group.sync(i, generation, ids[i], group.plan(ids) if i == leader else none))
        for i, frame in many.answers(MEMBERS, until):
            if frame[8:10] != b'\0\0':
                raise SystemExit('a SyncGroup got error %d' % struct.unpack_from('>h', frame, 8))
        ready.set()
        with count.get_lock():
            count.value += 1
    many.close()


def consumer(bootstrap, stop, ready, count):
    os.nice(10)
    conns = MEMBERS // 20
    many = Many(bootstrap, conns)
    epochs, owned, rounds = [0] * MEMBERS, [None] * MEMBERS, 0
    while not stop.is_set():
        until = time.monotonic() + 60
        for i in range(MEMBERS):
            is_join = epochs[i] == 0
            many.sockets[i % conns].sendall(wire.frame(
                'ConsumerGroupHeartbeat', 1, i, group_id='thousand-next', member_id='member-%04d' % i,
                member_epoch=epochs[i], rebalance_timeout_ms=60000 if is_join else -1,
                subscribed_topic_names=NAMES if is_join else None, topic_partitions=[] if is_join else owned[i]))
            owned[i] = None
        for _, frame in many.answers(MEMBERS, until):
            i, r = wire.read_response('ConsumerGroupHeartbeat', 1, frame)
            if r['error_code'] != 0:
                raise SystemExit('member %d: error %d' % (i, r['error_code']))
            if r['member_epoch'] > epochs[i]:
                with count.get_lock():
                    count.value += i == 0
            epochs[i] = r['member_epoch']
            if r['assignment'] is not None:
                owned[i] = [dict(topic_id=t['topic_id'], partitions=t['partitions'])
                            for t in r['assignment']['topic_partitions']]
        rounds += 1
        if rounds == 4:
            ready.set()
        if rounds % 3 == 0:  # a hundred leave and come back
            for i in range(rounds % 10, MEMBERS, 10):
                many.sockets[i % conns].sendall(wire.frame(
                    'ConsumerGroupHeartbeat', 1, i, group_id='thousand-next', member_id='member-%04d' % i,
                    member_epoch=-1))
                epochs[i], owned[i] = 0, None
            for _ in many.answers(len(range(rounds % 10, MEMBERS, 10)), until):
                pass
    many.close()


# ── measure ──────────────────────────────────────────────────────────────────────────────────────────────────
def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] * 1e3


def probe_run(bootstrap, seconds):
    out = multiprocessing.Queue()
    p = multiprocessing.Process(target=probe, args=(bootstrap, seconds, out))
    p.start()
    times = out.get(timeout=seconds + 60)
    p.join()
    return {'n': len(times), 'p50': percentile(times, 0.5), 'p99': percentile(times, 0.99), 'max': times[-1] * 1e3}


def beside(bootstrap, seconds, members):
    """The probe's figures while `members` rebalance, and how many rebalances there were meanwhile."""
    stop, ready, count = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Value('i', 0)
    p = multiprocessing.Process(target=members, args=(bootstrap, stop, ready, count))
    p.start()
    try:
        while not ready.wait(1):
            if p.exitcode is not None:
                raise SystemExit('the members ended')
        before = count.value
        figures = probe_run(bootstrap, seconds)
        figures['rebalances'] = count.value - before
        if p.exitcode is not None:
            raise SystemExit('the members ended')
        return figures
    finally:
        stop.set()
        p.join(90)
        p.kill()


def measure(bootstrap, seconds):
    """{'idle': figures, 'classic': ..., 'consumer': ...}"""
    with wire.Conn(bootstrap, timeout=60) as c:
        c.call('CreateTopics', 7, topics=[dict(name=n, num_partitions=PARTITIONS, replication_factor=1) for n in NAMES],
               timeout_ms=60000)
        c.call('FindCoordinator', 3, key='probe', key_type=0)
    time.sleep(2)
    return {'idle': probe_run(bootstrap, seconds), 'classic': beside(bootstrap, seconds, classic),
            'consumer': beside(bootstrap, seconds, consumer)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seconds', type=float, default=5)
    p.add_argument('--port', type=int)
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix='millrace-heartbeats-') as directory:
        broker = None
        if a.port is None:
            import brokers
            broker = brokers.Millrace(os.path.join(directory, 'data'), 'group', 1)
            # none of the thousand is late, or the others would wait for it to join again
            broker.conditions.update({'group.initial.rebalance.delay.ms': '2000'})
            broker.start()
        try:
            for name, f in measure('127.0.0.1:%d' % (a.port or broker.port), a.seconds).items():
                print('heartbeat, %-9s p50 %7.3f ms  p99 %7.3f ms  longest %7.3f ms  of %d%s' % (
                    name, f['p50'], f['p99'], f['max'], f['n'],
                    ', beside %d rebalances' % f['rebalances'] if 'rebalances' in f else ''))
        finally:
            if broker:
                broker.wipe()


if __name__ == '__main__':
    main()
