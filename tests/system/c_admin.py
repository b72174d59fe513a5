"""The everyday admin surface: wrong requests and their codes and messages, as Apache Kafka 4.3.1 answers them; and
what the right ones change: settings without a restart, partitions, deleted records, fetch sessions.

The rows' whole answers are compared with those of Apache Kafka (golden.py).
"""
import os
import time

import golden
import lib
import wire

ANY = object()
ROWS = []
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)


def row(name, api, version, code, message=ANY, **values):
    ROWS.append((name, api, version, code, message, values))


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────
def alter(name, code, kind, resource, key, value, message=ANY, how=SET, version=1, twice=False):
    one = dict(name=key, config_operation=how, value=value)
    row(name, 'IncrementalAlterConfigs', version, code, message, validate_only=False, resources=[
        dict(resource_type=kind, resource_name=resource, configs=[one, one] if twice else [one])])


def replace(name, code, kind, resource, key, value, message=ANY, version=2):
    row(name, 'AlterConfigs', version, code, message, validate_only=False, resources=[
        dict(resource_type=kind, resource_name=resource, configs=[dict(name=key, value=value)])])


CANNOT = 'Cannot update these configs dynamically: [%s]'
alter('set', 0, TOPIC, 'ok1', 'retention.ms', '100000')
alter('set, v0', 0, TOPIC, 'ok1', 'retention.ms', '100001', version=0)
alter('unknown topic', 3, TOPIC, 'nosuch', 'retention.ms', '1', "The topic 'nosuch' does not exist.")
alter('unknown key', 40, TOPIC, 'ok1', 'no.such', '1', 'Unknown topic config name: no.such')
alter('bad value', 40, TOPIC, 'ok1', 'retention.ms', 'abc',
      'Invalid value abc for configuration retention.ms: Not a number of type LONG')
alter('append to a number', 40, TOPIC, 'ok1', 'retention.ms', '1',
      "Can't APPEND to key retention.ms because its type is not LIST.", APPEND)
alter('append a bad word', 40, TOPIC, 'ok1', 'cleanup.policy', 'foo',
      'Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete', APPEND)
alter('null value', 42, TOPIC, 'ok1', 'retention.ms', None, 'Null value not supported for : retention.ms')
alter('bad operation', -1, TOPIC, 'ok1', 'retention.ms', '1', None, 7)
alter('empty topic name', 42, TOPIC, '', 'retention.ms', '1', 'Default topic resources are not allowed.')
alter('the same key twice', 42, TOPIC, 'ok1', 'retention.ms', '1', 'Error due to duplicate config keys', twice=True)
alter('read-only broker setting', 42, BROKER, '1', 'log.dirs', 'x', CANNOT % 'log.dirs')
alter('another broker', 42, BROKER, '7', 'log.retention.ms', '1', 'Unexpected broker id, expected 1, but received 7')
alter('broker abc', 42, BROKER, 'abc', 'log.retention.ms', '1', 'Node id must be an integer, but it is: abc')
alter('broker setting out of range', 42, BROKER, '1', 'log.segment.bytes', '5',
      'Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576')
alter('unknown broker setting', 0, BROKER, '1', 'foo.bar', '1')
alter('unknown broker setting, away', 0, BROKER, '1', 'foo.bar', None, how=DELETE)
alter('security setting', 42, BROKER, '1', 'ssl.keystore.location', 'x',
      'These security configs can be dynamically updated only per-listener using the listener prefix: '
      '[ssl.keystore.location]')
alter('min.insync.replicas of a broker', 40, BROKER, '1', 'min.insync.replicas', '1',
      'Broker-level min.insync.replicas cannot be altered while ELR is enabled.')
alter('min.insync.replicas away', 40, BROKER, '', 'min.insync.replicas', None,
      'Cluster-level min.insync.replicas cannot be removed while ELR is enabled.', DELETE)
alter('resource type 99', 42, 99, 'x', 'a', 'b', 'Unknown resource type 99')
alter('unknown group setting', 40, GROUP, 'g', 'x.y', '1', 'Unknown group config name: x.y')
alter('group setting out of range', 40, GROUP, 'g', 'consumer.session.timeout.ms', '1',
      'consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms')
