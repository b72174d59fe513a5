"""transfer.py - the bytes that go through a codec and come back: shared by the tests that compare them."""
import os
import random
import subprocess

import lib
import wire

NUMBER = {name: i for i, name in enumerate(lib.CODECS)}


def lines(n, bytes_n=None, seed=7):
    """n lines "key TAB value": all byte values but TAB and newline, repetitive and random ones, empty values."""
    r = random.Random(seed)
    alphabet = bytes(b for b in range(1, 256) if b not in (9, 10))
    out = []
    for i in range(n):
        if bytes_n is not None:
            half = bytes_n // 2
            value = bytes(r.choices(alphabet, k=16)) * (half // 16) + b'%d-' % i * (half // (len(str(i)) + 1))
        elif i % 7 == 0:
            value = b''
        elif i % 3 == 0:
            value = b'{"id":%d,"name":"user-%d"}' % (i, i % 97) * r.randrange(1, 9)
        else:
            value = bytes(r.choices(alphabet, k=r.randrange(1, 150)))
        out.append(b'key-%d\t' % i + value + b'\n')
    return b''.join(out)


def kcat_produce(broker, topic, path, codec, *options, timeout=120):
    lib.run('kcat', '-b', broker.bootstrap, '-P', '-t', topic, '-p', '0', '-z', codec, '-K', '\t', '-l', path,
            '-X', 'acks=all', *options, timeout=timeout)


def kcat_consume(broker, topic, to, *options, timeout=120):
    """Partition 0 from its beginning to its end, into the file `to`."""
    with open(to, 'wb') as f:
        p = subprocess.run(['kcat', '-b', broker.bootstrap, '-C', '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q',
                            '-K', '\t', '-X', 'check.crcs=true', *options], stdout=f, stderr=subprocess.PIPE,
                           timeout=timeout)
    lib.check(p.returncode == 0, 'kcat -C of %s: status %d: %s' % (topic, p.returncode, lib.tail(p.stderr)))


def same_files(a, b, what):
    size_a, size_b = os.path.getsize(a), os.path.getsize(b)
    with open(a, 'rb') as fa, open(b, 'rb') as fb:
        at = 0
        while True:
            x, y = fa.read(1 << 20), fb.read(1 << 20)
            if x != y:
                where = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), min(len(x), len(y)))
                raise lib.Failed('%s: what came back differs at byte %d (%d bytes sent, %d came back)' %
                                 (what, at + where, size_a, size_b))
            if not x:
                return
            at += len(x)


def stored_codec(broker, topic):
    """The codec numbers of the first batches that the broker gives out. librdkafka leaves a batch plain that does not
    become smaller, which happens to single records: batches of one count only when there are no others."""
    with wire.Conn(broker.bootstrap) as c:
        p = wire.fetch(c, topic, 0, max_bytes=1 << 24)
    lib.equal(p['error_code'], 0, 'Fetch of %s' % topic)
    batches = list(wire.batches(p['records']))
    return sorted({b[1] & 7 for b in batches if b[2] > 1} or {b[1] & 7 for b in batches})


def round_trip(t, broker, codec, path, *options):
    topic = t.topic('codec-' + codec)
    wire.create_topic(broker.bootstrap, topic)
    kcat_produce(broker, topic, path, codec, *options)
    back = t.path('back-' + codec)
    kcat_consume(broker, topic, back)
    same_files(path, back, codec)
    lib.equal(stored_codec(broker, topic), [NUMBER[codec]], 'codec of the stored batches of %s' % codec)
    os.remove(back)
