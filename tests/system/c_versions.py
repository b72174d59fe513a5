"""Every API at every version: one right request each, and the whole answer as Apache Kafka 4.3.1 gives it (golden.py).

The versions are those that Apache Kafka lists. Of an API that we do not list, one row says that the connection ends.
"""
import struct

import golden
import lib
import wire

NO_ID = bytes(16)
TOPIC, DATA, OTHER = 'versions', 'data', 'other'
SUBSCRIPTION = struct.pack('>hih', 0, 1, len(TOPIC)) + TOPIC.encode() + struct.pack('>i', -1)
SET_TOPIC, SET_BROKER, SET_GROUP = 2, 4, 32

# What Apache Kafka 4.3.1 lists to clients: key, first and last version.
LISTED = {
    'Produce': (3, 13), 'Fetch': (4, 18), 'ListOffsets': (1, 11), 'Metadata': (0, 13), 'OffsetCommit': (2, 10),
    'OffsetFetch': (1, 10), 'FindCoordinator': (0, 6), 'JoinGroup': (0, 9), 'Heartbeat': (0, 4), 'LeaveGroup': (0, 5),
    'SyncGroup': (0, 5), 'DescribeGroups': (0, 6), 'ListGroups': (0, 5), 'ApiVersions': (0, 4), 'CreateTopics': (2, 7),
    'DeleteTopics': (1, 6), 'DeleteRecords': (0, 2), 'InitProducerId': (0, 5), 'OffsetForLeaderEpoch': (2, 4),
    'DescribeConfigs': (1, 4), 'AlterConfigs': (0, 2), 'AlterReplicaLogDirs': (1, 2), 'DescribeLogDirs': (1, 5),
    'CreatePartitions': (0, 3), 'DeleteGroups': (0, 2), 'ElectLeaders': (0, 2), 'IncrementalAlterConfigs': (0, 1),
    'AlterPartitionReassignments': (0, 1), 'ListPartitionReassignments': (0, 0), 'OffsetDelete': (0, 0),
    'DescribeClientQuotas': (0, 1), 'DescribeQuorum': (0, 2), 'UpdateFeatures': (0, 2), 'DescribeCluster': (0, 2),
    'DescribeProducers': (0, 0), 'ConsumerGroupHeartbeat': (0, 1), 'ConsumerGroupDescribe': (0, 1),
    'ListConfigResources': (0, 1), 'DescribeTopicPartitions': (0, 0),
}
# Listed by Apache Kafka, not by us: name, key, version, body of a request that it answers.
REFUSED = (
    ('SaslHandshake', 17, 0, b'\0\5PLAIN'), ('AddOffsetsToTxn', 25, 0, b'\0\1t' + bytes(10) + b'\0\1g'),
    ('EndTxn', 26, 0, b'\0\1t' + bytes(11)), ('DescribeAcls', 29, 1, b'\1\xff\xff\1\xff\xff\xff\xff\1\1'),
    ('CreateAcls', 30, 1, bytes(4)), ('DeleteAcls', 31, 1, bytes(4)), ('AlterClientQuotas', 49, 0, bytes(4) + b'\1'),
    ('DescribeDelegationToken', 41, 1, bytes(4)), ('DescribeUserScramCredentials', 50, 0, b'\0\0'),
    ('UnregisterBroker', 64, 0, b'\0\0\0\x4d\0'), ('DescribeTransactions', 65, 0, b'\2\2t\0'),
    ('ListTransactions', 66, 0, b'\1\1\0'), ('GetTelemetrySubscriptions', 71, 0, bytes(17)),
    ('StreamsGroupDescribe', 89, 0, b'\2\2g\0\0'), ('ShareGroupDescribe', 77, 1, b'\2\2g\0\0'),
    ('DescribeShareGroupOffsets', 90, 0, b'\1\0'),
)
FLEXIBLE = {50, 64, 65, 66, 71, 77, 89, 90}


