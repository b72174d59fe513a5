"""Records go there and back over a bad link, then a client that does not read its answer; the connections stay open until
`run` has asked `millrace conn list` and `millrace slow` about them (PATH_DIRECTORY: `asked` ends it)."""
import os
import socket
import time

import lib
import wire

PRODUCES, RECORD, UNREAD_S = 40, 200000, 3


def fetch_all(c, topic, want):
    at, got = 0, 0
    while got < want:
        p = wire.fetch(c, topic, at, max_bytes=4 << 20)
        lib.equal(p['error_code'], 0, 'Fetch')
        for base, _, count, _, _, _, whole in wire.batches(p['records']):
            at, got = base + count, got + len(whole)
    return got


def unread(bootstrap, topic):
    """The kernel closes its window; what was lost meanwhile is not why it takes so long."""
    c = wire.Conn(bootstrap)
    c.close()
    c.socket = socket.socket()
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.socket.settimeout(60)
    c.socket.connect((bootstrap.split(':')[0], int(bootstrap.split(':')[1])))
    topics = [{'topic': topic, 'partitions': [{'partition': 0, 'fetch_offset': 0, 'partition_max_bytes': 6 << 20}]}]
    c.send(wire.frame('Fetch', 11, max_wait_ms=100, min_bytes=1, max_bytes=6 << 20, topics=topics))
    time.sleep(UNREAD_S)
    c.receive_frame()
    return c


def test(t):
    broker, topic, directory = t.broker(), t.topic('path'), os.environ['PATH_DIRECTORY']
    wire.create_topic(broker.bootstrap, topic)
    data = wire.batch([(b'k', b'v' * RECORD)])
    others = [wire.Conn(broker.bootstrap, timeout=60) for _ in range(8)]
    for c in others:
        lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'ApiVersions')
    with wire.Conn(broker.bootstrap, timeout=60) as c:
        for _ in range(PRODUCES):
            lib.equal(wire.produce(c, topic, data)['error_code'], 0, 'Produce')
        lib.equal(fetch_all(c, topic, PRODUCES * len(data)), PRODUCES * len(data), 'bytes that came back')
        slow = unread(broker.bootstrap, topic)
        with open(os.path.join(directory, 'ready'), 'w', encoding='ascii'):
            pass
        lib.wait_until(lambda: os.path.exists(os.path.join(directory, 'asked')), 60, 'run has asked')
        slow.close()
    for c in others:
        c.close()


lib.main(test)
