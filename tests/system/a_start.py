"""The broker starts, says what it does, stops cleanly, and refuses what it cannot do with a sentence that helps."""
import os
import signal
import socket
import stat
import time

import lib
import wire


def refuses(t, broker, words, what):
    """A start that must end with a status other than 0 and all of the words in what it says about that."""
    before = len(broker.log()) if os.path.exists(broker.log_path) else 0
    broker.start(wait=False)
    status = broker.wait_end(30)
    said = [line for line in broker.log()[before:].splitlines() if line.startswith(('millraced: ', 'invalid: ', 'refused: '))]
    lib.check(status > 0, '%s: status %d, expected a refusal; it said: %s' % (what, status, said))
    lib.check(any(all(w in line for w in words) for line in said), '%s: not all of %r in a line of: %s' % (what, words, said))
    t.say('%s: refused, status %d' % (what, status))


def test_help():
    for option in ('--help', '--version'):
        _, out, _ = lib.run(lib.MILLRACED, option, timeout=30)
        lib.check(b'millrace' in out.lower(), '%s prints: %r' % (option, out[:200]))
    for words, why in ((('--no-such-option',), '--no-such-option: unknown option'), (('--override',), '--override: it needs key=value'),
                       (('--override', 'num.partitions'), '--override: it needs key=value'),
                       (('a.properties', 'b.properties'), 'b.properties: there is a settings file already')):
        status, _, err = lib.run(lib.MILLRACED, *words, timeout=30, ok=False)
        lib.check(status == 2 and why in err, '%r: status %d, stderr %r' % (words, status, err))


def test_life(t, workers):
    broker = t.broker(workers=workers)
    lib.check('PLAINTEXT' in broker.log() and str(broker.port) in broker.log(),
              'the start lines do not name the listener: %s' % broker.log())
    _, out, _ = lib.run('kcat', '-b', broker.bootstrap, '-L', timeout=20)
    lib.check(b'1 brokers' in out and broker.bootstrap.encode() in out, 'kcat -L prints %r' % out)
    id_before = wire.create_topic(broker.bootstrap, 'kept', partitions=3)
    broker.stop()
    lib.check(os.path.exists(os.path.join(broker.data, '.kafka_cleanshutdown')),
              'no .kafka_cleanshutdown after a clean stop')
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        topic = c.call('Metadata', 12, topics=[dict(name='kept')])['topics'][0]
        lib.equal((topic['error_code'], topic['topic_id'], len(topic['partitions'])), (0, id_before, 3),
                  'the topic after a restart')
    return broker


def test_refusals(t, running):
    other = t.broker(start=False)
    other.settings['log.dirs'] = running.data
    refuses(t, other, (running.data, 'is in use by another broker'), 'a directory in use')
    other = t.broker(start=False)
    other.settings['listeners'] = 'PLAINTEXT://127.0.0.1:%d' % running.port
    refuses(t, other, ('the port is in use', str(running.port)), 'a port in use')
    other = t.broker(start=False)
    other.settings['admin.listeners'] = '127.0.0.1:%d' % running.metrics_port
    refuses(t, other, ('admin.listeners', str(running.metrics_port)), 'a port of metrics in use')
    lib.check(not os.path.exists(other.settings['log.dirs']), 'a refused start made its directory')
    for key, value in (('num.partitions', 'many'), ('listeners', 'nonsense'), ('log.segment.bytes', '-5'),
                       ('dataplane.workers', '-2')):
        other = t.broker(start=False)
        other.settings[key] = value
        refuses(t, other, (key,), '%s=%s' % (key, value))
    other = t.broker(start=False)
    read_only = os.path.join(other.directory, 'readonly')
    os.mkdir(read_only)
    os.chmod(read_only, stat.S_IRUSR | stat.S_IXUSR)
    if os.geteuid() != 0:
        other.settings['log.dirs'] = read_only
        refuses(t, other, ('readonly', 'make it writable'), 'a read-only directory')
    other.settings['log.dirs'] = '/proc/millrace'
    refuses(t, other, ('/proc/millrace cannot be made', 'no directory'), 'a directory that cannot be made')
    with open(os.path.join(other.directory, 'file'), 'w') as f:
        f.write('x')
    other.settings['log.dirs'] = os.path.join(other.directory, 'file')
    refuses(t, other, (other.settings['log.dirs'] + ' cannot be made', 'no directory'), 'a file in place of the directory')
    lib.check(running.answers(), 'the first broker no longer answers')


def cores_of_workers(broker):
    """{name of a worker's thread: the cores it may run on}"""
    tasks, cores = '/proc/%d/task' % broker.pid, {}
    for task in os.listdir(tasks):
        with open('%s/%s/comm' % (tasks, task)) as f:
            name = f.read().strip()
        if name.startswith('worker'):
            cores[name] = os.sched_getaffinity(int(task))
    return cores


def ticks_of(broker):
    """Time in user mode so far, in ticks of 10 ms."""
    with open('/proc/%d/stat' % broker.pid) as f:
        return int(f.read().split()[13])


