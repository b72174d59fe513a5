"""Partitions that rest hold no open file: counted in /proc, and they are written and read as before."""
import os

import lib
import wire

PARTITIONS = 300


def open_logs(pid):
    n = 0
    for fd in os.listdir('/proc/%d/fd' % pid):
        try:
            n += os.readlink('/proc/%d/fd/%s' % (pid, fd)).endswith('.log')
        except OSError:  # closed meanwhile
            pass
    return n


def write_all(c, text):
    for p in range(PARTITIONS):
        lib.equal(wire.produce(c, 'idle', wire.batch([(b'k', text)]), p)['error_code'], 0, 'produce to %d' % p)


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=2, settings={'storage.open.files.idle.ms': 500, 'storage.writeback.ms': 100})
    wire.create_topic(broker.bootstrap, 'idle', partitions=PARTITIONS)
    with wire.Conn(broker.bootstrap) as c:
        write_all(c, b'one')
        lib.wait_until(lambda: os.path.exists(os.path.join(broker.data, 'idle-%d' % (PARTITIONS - 1))), 60,
                       'the records are in their files')
        # The metadata log's own file stays open: it is written by every start, stop and change.
        lib.wait_until(lambda: open_logs(broker.pid) <= 1, 60, 'no log file is open')
        t.say('%d partitions written, %d log files open' % (PARTITIONS, open_logs(broker.pid)))
        write_all(c, b'two')
        for p in range(0, PARTITIONS, 29):
            lib.equal([v for _, _, v in wire.fetch_all(c, 'idle', p)], [b'one', b'two'], 'the records of %d' % p)
        lib.wait_until(lambda: open_logs(broker.pid) <= 1, 60, 'no log file is open again')


lib.main(test)
