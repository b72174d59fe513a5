"""Several log directories: placed evenly, found where they are, one that is gone takes only its own logs along."""
import json
import os
import shutil
import time

import kafka_java
import lib
import wire

TOPIC, PARTITIONS = 'spread', 6


def describe(c):
    """-> {directory: (error, {(topic, partition): size}, total bytes)}"""
    results = c.call('DescribeLogDirs', 4, topics=None)['results']
    return {r['log_dir']: (r['error_code'], {(x['name'], p['partition_index']): p['partition_size']
                                             for x in r['topics'] for p in x['partitions']}, r['total_bytes'])
            for r in results}


def homes(c):
    """-> {partition of TOPIC: directory}"""
    return {number: path for path, (_, partitions, _) in describe(c).items()
            for (name, number) in partitions if name == TOPIC}


def values(c, partition):
    return [value for _, _, value in wire.fetch_all(c, TOPIC, partition)]


def lead_all(c):
    """Apache Kafka shows a leader in Metadata a moment before it leads."""
    for p in range(PARTITIONS):
        try:
            wire.end_offset(c, TOPIC, p)
        except ValueError:
            return False
    return True


def write_all(c, text):
    for p in range(PARTITIONS):
        out = wire.produce(c, TOPIC, wire.batch([(b'k', b'%s-%d' % (text, p))]), p)
        lib.equal(out['error_code'], 0, 'produce to partition %d' % p)


def expect_all(c, texts, only=range(PARTITIONS)):
    for p in only:
        lib.equal(values(c, p), [b'%s-%d' % (x, p) for x in texts], 'the records of partition %d' % p)