alter('group setting', 0, GROUP, 'g', 'consumer.session.timeout.ms', '46000')
alter('client metrics interval', 42, METRICS, 's', 'interval.ms', '1',
      'Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)')
alter('client metrics match', 40, METRICS, 's', 'match', 'abc', 'Illegal client matching pattern: abc')
alter('client metrics', 0, METRICS, 's', 'metrics', 'a,b')
replace('AlterConfigs, unknown key', 40, TOPIC, 'ok1', 'no.such', '1', 'Unknown topic config name: no.such')
replace('AlterConfigs, logger', 42, LOGGER, '1', 'root', 'INFO', 'Unknown resource type 8')
replace('AlterConfigs, v0', 0, TOPIC, 'ok1', 'retention.bytes', '5000000', version=0)
row('list resources', 'ListConfigResources', 1, 0, resource_types=[TOPIC, GROUP])
row('list resources, v0', 'ListConfigResources', 0, 0)
row('list resources of type 99', 'ListConfigResources', 1, 35, resource_types=[99])


# ── partitions, records ──────────────────────────────────────────────────────────────────────────────────────
def grow(name, code, topic, count, message=ANY, assignments=None, version=3, twice=False):
    one = dict(name=topic, count=count, assignments=assignments and [dict(broker_ids=b) for b in assignments])
    row(name, 'CreatePartitions', version, code, message, topics=[one, one] if twice else [one], timeout_ms=5000,
        validate_only=False)


grow('as many partitions', 37, 'ok1', 2, 'Topic already has 2 partition(s).')
grow('fewer partitions', 37, 'ok1', 1, 'The topic ok1 currently has 2 partition(s); 1 would not be an increase.')
grow('-1 partitions', 37, 'ok1', -1, 'The topic ok1 currently has 2 partition(s); -1 would not be an increase.')
grow('partitions of an unknown topic', 3, 'nosuch', 3, None)
grow('partitions, wrong assignment count', 39, 'ok1', 4,
     'Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.', [[1]])
grow('partitions, unknown broker', 39, 'ok1', 3,
     'The manual partition assignment includes broker 9, but no such broker is registered.', [[9]])
grow('partitions, named twice', 42, 'ok1', 3, 'Duplicate topic name.', twice=True)
grow('partitions, v0', 0, 'grows', 2, version=0)


def delete_records(name, code, topic, offset, partition=0, version=2):
    row(name, 'DeleteRecords', version, code, timeout_ms=5000, topics=[
        dict(name=topic, partitions=[dict(partition_index=partition, offset=offset)])])


delete_records('delete records', 0, 'records', 3)
delete_records('delete records beyond the end', 1, 'records', 11)
delete_records('delete records below the start', 0, 'records', 1)
delete_records('delete records -1', 0, 'records', -1)
delete_records('delete records -2', 1, 'records', -2)
delete_records('delete records of an unknown topic', 3, 'nosuch', 0)
delete_records('delete records of an unknown partition', 3, 'records', 0, 9)
delete_records('delete records of a compacted topic', 44, 'cpt', 0)
delete_records('delete records, v0', 0, 'records', 0, version=0)

# ── describes, reassignment, features ────────────────────────────────────────────────────────────────────────
NOT_HERE = 'This server does not host this topic-partition.'
for v in (1, 2, 3, 4, 5):
    row('log dirs v%d' % v, 'DescribeLogDirs', v, 0, topics=[dict(topic='nosuch', partitions=[0])])
row('topic partitions, unknown', 'DescribeTopicPartitions', 0, 3, topics=[dict(name='nosuch')])
row('topic partitions, bad name', 'DescribeTopicPartitions', 0, 17, topics=[dict(name='a b')])
row('topic partitions, cursor of another topic', 'DescribeTopicPartitions', 0, 42, topics=[dict(name='ok1')],
    cursor=dict(topic_name='ok1a', partition_index=0))
row('topic partitions, cursor -1', 'DescribeTopicPartitions', 0, 42, topics=[dict(name='ok1')],
    cursor=dict(topic_name='ok1', partition_index=-1))