class Script:
    def __init__(self, bootstrap):
        self.bootstrap, self.answers = bootstrap, {}
        self.ids = {name: wire.create_topic(bootstrap, name, n, configs) for name, n, configs in (
            (TOPIC, 3, None), (DATA, 1, {'retention.ms': '7200000'}), (OTHER, 2, {'cleanup.policy': 'compact'}))}
        self.normal = golden.Normal({v: k for k, v in self.ids.items()}, shown=('high_watermark',))
        self.conn = wire.Conn(bootstrap, timeout=20)

    def note(self, name, out):
        lib.check(name not in self.answers, 'two rows are called %r' % name)
        self.answers[name] = self.normal.of(out)
        return out

    def ask(self, api, version, note='', **values):
        return self.note('%s v%d%s' % (api, version, note and ' ' + note), self.conn.call(api, version, **values))

    def each(self, api, values, note=''):
        """values: a dict, or a function of the version."""
        low, high = LISTED[api]
        for version in range(low, high + 1):
            self.ask(api, version, note, **(values(version) if callable(values) else values))


def named(script, version, first_by_id, topic=TOPIC, **more):
    """A topic by name below a version, by id from there on."""
    return dict(topic_id=script.ids[topic], **more) if version >= first_by_id else dict(name=topic, **more)


def part_records(s):
    now = wire.now_ms() - 1000  # every batch has a time of its own
    for version in range(*LISTED['Produce']):
        for note, n in (('', 1), ('three records', 3)):
            s.ask('Produce', version, note, acks=-1, timeout_ms=5000, topic_data=[named(s, version, 13, DATA, partition_data=[
                dict(index=0, records=wire.batch([(b'k', b'v')] * n, timestamp=now + 10 * version + n))])])
    s.ask('Produce', 13, acks=-1, timeout_ms=5000, topic_data=[dict(topic_id=s.ids[DATA], partition_data=[
        dict(index=0, records=wire.batch([(b'k', b'v')], timestamp=now + 500))])])
    s.ask('Produce', 13, 'nothing', acks=-1, timeout_ms=5000, topic_data=[])
    for version in range(LISTED['Fetch'][0], LISTED['Fetch'][1] + 1):
        for note, at, least in (('', 0, 1), ('at 5', 5, 1), ('the end', 41, 0)):
            who = dict(topic_id=s.ids[DATA]) if version >= 13 else dict(topic=DATA)
            s.ask('Fetch', version, note, max_wait_ms=100, min_bytes=least, isolation_level=0, session_epoch=-1, topics=[
                dict(who, partitions=[dict(partition=0, fetch_offset=at, partition_max_bytes=1 << 20)])])
    s.ask('Fetch', 17, 'read committed', max_wait_ms=100, min_bytes=1, isolation_level=1, session_epoch=-1, topics=[
        dict(topic_id=s.ids[DATA], partitions=[dict(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)])])
    for timestamp in (-1, -2, 1000):
        s.each('ListOffsets', dict(replica_id=-1, timeout_ms=5000, topics=[dict(name=DATA, partitions=[
            dict(partition_index=0, timestamp=timestamp)])]), 'at %d' % timestamp)
    s.ask('ListOffsets', 11, 'largest time', replica_id=-1, timeout_ms=5000, topics=[
        dict(name=DATA, partitions=[dict(partition_index=0, timestamp=-3)])])
    s.each('OffsetForLeaderEpoch', dict(replica_id=-2, topics=[dict(topic=DATA, partitions=[
        dict(partition=0, current_leader_epoch=-1, leader_epoch=900)])]))
    s.each('DescribeProducers', dict(topics=[dict(name=DATA, partition_indexes=[0])]))
    s.each('DeleteRecords', lambda v: dict(timeout_ms=5000, topics=[dict(name=DATA, partitions=[
        dict(partition_index=0, offset=3 + v)])]))
    s.each('InitProducerId', dict(transactional_id=None, transaction_timeout_ms=60000))


