"""cordoned.log.dirs: a cordoned directory gets no new partitions and keeps those it has; the setting acts at once, is judged
and worded as by Apache Kafka 4.3 (the whole test passes against it, SYSTEM_KAFKA=1), and stands in DescribeLogDirs.
"""
import os

import lib
import wire

KEY = 'cordoned.log.dirs'
NO_ROOM = 'All brokers are currently fenced, or have all their log directories cordoned.'
INVALID_REQUEST, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT = 42, 38, 39
SET, DELETE = 0, 1


def alter(c, value, how=SET, broker='1'):
    out = c.call('IncrementalAlterConfigs', 1, validate_only=False, resources=[
        dict(resource_type=4, resource_name=broker, configs=[dict(name=KEY, config_operation=how, value=value)])])
    return out['responses'][0]['error_code'], out['responses'][0]['error_message']


def create(c, name, partitions=4, assignments=()):
    counts = dict(num_partitions=-1, replication_factor=-1) if assignments else dict(num_partitions=partitions, replication_factor=1)
    out = c.call('CreateTopics', 7, timeout_ms=20000, validate_only=False, topics=[
        dict(name=name, assignments=[dict(partition_index=i, broker_ids=[1]) for i in assignments], configs=[], **counts)])
    return out['topics'][0]['error_code'], out['topics'][0]['error_message']


def grow(c, name, count, assignments=None):
    out = c.call('CreatePartitions', 3, timeout_ms=20000, validate_only=False, topics=[
        dict(name=name, count=count, assignments=assignments)])
    return out['results'][0]['error_code'], out['results'][0]['error_message']


def directories(c, version=5):
    """-> {directory: (is it cordoned, partitions)}"""
    out = c.call('DescribeLogDirs', version, topics=None)
    return {os.path.basename(r['log_dir']): (r['is_cordoned'], sum(len(t['partitions']) for t in r['topics']))
            for r in out['results']}


def become(c, expected):
    lib.wait_until(lambda: directories(c) == expected, 30, 'directories become %r; now %r' % (expected, directories(c)))


def test_judged(c, a):
    missing = 'requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : '
    for value, text in (('/nope', missing + '/nope'), (a + ',/nope', missing + '/nope'), (a + '/', missing + a + '/'),
                        ('*,' + a, 'requirement failed: When cordoned.log.dirs is set to *, it must not contain other values')):
        lib.equal(alter(c, value), (INVALID_REQUEST, text), 'cordoned.log.dirs=%s' % value)
    lib.equal(alter(c, a, broker=''), (INVALID_REQUEST, 'Cannot update these configs at default cluster level, broker id must '
                                       'be specified: [cordoned.log.dirs]'), 'as a default of all brokers')


def test_one(c, a):
    lib.equal(alter(c, a), (0, None), 'one directory is cordoned')
    become(c, {'a': (True, 0), 'b': (False, 0)})
    lib.equal(create(c, 'one'), (0, None), 'CreateTopics beside a cordoned directory')
    become(c, {'a': (True, 0), 'b': (False, 4)})
    out = c.call('AlterReplicaLogDirs', 2, dirs=[dict(path=a, topics=[dict(name='one', partitions=[0])])])
    lib.equal(out['results'][0]['partitions'][0]['error_code'], INVALID_REPLICA_ASSIGNMENT, 'a move into a cordoned directory')


def test_all(c):
    lib.equal(alter(c, '*'), (0, None), 'all directories are cordoned')
    become(c, {'a': (True, 0), 'b': (True, 4)})
    lib.equal(directories(c, 4), {'a': (False, 0), 'b': (False, 4)}, 'DescribeLogDirs 4 cannot say it')
    lib.equal(create(c, 'two'), (INVALID_REPLICATION_FACTOR, 'Unable to replicate the partition 1 time(s): ' + NO_ROOM),
              'CreateTopics with all directories cordoned')
    lib.equal(grow(c, 'one', 5), (INVALID_REPLICATION_FACTOR, NO_ROOM), 'CreatePartitions with all cordoned')
    # Who names the replicas decides.
    lib.equal(create(c, 'three', assignments=(0,)), (0, None), 'CreateTopics with its own assignment')
    lib.equal(grow(c, 'one', 5, [dict(broker_ids=[1])]), (0, None), 'CreatePartitions with its own assignment')
    # What is there is served.
    lib.equal(wire.produce(c, 'one', wire.batch([(None, b'v')]))['error_code'], 0, 'Produce to a cordoned directory')
    lib.equal(alter(c, None, DELETE), (0, None), 'the setting is taken back')
    lib.wait_until(lambda: not any(is_cordoned for is_cordoned, _ in directories(c).values()), 30, 'none is cordoned')
    lib.equal(create(c, 'four'), (0, None), 'CreateTopics afterwards')


def test(t):
    a, b = t.path('a'), t.path('b')
    broker = t.broker(settings={'log.dirs': '%s,%s' % (a, b)})
    with wire.Conn(broker.bootstrap, timeout=60) as c:
        test_judged(c, a)
        test_one(c, a)
        test_all(c)
    if lib.PEER:
        return  # what follows needs a second start on the same directory
    broker.stop()
    broker.settings[KEY] = b
    broker.start()
    with wire.Conn(broker.bootstrap, timeout=60) as c:
        before = directories(c)
        lib.equal((before['a'][0], before['b'][0]), (False, True), 'cordoned by the file')
        lib.equal(create(c, 'five', 3), (0, None), 'CreateTopics')
        become(c, {'a': (False, before['a'][1] + 3), 'b': before['b']})
    broker.stop()
    broker.settings[KEY] = '/nope'
    broker.start(wait=False)
    lib.check(broker.wait_end() != 0, 'a start with a directory cordoned that is not in log.dirs')
    lib.check('Missing entries : /nope' in broker.log(), 'the start does not say why')


lib.main(test)