row('producers of an unknown topic', 'DescribeProducers', 0, 3, NOT_HERE,
    topics=[dict(name='nosuch', partition_indexes=[0])])
row('producers of an unknown partition', 'DescribeProducers', 0, 3, None,
    topics=[dict(name='ok1', partition_indexes=[9])])
row('elect, not needed', 'ElectLeaders', 2, 84, 'Leader election not needed for topic partition.', election_type=0,
    topic_partitions=[dict(topic='ok1', partitions=[0])], timeout_ms=1000)
row('elect, unknown topic', 'ElectLeaders', 2, 3, 'No such topic as nosuch', election_type=0,
    topic_partitions=[dict(topic='nosuch', partitions=[0])], timeout_ms=1000)
row('elect, unknown partition, v0', 'ElectLeaders', 0, 3, 'No such partition as ok1-9',
    topic_partitions=[dict(topic='ok1', partitions=[9])], timeout_ms=1000)
row('elect, type 5', 'ElectLeaders', 1, 42, 'Unknown election type 5', election_type=5,
    topic_partitions=[dict(topic='ok1', partitions=[0])], timeout_ms=1000)


def reassign(name, code, replicas, message=ANY, topic='ok1', partition=0, version=1):
    row(name, 'AlterPartitionReassignments', version, code, message, timeout_ms=1000, topics=[
        dict(name=topic, partitions=[dict(partition_index=partition, replicas=replicas)])])


reassign('reassign to where it is', 0, [1])
reassign('reassign, v0', 0, [1], version=0)
reassign('reassign an unknown topic', 3, [1], 'Unable to find a topic named nosuch.', 'nosuch')
reassign('reassign an unknown partition', 3, [1], 'Unable to find partition ok1:9.', partition=9)
reassign('reassign to an unknown broker', 39, [9],
         'The manual partition assignment includes broker 9, but no such broker is registered.')
reassign('reassign, nothing to cancel', 85, None, None)
row('list reassignments', 'ListPartitionReassignments', 0, 0, timeout_ms=1000, topics=None)
row('move to an unknown directory', 'AlterReplicaLogDirs', 2, 57, dirs=[
    dict(path='/nowhere', topics=[dict(name='ok1', partitions=[0])])])
for v in (0, 1, 2):
    row('quorum v%d' % v, 'DescribeQuorum', v, 0, '', topics=[
        dict(topic_name='__cluster_metadata', partitions=[dict(partition_index=0)])])
row('quorum of another topic', 'DescribeQuorum', 2, 3, NOT_HERE, topics=[
    dict(topic_name='ok1', partitions=[dict(partition_index=0)])])


def feature(name, code, feature_name, level, kind, message=ANY, version=2, validate=False):
    update = dict(feature=feature_name, max_version_level=level)
    if version > 0:
        update['upgrade_type'] = kind
    row(name, 'UpdateFeatures', version, code, message, timeout_ms=1000, feature_updates=[update],
        **(dict(validate_only=validate) if version > 0 else {}))


FAILED = 'The update failed for all features since the following feature had an error: '
INVALID = FAILED + 'Invalid update version %d for feature %s. %s'
feature('feature too high', 95, 'group.version', 9, 1,
        INVALID % (9, 'group.version', 'Local controller 1 only supports versions 0-1'), 1)
feature('feature unknown', 95, 'no.such', 1, 1,
        INVALID % (1, 'no.such', 'Local controller 1 does not support this feature.'))
feature('feature downgrade', 95, 'transaction.version', 1, 1,
        INVALID % (1, 'transaction.version', "Can't downgrade the version of this feature without setting the "
                   'upgrade type to either safe or unsafe downgrade.'), 1)
feature('feature, bad type', 95, 'group.version', 1, 9,
        INVALID % (1, 'group.version', 'The controller does not support the given upgrade type.'))
feature('metadata.version down', 95, 'metadata.version', 29, 2,
        FAILED + 'Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade '
        'because it might delete metadata information.')
feature('feature as it is', 0, 'group.version', 1, 1)
feature('feature as it is, v0', 0, 'group.version', 1, 1, version=0)
feature('feature down, only looked at', 0, 'transaction.version', 1, 2, validate=True)
row('quotas', 'DescribeClientQuotas', 1, 0, components=[], strict=False)
row('quotas of a bad entity', 'DescribeClientQuotas', 0, 35, 'Unsupported entity type zzz', strict=False,
    components=[dict(entity_type='zzz', match_type=0, match='a')])