def part_topics(s):
    for version in range(LISTED['Metadata'][0], LISTED['Metadata'][1] + 1):
        s.ask('Metadata', version, topics=[dict(name=TOPIC)], allow_auto_topic_creation=False)
        s.ask('Metadata', version, 'unknown', topics=[dict(name='nosuch')], allow_auto_topic_creation=False)
        s.ask('Metadata', version, 'everything', topics=[] if version == 0 else None)
    s.ask('Metadata', 13, 'operations', topics=[dict(name=TOPIC)], include_topic_authorized_operations=True)
    s.ask('Metadata', 8, 'operations', topics=[dict(name=TOPIC)], include_topic_authorized_operations=True,
          include_cluster_authorized_operations=True)
    s.ask('Metadata', 13, 'nothing', topics=[])
    s.each('CreateTopics', lambda v: dict(timeout_ms=5000, topics=[dict(
        name='made-%d' % v, num_partitions=2, replication_factor=1, configs=[dict(name='segment.bytes', value='2000000')])]))
    s.each('CreateTopics', lambda v: dict(timeout_ms=5000, validate_only=True, topics=[dict(
        name='looked-%d' % v, num_partitions=2, replication_factor=1)]), 'validate only')
    s.each('CreateTopics', lambda v: dict(timeout_ms=5000, topics=[dict(
        name='placed-%d' % v, num_partitions=-1, replication_factor=-1, assignments=[
            dict(partition_index=0, broker_ids=[1]), dict(partition_index=1, broker_ids=[1])])]), 'assigned')
    s.each('CreatePartitions', lambda v: dict(timeout_ms=5000, validate_only=v == 3, topics=[dict(
        name='made-%d' % (v + 2), count=3, assignments=[dict(broker_ids=[1])] if v == 2 else None)]))
    s.each('DescribeTopicPartitions', dict(topics=[dict(name=TOPIC), dict(name=DATA)], response_partition_limit=2))
    s.each('DeleteTopics', lambda v: dict(timeout_ms=5000, **(dict(topics=[dict(name='made-%d' % v)]) if v >= 6 else
                                                             dict(topic_names=['made-%d' % (v + 1)]))))
    s.ask('DeleteTopics', 6, 'by id', timeout_ms=5000, topics=[dict(
        name=None, topic_id=s.conn.call('Metadata', 12, topics=[dict(name='placed-7')])['topics'][0]['topic_id'])])
    s.each('ElectLeaders', dict(election_type=0, timeout_ms=1000, topic_partitions=[dict(topic=TOPIC, partitions=[0])]))
    s.each('AlterPartitionReassignments', dict(timeout_ms=1000, topics=[dict(name=TOPIC, partitions=[
        dict(partition_index=0, replicas=[1])])]))
    s.each('ListPartitionReassignments', dict(timeout_ms=1000, topics=[dict(name=TOPIC, partition_indexes=[0, 1])]))