def test_workers(t, workers):
    """dataplane.workers, dataplane.cpus and dataplane.poll do what they say, and the broker answers."""
    free = t.broker(workers=workers)
    lib.equal(len(cores_of_workers(free)), workers, 'threads of workers')
    lib.check(all(len(c) == len(os.sched_getaffinity(0)) for c in cores_of_workers(free).values()),
              'workers are pinned without dataplane.cpus: %s' % cores_of_workers(free))
    free.stop()
    core = min(os.sched_getaffinity(0))
    pinned = t.broker(workers=workers, settings={'dataplane.cpus': ','.join([str(core)] * workers),
                                                 'dataplane.poll': 'always'})
    lib.check(all(c == {core} for c in cores_of_workers(pinned).values()),
              'dataplane.cpus=%d: %s' % (core, cores_of_workers(pinned)))
    before = ticks_of(pinned)
    lib.wait_until(lambda: ticks_of(pinned) > before + 25, 30, 'dataplane.poll=always takes CPU with nothing to do')
    lib.check(pinned.answers(), 'a polling broker does not answer')
    pinned.stop()
    t.say('%d workers: pinned and polling as set' % workers)


def test_missing_file():
    status, out, err = lib.run(lib.MILLRACED, '/no/such/server.properties', timeout=30, ok=False)
    lib.check(status > 0 and '/no/such/server.properties' in err + out.decode(),
              'a missing settings file: status %d, %r' % (status, err))


def test_recover_of_nothing(t):
    """--recover of a directory that is none, a slip in its name, makes none."""
    broker = t.broker(start=False)
    status, _, err = lib.run(lib.MILLRACED, '--recover', broker.write_settings(), timeout=30, ok=False)
    lib.check(status == 1 and 'nothing to recover' in err, '--recover of nothing: status %d, %r' % (status, err))
    lib.check(not os.path.exists(broker.data), '--recover of nothing made a directory')


def test_stop_with_connections(t):
    broker = t.broker(workers=3)
    idle = [socket.create_connection(('127.0.0.1', broker.port)) for _ in range(50)]
    broker.stop()
    for s in idle:
        s.close()


def test_second_signal(t):
    """A second signal while a request is under way ends it at once; the next start recovers."""
    broker = t.broker()
    wire.create_topic(broker.bootstrap, 'parked')
    with wire.Conn(broker.bootstrap) as c:
        wire.produce(c, 'parked', wire.batch([(b'k', b'v')]))
        c.send(wire.frame('Fetch', 12, 1, max_wait_ms=60000, min_bytes=1, max_bytes=4096, topics=[
            dict(topic='parked', partitions=[dict(partition=0, fetch_offset=1, partition_max_bytes=4096)])]))
        lib.wait_until(lambda: broker.metric('millrace_fetches_parked') >= 1, 30, 'the fetch is parked')
        broker.process.send_signal(signal.SIGSTOP)  # so that both are there before it looks
        broker.process.send_signal(signal.SIGTERM)
        broker.process.send_signal(signal.SIGINT)
        broker.process.send_signal(signal.SIGCONT)
        lib.equal(broker.wait_end(), 1, 'status after two signals')
    lib.check('second signal' in broker.log(), 'it says nothing of the second signal')
    lib.check(not os.path.exists(os.path.join(broker.data, '.kafka_cleanshutdown')), 'it looks like a clean stop')
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(wire.end_offset(c, 'parked'), 1, 'the end after the next start')
    broker.stop()


def closed_by_broker(s, what, limit=30):
    s.settimeout(limit)
    try:
        lib.equal(s.recv(1), b'', what)
    except ConnectionResetError:
        pass


def test_limits(t):
    """max.connections.per.ip, max.connections and connections.max.idle.ms; who is in is not harmed."""
    for key in ('max.connections.per.ip', 'max.connections'):
        broker = t.broker(settings={key: 20})
        kept = []

        def are_all_in():
            """Those that waited for the start may still have a place."""
            try:
                while len(kept) < 20:
                    kept.append(wire.Conn(broker.bootstrap))
                for c in kept:
                    c.call('ApiVersions', 0)
                return True
            except OSError:
                while kept:
                    kept.pop().close()
                return False
        lib.wait_until(are_all_in, 30, '20 connections are served')
        for _ in range(3):
            with socket.create_connection(('127.0.0.1', broker.port)) as s:
                closed_by_broker(s, 'one more than ' + key)
        for c in kept:
            c.call('ApiVersions', 0)
        kept.pop().close()

        def answers():
            try:
                with wire.Conn(broker.bootstrap) as c:
                    return c.call('ApiVersions', 0)['error_code'] == 0
            except OSError:
                return False
        lib.wait_until(answers, 30, 'the place of one that went is given again')
        for c in kept:
            c.close()
        broker.stop()
    broker = t.broker(settings={'connections.max.idle.ms': 500})
    with socket.create_connection(('127.0.0.1', broker.port)) as s:
        closed_by_broker(s, 'an idle connection')
    broker.stop()


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    test_help()
    test_missing_file()
    test_recover_of_nothing(t)
    running = test_life(t, workers=1)
    test_life(t, workers=3)
    test_refusals(t, running)
    test_stop_with_connections(t)
    test_second_signal(t)
    test_limits(t)
    test_workers(t, 1)
    test_workers(t, 3)


lib.main(test)