# ── what the right requests change ───────────────────────────────────────────────────────────────────────────
def set_value(bootstrap, kind, resource, key, value, how=SET):
    with wire.Conn(bootstrap) as c:
        out = c.call('IncrementalAlterConfigs', 1, validate_only=False, resources=[dict(
            resource_type=kind, resource_name=resource,
            configs=[dict(name=key, config_operation=how, value=value)])])
        lib.equal(out['responses'][0]['error_code'], 0, 'setting %s of %s' % (key, resource))


def value_of(bootstrap, kind, resource, key):
    """-> (value, source)"""
    with wire.Conn(bootstrap) as c:
        out = c.call('DescribeConfigs', 4, resources=[dict(resource_type=kind, resource_name=resource,
                                                           configuration_keys=[key])])
        entry = out['results'][0]['configs'][0]
        return entry['value'], entry['config_source']


def test_settings_take_effect(bootstrap):
    wire.create_topic(bootstrap, 'set')
    big = wire.batch([(b'k', bytes(5000))])
    with wire.Conn(bootstrap) as c:
        lib.equal(wire.produce(c, 'set', big)['error_code'], 0, '5000 bytes')
        set_value(bootstrap, TOPIC, 'set', 'max.message.bytes', '1000')
        # Ours is in force before the answer, Apache Kafka's a moment later.
        lib.wait_until(lambda: wire.produce(c, 'set', big)['error_code'] == 10, 10 if lib.PEER else 0,
                       '5000 bytes with max.message.bytes=1000 are refused')
        lib.equal(value_of(bootstrap, TOPIC, 'set', 'max.message.bytes'), ('1000', 1), 'the topic setting')
        set_value(bootstrap, TOPIC, 'set', 'max.message.bytes', None, DELETE)
        lib.wait_until(lambda: wire.produce(c, 'set', big)['error_code'] == 0, 10 if lib.PEER else 0,
                       '5000 bytes, setting gone')
        for resource, value, source in (('', '2000', 3), ('1', '1500', 2)):
            set_value(bootstrap, BROKER, resource, 'message.max.bytes', value)
            lib.wait_until(lambda: value_of(bootstrap, TOPIC, 'set', 'max.message.bytes') == (value, source), 5,
                           'the broker setting of %r is the default' % resource)
            lib.wait_until(lambda: wire.produce(c, 'set', big)['error_code'] == 10, 5, 'it is in force')
        for resource in ('', '1'):
            set_value(bootstrap, BROKER, resource, 'message.max.bytes', None, DELETE)
        lib.wait_until(lambda: wire.produce(c, 'set', big)['error_code'] == 0, 5, 'the broker settings are gone')


def start_of(bootstrap, topic):
    with wire.Conn(bootstrap) as c:
        return wire.end_offset(c, topic, 0, -2)


def test_deleted_records(bootstrap):
    with wire.Conn(bootstrap) as c:
        wire.create_topic(bootstrap, 'gone')
        for _ in range(5):
            wire.produce(c, 'gone', wire.batch([(b'k', b'v')] * 2))
        out = c.call('DeleteRecords', 2, timeout_ms=5000, topics=[
            dict(name='gone', partitions=[dict(partition_index=0, offset=7)])])
        lib.equal(out['topics'][0]['partitions'][0]['low_watermark'], 7, 'low watermark')
        lib.equal(wire.fetch(c, 'gone', 6)['error_code'], 1, 'fetch below the start')
        lib.equal([r[0] for r in wire.fetch_all(c, 'gone')], [7, 8, 9], 'what is left')


def test_pages_of_partitions(bootstrap):
    with wire.Conn(bootstrap) as c:
        names, cursor, seen = ['ok1', 'grows', 'cpt'], None, []
        for _ in range(20):
            out = c.call('DescribeTopicPartitions', 0, topics=[dict(name=n) for n in names],
                         response_partition_limit=2, cursor=cursor)
            seen += [(t['name'], p['partition_index']) for t in out['topics'] for p in t['partitions']]
            cursor = out['next_cursor']
            if cursor is None:
                break
        lib.equal(seen, [('cpt', 0), ('grows', 0), ('grows', 1), ('ok1', 0), ('ok1', 1)], 'partitions, two a page')