def part_settings(s):
    def of(kind, name, keys=None):
        return dict(include_synonyms=True, resources=[dict(resource_type=kind, resource_name=name, configuration_keys=keys)])
    s.each('DescribeConfigs', of(SET_TOPIC, DATA))
    s.each('DescribeConfigs', of(SET_BROKER, '1', ['log.retention.ms', 'log.retention.hours', 'nosuch']), 'broker')
    s.ask('DescribeConfigs', 4, 'whole broker', **of(SET_BROKER, '1'))
    s.ask('DescribeConfigs', 4, 'default broker', **of(SET_BROKER, ''))
    s.ask('DescribeConfigs', 4, 'group', **of(SET_GROUP, 'some'))
    s.each('IncrementalAlterConfigs', lambda v: dict(validate_only=False, resources=[dict(
        resource_type=SET_TOPIC, resource_name=DATA,
        configs=[dict(name='retention.ms', config_operation=0, value=str(100000 + v))])]))
    s.each('AlterConfigs', lambda v: dict(validate_only=False, resources=[dict(
        resource_type=SET_TOPIC, resource_name=DATA, configs=[dict(name='segment.ms', value=str(100000 + v))])]))
    s.ask('DescribeConfigs', 4, 'changed', **of(SET_TOPIC, DATA, ['retention.ms', 'segment.ms']))
    for name, operation, key, value in (('append', 2, 'cleanup.policy', 'compact'), ('subtract', 3, 'cleanup.policy', 'delete'),
                                        ('remove', 1, 'cleanup.policy', None), ('remove again', 1, 'cleanup.policy', None)):
        s.ask('IncrementalAlterConfigs', 1, name, validate_only=False, resources=[dict(
            resource_type=SET_TOPIC, resource_name=TOPIC, configs=[dict(name=key, config_operation=operation, value=value)])])
        s.ask('DescribeConfigs', 4, 'after ' + name, **of(SET_TOPIC, TOPIC, [key]))
    for key, value in (('log.retention.ms', '3600000'), ('max.connections', '5000'), ('log.cleaner.threads', '2'),
                       ('num.io.threads', '7'), ('log.flush.interval.messages', '10000'), ('message.max.bytes', '2000000'),
                       ('listeners', 'PLAINTEXT://127.0.0.1:1'), ('advertised.listeners', 'PLAINTEXT://127.0.0.1:1'),
                       ('num.partitions', '3'), ('background.threads', '9'), ('log.segment.bytes', '2000000')):
        out = s.ask('IncrementalAlterConfigs', 1, 'default broker ' + key, validate_only=False, resources=[dict(
            resource_type=SET_BROKER, resource_name='', configs=[dict(name=key, config_operation=0, value=value)])])
        if out['responses'][0]['error_code'] != 0:
            continue
        # Apache Kafka shows what was set a moment later.
        lib.wait_until(lambda: s.conn.call('DescribeConfigs', 4, **of(SET_BROKER, '', [key]))['results'][0]['configs'], 10,
                       '%s is described' % key)
        s.ask('DescribeConfigs', 4, 'default broker ' + key, **of(SET_BROKER, '', [key]))
        s.ask('IncrementalAlterConfigs', 1, 'default broker %s away' % key, validate_only=False, resources=[dict(
            resource_type=SET_BROKER, resource_name='', configs=[dict(name=key, config_operation=1, value=None)])])
    s.each('ListConfigResources', dict(resource_types=[SET_TOPIC]))


def part_groups(s):
    s.each('FindCoordinator', lambda v: dict(key_type=0, coordinator_keys=['g']) if v >= 4 else dict(key_type=0, key='g'))
    s.each('OffsetCommit', lambda v: dict(group_id='vg', generation_id_or_member_epoch=-1, topics=[
        named(s, v, 10, partitions=[dict(partition_index=0, committed_offset=v, committed_metadata='m')])]))
    s.each('OffsetFetch', lambda v: dict(require_stable=False, groups=[dict(group_id='vg', topics=[
        named(s, v, 10, partition_indexes=[0, 1])])]) if v >= 8 else dict(
            group_id='vg', topics=[dict(name=TOPIC, partition_indexes=[0, 1])]))
    for version in range(0, LISTED['JoinGroup'][1] + 1):
        join = dict(group_id='j%d' % version, session_timeout_ms=10000, rebalance_timeout_ms=10000, protocol_type='consumer',
                    protocols=[dict(name='range', metadata=SUBSCRIPTION)])
        out = s.ask('JoinGroup', version, **join)
        if out['error_code'] == 79:
            out = s.ask('JoinGroup', version, 'with its id', **join, member_id=out['member_id'])
        who = dict(group_id='j%d' % version, generation_id=1, member_id=out['member_id'])
        s.ask('SyncGroup', min(version, 5), 'of v%d' % version, protocol_type='consumer', protocol_name='range', **who,
              assignments=[dict(member_id=out['member_id'], assignment=b'plan')])
        s.ask('Heartbeat', min(version, 4), 'of v%d' % version, **who)
        s.ask('DescribeGroups', min(version, 6), 'of v%d' % version, groups=[who['group_id'], 'nosuch'])
        left = dict(member_id=out['member_id']) if version < 3 else dict(members=[dict(member_id=out['member_id'])])
        s.ask('LeaveGroup', min(version, 5), 'of v%d' % version, group_id=who['group_id'], **left)
    s.each('ListGroups', {})
    s.each('OffsetDelete', dict(group_id='vg', topics=[dict(name=TOPIC, partitions=[dict(partition_index=0)])]))
    s.each('DeleteGroups', lambda v: dict(groups_names=['j%d' % v, 'nosuch']))
    s.each('ConsumerGroupHeartbeat', lambda v: dict(
        group_id='n%d' % v, member_id='me%d' % v, member_epoch=0, rebalance_timeout_ms=60000,
        subscribed_topic_names=[TOPIC], topic_partitions=[]))
    s.each('ConsumerGroupDescribe', lambda v: dict(group_ids=['n%d' % v, 'nosuch'], include_authorized_operations=True))
    s.each('ConsumerGroupHeartbeat', lambda v: dict(group_id='n%d' % v, member_id='me%d' % v, member_epoch=-1), 'leaves')


