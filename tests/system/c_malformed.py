"""Hostile bytes: a probe goes on being answered, memory stays bounded, and the counters name the cause."""
import os
import random
import resource
import socket
import struct
import threading
import time

import lib
import wire

SEED = int(os.environ.get('SEED', '1'))
FRAMES_N = 20000 if lib.FULL else 2500
IDLE_N = 10000 if lib.FULL else 2000
LARGE_N = 60
LARGE = 104857600
PROBE_LIMIT_S = 2.0
GROWTH_MAX = 512 << 20
REQUEST_BUDGET = 128 << 20


class Probe(threading.Thread):
    """A well-behaved client beside all this: produce, fetch and ApiVersions on one connection, each timed."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.bootstrap, self.topic, self.slowest, self.answers_n, self.fault = bootstrap, topic, 0.0, 0, None
        self.stopping = False

    def step(self, c, n):
        began = time.monotonic()
        if n % 3 == 0:
            lib.equal(wire.produce(c, self.topic, wire.batch([(b'p', b'%d' % n)]))['error_code'], 0, 'probe: Produce')
        elif n % 3 == 1:
            lib.equal(wire.fetch(c, self.topic, 0, wait_ms=0)['error_code'], 0, 'probe: Fetch')
        else:
            lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'probe: ApiVersions')
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers_n += 1

    def run(self):
        try:
            with wire.Conn(self.bootstrap, timeout=10) as c:
                n = 0
                while not self.stopping:
                    self.step(c, n)
                    n += 1
                    time.sleep(0.02)
        except Exception as e:
            self.fault = '%s: %s' % (type(e).__name__, e)

    def is_well(self, during):
        lib.check(self.fault is None, '%s: the probe failed: %s' % (during, self.fault))
        lib.check(self.slowest < PROBE_LIMIT_S, '%s: the probe waited %.2f s for an answer' % (during, self.slowest))
        before = self.answers_n
        lib.wait_until(lambda: self.answers_n > before or self.fault, 10, 'the probe is answered ' + during)


def some_requests(topic):
    good = wire.batch([(b'k%d' % i, b'v' * 20) for i in range(4)])
    one = [dict(name=topic, partition_data=[dict(index=0, records=good)])]
    out = [wire.frame('ApiVersions', v, client_software_name='x', client_software_version='1') for v in (0, 3, 4)]
    out += [wire.frame('Metadata', v, topics=[dict(name=topic)]) for v in (1, 9, 12)]
    out += [wire.frame('Produce', v, acks=-1, timeout_ms=100, topic_data=one) for v in (3, 7, 9)]
    out += [wire.frame('Fetch', v, max_wait_ms=5, min_bytes=1, max_bytes=4096, topics=[dict(topic=topic, partitions=[
        dict(partition=0, fetch_offset=0, partition_max_bytes=4096)])]) for v in (4, 11, 12)]
    out += [wire.frame('ListOffsets', v, replica_id=-1, topics=[dict(name=topic, partitions=[dict(
        partition_index=0, timestamp=-1)])]) for v in (1, 7)]
    out += [wire.frame('FindCoordinator', 3, key='g', key_type=0), wire.frame('InitProducerId', 4, transactional_id=None),
            wire.frame('DescribeConfigs', 4, resources=[dict(resource_type=2, resource_name=topic)]),
            wire.frame('OffsetForLeaderEpoch', 4, topics=[dict(topic=topic, partitions=[dict(partition=0)])]),
            wire.frame('CreateTopics', 7, topics=[dict(name='', num_partitions=1)]),
            wire.frame('DeleteTopics', 6, topics=[dict(name='nosuch')]), wire.frame('DescribeCluster', 0)]
    return out


def mutate(prng, frames):
    f = bytearray(prng.choice(frames))
    how = prng.randrange(7)
    if how == 0:
        for _ in range(prng.choice((1, 1, 3, 12))):
            f[prng.randrange(4, len(f))] ^= 1 << prng.randrange(8)
    elif how == 1:
        f = f[:prng.randrange(5, len(f))]
    elif how == 2:
        at = prng.randrange(8, len(f) - 4)
        f[at:at + 4] = struct.pack('>i', prng.choice((-1, -2, -2147483648, 2147483647, 1 << 20, 0, 0x7fff0000)))
    elif how == 3:
        f[4:8] = struct.pack('>hh', prng.randrange(-32768, 32768), prng.randrange(-32768, 32768))
    elif how == 4:
        f[6:8] = struct.pack('>h', prng.randrange(0, 20))
    elif how == 5:
        f[12:] = bytes(prng.getrandbits(8) for _ in range(prng.randrange(1, 400)))
    else:
        f += bytes(prng.getrandbits(8) for _ in range(prng.randrange(1, 100)))
    f[:4] = struct.pack('>i', len(f) - 4)
    # A mutated key must not create or delete topics that a test counts on.
    if len(f) >= 6 and how in (0, 3) and struct.unpack('>h', f[4:6])[0] not in range(0, 4):
        f[4:6] = struct.pack('>h', 3)
    return bytes(f)


def test_mutations(t, broker, topic, probe):
    prng, frames = random.Random(SEED), some_requests(topic)
    sockets = []
    for n in range(FRAMES_N):
        s = socket.create_connection(('127.0.0.1', broker.port), timeout=5)
        try:
            s.sendall(mutate(prng, frames))
        except OSError:
            pass
        sockets.append(s)
        if len(sockets) == 50:
            time.sleep(0.02)
            for s in sockets:
                s.close()
            sockets.clear()
            lib.check(broker.is_running(), 'the broker ended after mutated frame %d (SEED=%d)' % (n, SEED))
    for s in sockets:
        s.close()
    probe.is_well('after mutated frames (SEED=%d)' % SEED)
    t.say('%d mutated frames; slowest answer to the probe %.3f s' % (FRAMES_N, probe.slowest))


def expect_closed(broker, data, what):
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(c.outcome(data, wait=5)[0], 'closed', what)


def test_bad_behind_good(broker):
    """What was asked before a bad frame is answered, in order; then the connection is closed."""
    for what, bad in (('a bad length', struct.pack('>i', -1)), ('a short header', struct.pack('>i', 3) + b'abc'),
                      ('an unknown version', framed(struct.pack('>hhih', 3, 99, 1, 0)))):
        good = [wire.frame('ApiVersions', 0, n) for n in range(1, 4)]
        waits = wire.frame('Fetch', 12, 4, max_wait_ms=200, min_bytes=1, max_bytes=4096, topics=[
            dict(topic='empty', partitions=[dict(partition=0, partition_max_bytes=4096)])])
        with wire.Conn(broker.bootstrap) as c:
            c.send(good[0] + good[1] + waits + bad + good[2])
            for name, version, n in (('ApiVersions', 0, 1), ('ApiVersions', 0, 2), ('Fetch', 12, 4)):
                got = wire.read_response(name, version, c.receive_frame())[0]
                lib.equal(got, n, 'the answer to %s %d before %s' % (name, n, what))
            lib.equal(c.socket.recv(1), b'', 'what follows %s' % what)


def framed(data):
    return struct.pack('>i', len(data)) + data


def test_counters(t, broker):
    """One cause at a time: its counter moves, and no counter of another cause does."""
    head = struct.pack('>hhih', 3, 1, 1, 0)
    causes = {
        'millrace_bad_frame_length_total': [struct.pack('>i', -5), struct.pack('>i', LARGE + 1), struct.pack('>i', 0)],
        'millrace_bad_header_total': [framed(b'\0\3\0\1\0'), framed(struct.pack('>hhih', 3, 1, 1, 500))],
        'millrace_bad_api_total': [framed(struct.pack('>hhih', 999, 0, 1, 0)), framed(struct.pack('>hhih', -7, 0, 1, 0))],
        'millrace_bad_version_total': [framed(struct.pack('>hhih', 3, 99, 1, 0)), framed(struct.pack('>hhih', 0, 2, 1, 0))],
        'millrace_bad_body_total': [framed(head + struct.pack('>i', 5)), framed(head + struct.pack('>ih', 1, -9))],
        'millrace_request_too_many_elements_total': [framed(head + struct.pack('>i', 100001) + b'\0\1?' * 100001)],
    }
    for name, inputs in causes.items():
        before = {n: broker.metric(n) for n in causes}
        for data in inputs:
            expect_closed(broker, data, name)
        lib.wait_until(lambda: broker.metric(name) >= before[name] + len(inputs), 5,
                       '%s moves by %d' % (name, len(inputs)))
        for other in causes:
            if other != name:
                lib.equal(broker.metric(other), before[other], '%s after causes of %s' % (other, name))
    t.say('%d counters name their cause' % len(causes))


def test_slow_client(t, broker, probe):
    """A request byte by byte is as good as at once; a client that never reads its answers costs only itself."""
    with wire.Conn(broker.bootstrap) as c:
        for byte in wire.frame('ApiVersions', 0, 5):
            c.send(bytes([byte]))
            time.sleep(0.005)
        lib.equal(wire.read_response('ApiVersions', 0, c.receive_frame())[0], 5, 'a request sent byte by byte')
    deaf = wire.Conn(broker.bootstrap)
    deaf.socket.settimeout(0.2)
    one, sent = wire.frame('ApiVersions', 0), 0
    try:
        while sent < 64 << 20:
            deaf.send(one * 1000)
            sent += len(one) * 1000
    except OSError:
        pass
    lib.check(sent < 64 << 20, 'a client that reads no answer could send %d MiB of requests' % (sent >> 20))
    probe.is_well('beside a client that does not read')
    deaf.close()
    t.say('a client that does not read was stopped after %d KiB' % (sent >> 10))


def raise_file_limit(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lib.check(hard == resource.RLIM_INFINITY or hard > n, 'ulimit -Hn is %s, the test needs %d' % (hard, n))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def test_idle_connections(t, broker, probe):
    before, idle = broker.rss_bytes(), []
    for _ in range(IDLE_N):
        idle.append(socket.create_connection(('127.0.0.1', broker.port), timeout=10))
    # A part of a prefix on each: they are not only idle, they are half-way.
    for i, s in enumerate(idle):
        if i % 2:
            s.sendall(b'\0\0')
    probe.is_well('with %d idle connections' % IDLE_N)
    lib.wait_until(lambda: broker.metric('millrace_connections') >= IDLE_N, 10, 'all are counted as open')
    per_connection = max(0, broker.rss_bytes() - before) // IDLE_N
    for s in idle:
        s.close()
    lib.wait_until(lambda: broker.metric('millrace_connections') < 50, 10, 'closed connections are given up')
    lib.check(per_connection < 32 << 10, 'an idle connection costs %d bytes' % per_connection)
    t.say('%d idle connections, %d bytes each' % (IDLE_N, per_connection))


def test_half_sent_frames(t, broker, probe):
    """Large frames that begin and do not end: memory within the budget, small requests unharmed."""
    before, half = broker.rss_bytes(), []
    head = struct.pack('>i', LARGE) + struct.pack('>hhih', 0, 9, 1, 0) + bytes(64 << 10)
    for i in range(LARGE_N):
        s = socket.create_connection(('127.0.0.1', broker.port), timeout=1)
        s.setblocking(False)
        try:
            s.send(head)
        except OSError:
            pass
        half.append(s)
    for _ in range(100):
        for s in half:
            try:
                s.send(bytes(64 << 10))
            except OSError:
                pass
        time.sleep(0.01)
    probe.is_well('beside %d half-sent frames of 100 MiB' % LARGE_N)
    growth = broker.rss_bytes() - before
    for s in half:
        s.close()
    lib.check(growth < GROWTH_MAX, 'half-sent frames made the broker grow by %d MiB' % (growth >> 20))
    t.say('%d half-sent frames of 100 MiB: %+d MiB' % (LARGE_N, growth >> 20))


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=3, settings={'queued.max.request.bytes': REQUEST_BUDGET})
    wire.create_topic(broker.bootstrap, 'probe')
    raise_file_limit(IDLE_N + 1000)
    wire.create_topic(broker.bootstrap, 'target')
    before = broker.rss_bytes()
    probe = Probe(broker.bootstrap, 'probe')
    probe.start()
    test_mutations(t, broker, 'target', probe)
    test_counters(t, broker)
    wire.create_topic(broker.bootstrap, 'empty')
    test_bad_behind_good(broker)
    test_slow_client(t, broker, probe)
    test_idle_connections(t, broker, probe)
    test_half_sent_frames(t, broker, probe)
    probe.stopping = True
    probe.join(10)
    probe_n = probe.answers_n
    growth = broker.rss_bytes() - before
    lib.check(growth < GROWTH_MAX, 'all in all the broker grew by %d MiB' % (growth >> 20))
    with wire.Conn(broker.bootstrap) as c:
        values = [v for _, _, v in wire.fetch_all(c, 'probe')]
    lib.equal(len(values), (probe_n + 2) // 3, 'records of the probe in its topic')
    broker.stop()
    t.say('%d answers to the probe, the slowest after %.3f s; memory %+d MiB' % (probe_n, probe.slowest, growth >> 20))


lib.main(test)