def test_log_dirs_and_producers(bootstrap, directory):
    with wire.Conn(bootstrap) as c:
        data = wire.batch([(b'k', b'v')] * 3, producer_id=77000, producer_epoch=2, sequence=0)
        wire.create_topic(bootstrap, 'sized')
        lib.equal(wire.produce(c, 'sized', data)['error_code'], 0, 'produce')
        out = c.call('DescribeLogDirs', 4, topics=[dict(topic='sized', partitions=[0])])['results'][0]
        lib.equal(out['topics'][0]['partitions'][0]['partition_size'], len(data), 'size of the partition')
        lib.check(out['total_bytes'] > out['usable_bytes'] > 0, 'room of the disk: %r' % out)
        if directory:
            lib.equal(out['log_dir'], directory, 'log directory')
        out = c.call('DescribeProducers', 0, topics=[dict(name='sized', partition_indexes=[0])])
        one = out['topics'][0]['partitions'][0]['active_producers'][0]
        lib.equal((one['producer_id'], one['producer_epoch'], one['last_sequence']), (77000, 2, 2), 'the producer')


def test_fetch_session(bootstrap):
    """A session is made, its answers carry what is new, and what is wrong gets 70, 71 and 106."""
    wire.create_topic(bootstrap, 'session', 3)

    def ask(c, version, session, epoch, topics=()):
        return c.call('Fetch', version, max_wait_ms=10, min_bytes=1, session_id=session, session_epoch=epoch,
                      topics=list(topics))
    whole = [dict(topic='session', partitions=[
        dict(partition=p, fetch_offset=0, partition_max_bytes=1 << 20) for p in range(3)])]
    with wire.Conn(bootstrap) as c:
        lib.wait_until(lambda: all(p['error_code'] == 0 for t in ask(c, 12, 0, -1, whole)['responses']
                                   for p in t['partitions']), 10, 'the partitions can be read')
        out = ask(c, 12, 0, 0, whole)
        session = out['session_id']
        lib.check(session > 0, 'no session was made')
        lib.equal(sum(len(t['partitions']) for t in out['responses']), 3, 'partitions of the first answer')
        lib.equal(ask(c, 12, session, 1)['responses'], [], 'nothing new')
        wire.produce(c, 'session', wire.batch([(b'k', b'v')]), 2)
        out = ask(c, 12, session, 2)
        lib.equal([p['partition_index'] for t in out['responses'] for p in t['partitions']], [2], 'what is new')
        lib.equal(ask(c, 12, session, 9)['error_code'], 71, 'a wrong epoch')
        lib.equal(ask(c, 13, session, 3)['error_code'], 106, 'ids in a session by names')
        lib.equal(ask(c, 12, session, -1, whole)['session_id'], 0, 'the end of the session')
        lib.equal(ask(c, 12, session, 3)['error_code'], 70, 'a session that is over')


def test_survives_kill(broker):
    """A start that was answered is there after kill -9, and so are settings and partitions."""
    bootstrap = broker.bootstrap
    before = start_of(bootstrap, 'gone')
    set_value(bootstrap, TOPIC, 'gone', 'retention.ms', '1234567')
    broker.kill()
    broker.start()
    lib.equal(start_of(bootstrap, 'gone'), before, 'start after kill -9')
    lib.equal(value_of(bootstrap, TOPIC, 'gone', 'retention.ms'), ('1234567', 1), 'setting after kill -9')
    with wire.Conn(bootstrap) as c:
        lib.equal([r[0] for r in wire.fetch_all(c, 'gone')], [7, 8, 9], 'records after kill -9')


def metadata_files(broker, end):
    directory = os.path.join(broker.data, '__cluster_metadata-0')
    return sorted(n for n in os.listdir(directory) if n.endswith(end))


