"""`millrace slow`: made-up delays of real clients are found, sum up, and name the right culprit."""
import json
import os
import random
import signal
import time

import lib
import wire

DELAY_S = 1.2
STALL_S, STALL_MS = 0.3, 100  # how long the process stands still; what counts as a stall


def ask(broker, *words):
    admin = '127.0.0.1:%d' % broker.metrics_port
    return lib.run(lib.MILLRACE, 'slow', '--admin', admin, *words)[1].decode()


def requests(broker, window='start', api=None):
    words = ('--json', '--last', window) + (('--api', api) if api else ())
    answer = json.loads(ask(broker, *words))
    lib.equal(list(answer['windows']), [window], 'windows that were asked for')
    return answer['windows'][window]['requests']


def blamed(broker, api, culprit):
    """The slowest request of an API with that culprit; each one's stages sum to its time."""
    for r in requests(broker, api=api):
        lib.equal(sum(s['ns'] for s in r['stages']), r['total_ns'], 'the stages of %r' % r)
        if r['culprit'] == culprit and r['culprit_ns'] > DELAY_S * 0.8e9:
            return r
    return None


def expect_blamed(broker, api, culprit):
    lib.wait_until(lambda: blamed(broker, api, culprit), 30, 'a slow %s is blamed on %s: %r' % (
        api, culprit, [(r['culprit'], r['total_ns']) for r in requests(broker, api=api)]))
    return blamed(broker, api, culprit)


def test_slow_sender(broker):
    frame = wire.frame('ApiVersions', 3, client_software_name='x', client_software_version='1')
    with wire.Conn(broker.bootstrap) as c:
        c.send(frame[:len(frame) // 2])
        time.sleep(DELAY_S)
        c.send(frame[len(frame) // 2:])
        c.receive_frame()
    r = expect_blamed(broker, 'ApiVersions', 'client_sending')
    lib.check(r['peer'].startswith('127.0.0.1:'), 'who it was: %r' % r)


def test_min_bytes(broker):
    with wire.Conn(broker.bootstrap) as c:
        wire.fetch(c, 'slow', wire.end_offset(c, 'slow'), wait_ms=int(DELAY_S * 1000), min_bytes=100000)
    expect_blamed(broker, 'Fetch', 'min_bytes')


def test_slow_reader(broker):
    data = wire.batch([(b'k', b'v' * 500000)])
    with wire.Conn(broker.bootstrap) as c:
        for _ in range(24):
            lib.equal(wire.produce(c, 'slow', data)['error_code'], 0, 'Produce')
    with wire.Conn(broker.bootstrap) as c:
        topics = [{'topic': 'slow', 'partitions': [{'partition': 0, 'fetch_offset': 0, 'partition_max_bytes': 20 << 20}]}]
        c.send(wire.frame('Fetch', 11, max_wait_ms=100, min_bytes=1, max_bytes=20 << 20, topics=topics))
        time.sleep(DELAY_S)
        c.receive_frame()
    r = expect_blamed(broker, 'Fetch', 'client_reading')
    lib.check(r['answer_bytes'] > 5 << 20, 'how much it did not read: %r' % r)


def stop_in_a_flush(broker):
    """The process stands still while its flush is under way: to the broker the disk does."""
    data = wire.batch([(b'k', b'v')])
    with wire.Conn(broker.bootstrap, timeout=60) as c:
        for _ in range(20):
            wire.produce(c, 'slow', data)
        topics = [dict(name='slow', partition_data=[dict(index=0, records=data)])]
        c.send(wire.frame('Produce', 9, transactional_id=None, acks=-1, timeout_ms=30000, topic_data=topics))
        time.sleep(random.uniform(0, 0.0006))
        os.kill(broker.pid, signal.SIGSTOP)
        time.sleep(STALL_S)
        os.kill(broker.pid, signal.SIGCONT)
        c.receive_frame()


def test_stall(broker):
    """Each try hits the flush by chance, on a fast device one in ten does."""
    def found():
        return next((r for r in requests(broker, api='Produce') if r['culprit'] == 'disk_stall' and
                     r['stall']['took_ns'] > STALL_S * 0.8e9), None)

    def is_found():
        if found():
            return True
        stop_in_a_flush(broker)
        return False
    lib.wait_until(is_found, 120, 'a flush of %.1f s is blamed on the disk' % STALL_S)
    r = found()
    lib.equal(r['stall']['directory'], broker.data, 'whose disk it was: %r' % r)
    lib.check(r['stall']['took_ns'] >= r['stall']['ns'] and r['stall']['device'], 'the stall of %r' % r)
    lib.check('it was the disk: device' in ask(broker, '--last', 'start', '--api', 'Produce'), 'the text does not say it')
    lib.wait_until(lambda: broker.metric('millrace_disk_stalls_total') > 0, 30, 'stalls are counted')
    lib.wait_until(lambda: 'took longer than storage.stall.ms' in broker.log(), 30, 'a log line of the stall')


def test_text(broker):
    text = ask(broker, '--last', 'start')
    for word in ('Fetch', 'Produce', 'culprit client_reading', 'culprit min_bytes', 'in all', '|==='):
        lib.check(word in text, '%r in the text: %s' % (word, text[:3000]))
    lib.check('Produce' not in ask(broker, '--api', 'fetch'), '--api leaves out others')
    status, _, err = lib.run(lib.MILLRACE, 'slow', '--admin', '127.0.0.1:%d' % lib.free_port(), ok=False)
    lib.check(status == 1 and 'admin.listeners' in err, 'nobody there: %d %s' % (status, err))
    status, _, err = lib.run(lib.MILLRACE, 'slow', '--last', 'hour', ok=False)
    lib.equal(status, 2, 'a wrong window')


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=2, settings={'storage.stall.ms': STALL_MS})
    wire.create_topic(broker.bootstrap, 'slow')
    test_slow_sender(broker)
    test_slow_reader(broker)
    test_min_bytes(broker)
    lib.check(requests(broker, 'minute'), 'the last minute has requests')
    test_text(broker)
    test_stall(broker)


lib.main(test)