def placed(t, broker, dirs):
    wire.create_topic(broker.bootstrap, TOPIC, partitions=PARTITIONS)
    with wire.Conn(broker.bootstrap) as c:
        where = homes(c)
        lib.equal(sorted(where.values()), sorted(dirs * (PARTITIONS // len(dirs))), 'partitions per directory')
        write_all(c, b'one')
        for path, (error, partitions, total) in describe(c).items():
            lib.equal(error, 0, path)
            lib.check(total > 0 and all(n > 0 for n in partitions.values()), 'sizes of %s' % path)
    for number, path in where.items():
        lib.wait_until(lambda: os.path.isdir(os.path.join(path, '%s-%d' % (TOPIC, number))), 30,
                       'partition %d is in %s' % (number, path))
    t.say('%d partitions in %d directories' % (PARTITIONS, len(dirs)))
    return where


def moved_by_hand(t, broker, dirs, where):
    """The disk is right; the metadata follows, so that the next start knows it too."""
    broker.stop()
    name = '%s-0' % TOPIC
    target = next(d for d in dirs if d != where[0])
    shutil.move(os.path.join(where[0], name), os.path.join(target, name))
    for _ in range(2):
        broker.start()
        with wire.Conn(broker.bootstrap) as c:
            lib.equal(homes(c)[0], target, 'where partition 0 is now')
            expect_all(c, [b'one'])
        broker.kill()
    broker.start()
    t.say('a partition moved by hand is found')
    return {**where, 0: target}


def gone_and_back(t, broker, dirs, where):
    lost = [p for p in range(PARTITIONS) if where[p] == dirs[2]]
    kept = [p for p in range(PARTITIONS) if p not in lost]
    broker.stop()
    os.rename(dirs[2], dirs[2] + '.away')
    open(dirs[2], 'w').close()
    broker.start()
    lib.check('OFFLINE' in broker.log(), 'the start says that a directory is offline')
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(describe(c)[dirs[2]], (56, {}, -1), 'the directory that is gone')
        expect_all(c, [b'one'], kept)
        for p in lost:
            lib.equal(wire.produce(c, TOPIC, wire.batch([(b'k', b'v')]), p)['error_code'], 56, 'produce to %d' % p)
        for p in kept:
            lib.equal(wire.produce(c, TOPIC, wire.batch([(b'k', b'two-%d' % p)]), p)['error_code'], 0, 'produce')
    wire.create_topic(broker.bootstrap, 'later', partitions=4)
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(len([x for d in dirs[:2] for x in describe(c)[d][1] if x[0] == 'later']), 4, 'new ones go elsewhere')
    broker.stop()
    os.unlink(dirs[2])
    os.rename(dirs[2] + '.away', dirs[2])
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        expect_all(c, [b'one'], lost)
        expect_all(c, [b'one', b'two'], kept)
        for p in lost:
            lib.equal(wire.produce(c, TOPIC, wire.batch([(b'k', b'two-%d' % p)]), p)['error_code'], 0, 'produce')
    t.say('a directory was gone and came back')


def futures(c):
    """-> {(topic, partition): (directory, lag)} of logs that are being moved"""
    results = c.call('DescribeLogDirs', 4, topics=None)['results']
    return {(x['name'], p['partition_index']): (r['log_dir'], p['offset_lag']) for r in results for x in r['topics']
            for p in x['partitions'] if p['is_future_key']}


def alter(c, path, topic, partition):
    out = c.call('AlterReplicaLogDirs', 2, dirs=[{'path': path, 'topics': [{'name': topic, 'partitions': [partition]}]}])
    return out['results'][0]['partitions'][0]['error_code']


def names(path, part):
    return [x for x in os.listdir(path) if part in x] if os.path.isdir(path) else []


def moved_while_written(t, broker, dirs):
    """A log goes round all directories while records come, with a kill -9 on the way: nothing is lost, nothing twice."""
    wire.create_topic(broker.bootstrap, 'moving', partitions=1, configs={'segment.bytes': '1048576',
                                                                     'file.delete.delay.ms': '1000'})
    value, n = b'x' * 9000, 0
    with wire.Conn(broker.bootstrap) as c:
        for code, path, topic, partition in ((57, '/nosuch', 'moving', 0), (3, dirs[0], 'moving', 7),
                                             (3, dirs[0], 'nosuch', 0)):
            lib.equal(alter(c, path, topic, partition), code, 'a move of %s-%d to %s' % (topic, partition, path))
    for at in range(6):
        with wire.Conn(broker.bootstrap) as c:
            where = next(d for d in dirs if ('moving', 0) in describe(c)[d][1])
            target = dirs[(dirs.index(where) + 1) % len(dirs)]
            for _ in range(60):
                lib.equal(wire.produce(c, 'moving', wire.batch([(b'%d' % n, value)]))['error_code'], 0, 'produce')
                n += 1
            lib.equal(alter(c, target, 'moving', 0), 0, 'the move is taken')
            if at == 3:
                broker.kill()
                broker.start()
        with wire.Conn(broker.bootstrap) as c:
            if at == 3:
                lib.equal(alter(c, target, 'moving', 0), 0, 'the move is asked for again')
            end = time.monotonic() + 60
            while ('moving', 0) not in describe(c)[target][1] or futures(c):
                lib.check(time.monotonic() < end, 'the log is in %s: %r' % (target, futures(c)))
                lib.equal(wire.produce(c, 'moving', wire.batch([(b'%d' % n, value)]))['error_code'], 0, 'produce')
                n += 1
            lib.equal([k for _, k, _ in wire.fetch_all(c, 'moving', 0)], [b'%d' % i for i in range(n)], 'the records')
        lib.wait_until(lambda: sum(len(names(d, 'moving-0')) for d in dirs) == 1, 60, 'one directory has it')
    broker.stop()
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        lib.equal([k for _, k, _ in wire.fetch_all(c, 'moving', 0)], [b'%d' % i for i in range(n)], 'after a stop')
    t.say('a log moved through %d directories while %d records were written' % (len(dirs), n))


def moved_by_tools(t, broker, dirs):
    """kafka-reassign-partitions with log dirs, throttled, and kafka-log-dirs."""
    with wire.Conn(broker.bootstrap) as c:
        target = next(d for d in dirs if ('moving', 0) not in describe(c)[d][1])
    plan = t.path('plan.json')
    with open(plan, 'w') as f:
        json.dump({'version': 1, 'partitions': [{'topic': 'moving', 'partition': 0, 'replicas': [1],
                                                 'log_dirs': [target]}]}, f)
    tool = 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand'
    common = ('--bootstrap-server', broker.bootstrap, '--reassignment-json-file', plan)
    status, out, err = kafka_java.tool(tool, *common, '--execute', '--replica-alter-log-dirs-throttle', '100000000')
    lib.check(status == 0 and b'Successfully started moving log directory to %s' % target.encode() in out, 'the tool begins: %r %s' % (out, err))
    end, said = time.monotonic() + 60, b''
    while b'of replica moving-0' not in said or b'completed successfully' not in said:
        lib.check(time.monotonic() < end, 'the tool sees the end: %r' % said)
        status, said, err = kafka_java.tool(tool, *common, '--verify')
        lib.equal(status, 0, err)
    status, out, err = kafka_java.tool('org.apache.kafka.tools.LogDirsCommand', '--bootstrap-server', broker.bootstrap,
                                       '--describe', '--topic-list', 'moving')
    lib.equal(status, 0, err)
    found = json.loads(out.decode().strip().splitlines()[-1])['brokers'][0]['logDirs']
    lib.equal({d['logDir']: [(p['partition'], p['offsetLag'], p['isFuture']) for p in d['partitions']] for d in found},
              {d: [('moving-0', 0, False)] if d == target else [] for d in dirs}, 'kafka-log-dirs')
    t.say('moved by kafka-reassign-partitions')


def fails_while_running(t, broker, dirs, where):
    """A directory vanishes under the broker: the first that notices takes its other logs along, and no others."""
    wire.create_topic(broker.bootstrap, 'fresh', partitions=len(dirs))
    with wire.Conn(broker.bootstrap) as c:
        fresh = next(number for name, number in describe(c)[dirs[2]][1] if name == 'fresh')
        os.rename(dirs[2], dirs[2] + '.away')
        out = wire.produce(c, 'fresh', wire.batch([(b'k', b'v')]), fresh)
        # Its journal is open and still good: the write-back is what notices.
        lib.check(out['error_code'] in (0, 56), 'a first produce into the directory that is gone: %d' % out['error_code'])
        acknowledged = [b'v'] if out['error_code'] == 0 else []
        home = 'log directory %s failed' % dirs[2]
        lib.wait_until(lambda: home in broker.log(), 30, 'the log says which directory failed')
        lib.wait_until(lambda: wire.produce(c, 'fresh', wire.batch([(b'k', b'w')]), fresh)['error_code'] == 56, 30,
                       'its clients are told')
        lib.wait_until(lambda: describe(c)[dirs[2]] == (56, {}, -1), 30, 'DescribeLogDirs says that it is offline')
        gone = [p for p in range(PARTITIONS) if where[p] == dirs[2]]
        found = c.call('Metadata', 9, topics=[{'name': TOPIC}], allow_auto_topic_creation=False)['topics'][0]
        lib.equal(sorted(p['partition_index'] for p in found['partitions'] if p['leader_id'] == -1), gone,
                  'partitions without a leader')
        gauge = 'millrace_log_directory_offline{directory="%s"} 1' % dirs[2]
        lib.wait_until(lambda: gauge in broker.metrics_text(), 30, 'the gauge of the directory')
        lib.equal(broker.log().count(home), 1, 'log lines about it')
        for p in range(PARTITIONS):
            if where[p] != dirs[2]:
                out = wire.produce(c, TOPIC, wire.batch([(b'k', b'three-%d' % p)]), p)
                lib.equal(out['error_code'], 0, 'produce to partition %d of another directory' % p)
    broker.kill()
    os.rename(dirs[2] + '.away', dirs[2])
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        for p in range(PARTITIONS):
            if where[p] == dirs[2]:
                lib.equal(wire.produce(c, TOPIC, wire.batch([(b'k', b'three-%d' % p)]), p)['error_code'], 0, 'produce')
        expect_all(c, [b'one', b'two', b'three'])
        found = [v for _, _, v in wire.fetch_all(c, 'fresh', fresh)]
        lib.equal(found[:len(acknowledged)], acknowledged, 'what was acknowledged while the directory was away')
    t.say('a directory failed while it was served')


def carried(t, broker, texts):
    """Apache Kafka serves the same directories, writes to them, and we go on."""
    broker.stop()
    kafka = kafka_java.Kafka(t, broker)
    lib.wait_until(lambda: kafka.answers(TOPIC), 60, 'Apache Kafka serves our directories')
    with wire.Conn(broker.bootstrap) as c:
        lib.wait_until(lambda: lead_all(c), 60, 'Apache Kafka leads every partition')
        expect_all(c, texts)
        write_all(c, b'theirs')
    wire.create_topic(broker.bootstrap, 'made-there', partitions=3)
    with wire.Conn(broker.bootstrap) as c:
        theirs = homes(c)
    kafka.stop()
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(homes(c), theirs, 'where the partitions are')
        expect_all(c, texts + [b'theirs'])
        write_all(c, b'back')
        lib.equal(wire.produce(c, 'made-there', wire.batch([(b'k', b'v')]), 2)['error_code'], 0, 'a topic made there')
    t.say('carried to Apache Kafka and back')


def refused(t, broker, dirs):
    """What has to be sorted out by hand: the start says what, and touches nothing."""
    broker.stop()
    meta = os.path.join(dirs[1], 'meta.properties')
    with open(meta) as f:
        text = f.read()
    for old, new, said in (('cluster.id=', 'cluster.id=x', 'belongs to cluster'), ('node.id=1', 'node.id=7', 'node 7')):
        with open(meta, 'w') as f:
            f.write(text.replace(old, new))
        broker.start(wait=False)
        lib.check(broker.wait_end() != 0 and said in broker.log(), 'a start with %s is refused' % new)
    with open(meta, 'w') as f:
        f.write(text)
    broker.settings['log.dirs'] = ','.join(dirs[1:])
    broker.settings['metadata.log.dir'] = t.path('new')
    broker.start(wait=False)
    lib.check(broker.wait_end() != 0 and '__cluster_metadata-0' in broker.log(), 'a new metadata directory is refused')
    broker.settings['metadata.log.dir'] = dirs[0]
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(sorted(describe(c)), sorted(dirs[1:]), 'the directories without that of the metadata')
    broker.stop()


def all_fail(t):
    """Without any directory left the broker stops; with the disks back nothing acknowledged is missing."""
    dirs = [t.path(x) for x in ('one', 'two')]
    broker = t.broker(workers=2, settings={'log.dirs': ','.join(dirs)})
    wire.create_topic(broker.bootstrap, 'last', partitions=4)
    for d in dirs:
        os.rename(d, d + '.away')
    with wire.Conn(broker.bootstrap) as c:
        sent = {}
        for p in range(4):
            try:
                sent[p] = wire.produce(c, 'last', wire.batch([(b'k', b'v')]), p)['error_code'] == 0
            except (OSError, ConnectionError):  # it has stopped
                break
    lib.check(broker.wait_end() != 0 and 'all log directories have failed' in broker.log(), 'the broker stops')
    for d in dirs:
        os.rename(d + '.away', d)
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        for p in (p for p in sent if sent[p]):
            lib.equal([v for _, _, v in wire.fetch_all(c, 'last', p)], [b'v'], 'what was acknowledged')
    broker.stop()
    t.say('all directories failed, and came back')


def test(t):
    lib.own_broker_only()
    dirs = [t.path(x) for x in 'abc']
    broker = t.broker(workers=2, settings={'log.dirs': ','.join(dirs)})
    where = placed(t, broker, dirs)
    where = moved_by_hand(t, broker, dirs, where)
    gone_and_back(t, broker, dirs, where)
    moved_while_written(t, broker, dirs)
    has_java = bool(kafka_java.library() or shutil.which('mvn'))
    if has_java:
        kafka_java.want(t)
        moved_by_tools(t, broker, dirs)
    fails_while_running(t, broker, dirs, where)
    if has_java:
        carried(t, broker, [b'one', b'two', b'three'])
    refused(t, broker, dirs)
    all_fail(t)


lib.main(test)