def test_metadata_snapshots(t):
    """The metadata log is cut behind a snapshot, and a start from it, also after kill -9, knows everything."""
    broker = t.broker(workers=2, settings={'metadata.log.max.record.bytes.between.snapshots': '2000'})
    wire.create_topic(broker.bootstrap, 'first', 40)
    set_value(broker.bootstrap, TOPIC, 'first', 'retention.ms', '1234567')
    lib.wait_until(lambda: len(metadata_files(broker, '.checkpoint')) == 1, 10, 'a snapshot')
    lib.wait_until(lambda: metadata_files(broker, '.log')[0] > '0' * 20 + '.log', 20, 'the first segment is gone')
    for kill in (True, False):
        broker.kill() if kill else broker.stop()
        broker.start()
        lib.equal(value_of(broker.bootstrap, TOPIC, 'first', 'retention.ms'), ('1234567', 1), 'setting')
        with wire.Conn(broker.bootstrap) as c:
            topic = c.call('Metadata', 12, topics=[dict(name='first')])['topics'][0]
            lib.equal(len(topic['partitions']), 40, 'partitions')
            lib.equal(wire.produce(c, 'first', wire.batch([(b'k', b'v')]), 7)['error_code'], 0, 'produce')


# ── running them ─────────────────────────────────────────────────────────────────────────────────────────────
def prepare(bootstrap):
    names = ['ok1', 'grows', 'records', 'cpt', 'set', 'gone', 'sized', 'session']
    with wire.Conn(bootstrap) as c:
        c.call('DeleteTopics', 6, topics=[dict(name=n) for n in names], timeout_ms=10000)
        lib.wait_until(lambda: all(t['error_code'] == 3 for t in c.call(
            'Metadata', 12, topics=[dict(name=n) for n in names], allow_auto_topic_creation=False)['topics']), 20, 'topics of an earlier run are gone')
    wire.create_topic(bootstrap, 'ok1', 2)
    wire.create_topic(bootstrap, 'grows')
    wire.create_topic(bootstrap, 'records')
    wire.create_topic(bootstrap, 'cpt', 1, {'cleanup.policy': 'compact'})
    with wire.Conn(bootstrap) as c:
        for _ in range(5):
            wire.produce(c, 'records', wire.batch([(b'k', b'v')] * 2))


def rows_that_differ(bootstrap):
    """-> (what is wrong, {row: normalised answer})"""
    with wire.Conn(bootstrap) as c:
        topics = c.call('Metadata', 12, topics=None)['topics']
    wrong, answers, normal = [], {}, golden.Normal({t['topic_id']: t['name'] for t in topics})
    for name, api, version, code, message, values in ROWS:
        with wire.Conn(bootstrap) as c:
            try:
                out = c.call(api, version, **values)
                answers[name] = normal.of(out)
                codes, messages = wire.found_in(out)
            except (OSError, ValueError) as e:
                wrong.append('%s (%s v%d): %r' % (name, api, version, e))
                continue
        got = sorted(codes)[0] if len(codes) == 1 else sorted(codes) if codes else 0
        if got != code or message is not ANY and message not in messages:
            wrong.append('%s (%s v%d): expected %s %r, got %s %r' % (
                name, api, version, code, None if message is ANY else message, got, messages))
    return wrong, answers


def test(t):
    lib.check(len({r[0] for r in ROWS}) == len(ROWS), 'two rows of one name')
    broker = t.broker(workers=3, settings={'node.id': '1', 'auto.create.topics.enable': 'false'})
    directory = broker.data if lib.APACHE or not lib.PEER else None
    prepare(broker.bootstrap)
    wrong, answers = rows_that_differ(broker.bootstrap)
    wrong += golden.compare(t, 'c_admin', answers)
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d of %d rows differ, the first: %s' % (len(wrong), len(ROWS), (wrong or [''])[0]))
    test_settings_take_effect(broker.bootstrap)
    test_deleted_records(broker.bootstrap)
    test_pages_of_partitions(broker.bootstrap)
    test_log_dirs_and_producers(broker.bootstrap, directory)
    test_fetch_session(broker.bootstrap)
    if not lib.PEER:
        test_survives_kill(broker)
        test_metadata_snapshots(t)
    t.say('%d rows as expected' % len(ROWS))


lib.main(test)