def part_cluster(s):
    for version in range(LISTED['ApiVersions'][0], LISTED['ApiVersions'][1] + 1):
        s.ask('ApiVersions', version, client_software_name='system-test', client_software_version='1')
    s.each('DescribeCluster', dict(include_cluster_authorized_operations=True))
    s.ask('DescribeCluster', 2, 'controllers', endpoint_type=2)
    s.ask('DescribeCluster', 2, 'fenced too', include_fenced_brokers=True)
    s.each('DescribeLogDirs', dict(topics=[dict(topic=TOPIC, partitions=[0])]))
    s.each('AlterReplicaLogDirs', dict(dirs=[]))
    # The offsets of the metadata log are those of how many records each of the two writes.
    for version in range(3):
        out = s.conn.call('DescribeQuorum', version, topics=[dict(topic_name='__cluster_metadata', partitions=[
            dict(partition_index=0)])])
        out['topics'][0]['partitions'][0]['high_watermark'] = 'some'
        s.note('DescribeQuorum v%d' % version, out)
    s.each('UpdateFeatures', dict(timeout_ms=1000, feature_updates=[]))
    s.each('DescribeClientQuotas', dict(components=[], strict=False))
    s.ask('DescribeClientQuotas', 1, 'of users', components=[dict(entity_type='user', match_type=2, match=None)], strict=False)
    s.ask('FindCoordinator', 6, 'transactions, no keys', key_type=1, coordinator_keys=[])


def part_refused(s):
    """Ours end the connection, as Apache Kafka does with what it does not list."""
    for name, key, version, body in REFUSED:
        with wire.Conn(s.bootstrap, timeout=20) as c:
            data = wire.header(key, version, 7, is_flexible=key in FLEXIBLE) + body
            s.note('%s v%d' % (name, version), c.outcome(struct.pack('>i', len(data)) + data)[0])


def test(t):
    broker = t.broker(workers=3, settings={
        'auto.create.topics.enable': 'false', 'group.initial.rebalance.delay.ms': '0', **lib.ONE_NODE})
    with wire.Conn(broker.bootstrap) as c:
        lib.wait_until(lambda: c.call('FindCoordinator', 6, key_type=0, coordinator_keys=['g'])['coordinators'][0][
            'error_code'] == 0, 30, 'a coordinator')
        lib.wait_until(lambda: c.call('ListGroups', 0)['error_code'] == 0, 30, 'the groups are loaded')
        lib.wait_until(lambda: c.call('InitProducerId', 4, transactional_id=None, transaction_timeout_ms=1)[
            'error_code'] == 0, 30, 'a producer id')
    s = Script(broker.bootstrap)
    for part in (part_records, part_topics, part_settings, part_groups, part_cluster, part_refused):
        part(s)
    wrong = golden.compare(t, 'c_versions', s.answers)
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d differences, the first: %s' % (len(wrong), (wrong or [''])[0]))


lib.main(test)
