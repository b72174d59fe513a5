"""The broker starts, says what it does, stops cleanly, and refuses what it cannot do with a sentence that helps."""
import os
import socket
import stat
import time

import lib
import wire


def refuses(t, broker, words, what):
    """A start that must end soon with a status other than 0 and one of the words in its output."""
    before = len(broker.log()) if os.path.exists(broker.log_path) else 0
    broker.start(wait=False)
    status = broker.wait_end(10)
    said = broker.log()[before:]
    lib.check(status > 0, '%s: status %d, expected a refusal; it said: %s' % (what, status, said[-500:]))
    lib.check(any(w.lower() in said.lower() for w in words), '%s: none of %r in: %s' % (what, words, said[-500:]))
    t.say('%s: refused, status %d' % (what, status))


def test_help():
    for option in ('--help', '--version'):
        _, out, _ = lib.run(lib.MILLRACED, option, timeout=5)
        lib.check(b'millrace' in out.lower(), '%s prints: %r' % (option, out[:200]))
    status, _, err = lib.run(lib.MILLRACED, '--no-such-option', timeout=5, ok=False)
    lib.check(status not in (0, -6, -11) and err, 'an unknown option: status %d, stderr %r' % (status, err))


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
    refuses(t, other, ('lock', 'in use', 'another'), 'a directory in use')
    other = t.broker(start=False)
    other.settings['listeners'] = 'PLAINTEXT://127.0.0.1:%d' % running.port
    refuses(t, other, ('in use', str(running.port)), 'a port in use')
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
        refuses(t, other, ('readonly',), 'a read-only directory')
    other.settings['log.dirs'] = '/proc/millrace'
    refuses(t, other, ('/proc/millrace',), 'a directory that cannot be made')
    with open(os.path.join(other.directory, 'file'), 'w') as f:
        f.write('x')
    other.settings['log.dirs'] = os.path.join(other.directory, 'file')
    refuses(t, other, (other.settings['log.dirs'],), 'a file in place of the directory')
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
    with open('/proc/%d/stat' % pinned.pid) as f:
        before = int(f.read().split()[13])
    time.sleep(0.5)
    with open('/proc/%d/stat' % pinned.pid) as f:
        spent = int(f.read().split()[13]) - before
    lib.check(spent > 5, 'dataplane.poll=always slept: %d ticks in half a second' % spent)
    lib.check(pinned.answers(), 'a polling broker does not answer')
    pinned.stop()
    t.say('%d workers: pinned and polling as set' % workers)


def test_missing_file():
    status, out, err = lib.run(lib.MILLRACED, '/no/such/server.properties', timeout=5, ok=False)
    lib.check(status > 0 and '/no/such/server.properties' in err + out.decode(),
              'a missing settings file: status %d, %r' % (status, err))


def test_stop_with_connections(t):
    broker = t.broker(workers=3)
    idle = [socket.create_connection(('127.0.0.1', broker.port)) for _ in range(50)]
    broker.stop()
    for s in idle:
        s.close()


def test(t):
    lib.own_broker_only()
    lib.need('kcat')
    test_help()
    test_missing_file()
    running = test_life(t, workers=1)
    test_life(t, workers=3)
    test_refusals(t, running)
    test_stop_with_connections(t)
    test_workers(t, 1)
    test_workers(t, 3)


lib.main(test)
