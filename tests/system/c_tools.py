"""Apache Kafka's own tools, and every call of the Java client's Admin, in one JVM: what they print and their exit status,
beside what they print at Apache Kafka 4.3.1.

A row is a command line, as a user types it. Its output is freed of what differs from run to run and compared line by line
(golden.py): golden/c_tools.txt is what Apache Kafka makes them say, differences.md names what ours makes them say otherwise.
"""
import collections
import os
import re
import shlex

import golden
import kafka_java
import lib
import wire

TOOLS = {
    'kafka-topics': 'TopicCommand', 'kafka-configs': 'kafka.admin.ConfigCommand', 'kafka-groups': 'GroupsCommand',
    'kafka-consumer-groups': 'consumer.group.ConsumerGroupCommand', 'kafka-get-offsets': 'GetOffsetShell',
    'kafka-delete-records': 'DeleteRecordsCommand', 'kafka-log-dirs': 'LogDirsCommand', 'kafka-features': 'FeatureCommand',
    'kafka-metadata-quorum': 'MetadataQuorumCommand', 'kafka-leader-election': 'LeaderElectionCommand',
    'kafka-reassign-partitions': 'reassign.ReassignPartitionsCommand', 'kafka-cluster': 'ClusterTool',
    'kafka-broker-api-versions': 'BrokerApiVersionsCommand', 'kafka-client-metrics': 'ClientMetricsCommand',
    'kafka-producer-perf-test': 'ProducerPerformance', 'kafka-consumer-perf-test': 'ConsumerPerformance',
    'kafka-console-producer': 'ConsoleProducer', 'kafka-console-consumer': 'consumer.ConsoleConsumer',
    'kafka-verifiable-producer': 'VerifiableProducer', 'kafka-verifiable-consumer': 'VerifiableConsumer',
    'admin-calls': 'AdminCalls', 'kafka-transactions': 'TransactionsCommand', 'kafka-acls': 'AclCommand',
    'kafka-share-groups': 'consumer.group.ShareGroupCommand',
    'kafka-streams-groups': 'streams.StreamsGroupCommand'}
SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4, 'auto.create.topics.enable': 'false'}
LOG_LINE = re.compile(r'the program ends$|Driver\$Ended|(WARN|ERROR|INFO|DEBUG) .*\(\S+\)$|\s+at |\s*\.\.\. \d+ more|\[\d{4}-\d\d-\d\d')
ID = re.compile(r'(?<![\w./-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{22}(?![\w(:-])')
MEMBER = re.compile(r'[\w-]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
OWN_GROUP = re.compile(r'console-consumer-\d+')
SETS = re.compile(r'Valid states are|requires one of|takes one of')  # Java prints a set in another order each time
OWN_GROUP = re.compile(r'console-consumer-\d+')
# Lists in the order of a hash table.
UNSORTED = re.compile(r'''Option |Invalid (state|types?) list|.* takes one of|.* requires one of''')
NOTHING_YET = '"partitions_assigned","partitions":[]'  # KIP-848: whether this comes first is chance
NUMBER = re.compile(r'\d+(\.\d+)?|NaN')
DAY = 86400000
JAN_2020 = 1577836800000


def address(name, words):
    """The tool's way to name the broker."""
    if name == 'kafka-cluster':
        return words[:1] + ['--bootstrap-server', 'BROKER'] + words[1:]
    if name == 'kafka-metadata-quorum' or name in ('kafka-features', 'kafka-transactions'):
        return ['--bootstrap-server', 'BROKER'] + words
    return words + ['--bootstrap-server', 'BROKER']


class Script:
    def __init__(self, t, broker):
        self.t, self.bootstrap, self.port, self.directory = t, broker.bootstrap, broker.port, t.directory
        self.driver, self.answers = kafka_java.Driver(t), {}

    def words(self, line):
        """-> the main class and its arguments"""
        name, *words = shlex.split(line)
        words = words if '--bare' in words else address(name, words)
        main_class = TOOLS[name]
        main_class = main_class if main_class.startswith('kafka.') or main_class == 'AdminCalls' else 'org.apache.kafka.tools.' + main_class
        return main_class, [w.replace('BROKER', self.bootstrap).replace('DIR', self.directory) for w in words if w != '--bare']

    def normal(self, text, numbers):
        lines = collections.Counter()
        for line in text.splitlines():
            if LOG_LINE.match(line) or not line.strip() or NOTHING_YET in line:
                continue
            line = line.replace(self.directory, 'DIR')
            line = re.sub(r'\b(127\.0\.0\.1\s+)%s\b' % self.bootstrap.split(':')[1], r'\1port', line)
            line = golden.TIMES.sub('a time', golden.PLACES.sub(lambda m: 'dir' if m[1] else '127.0.0.1:port', line))
            line = OWN_GROUP.sub('console-consumer-N', MEMBER.sub('a member', ID.sub('an id', line)))
            line = line.replace(' %d ' % self.port, ' port ')
            line = ' '.join(sorted(re.findall(r'[\w-]+', line))) if SETS.search(line) else line
            line = NUMBER.sub('N', line) if numbers else line
            lines[' '.join(line.split())] += 1
        # How often such a line comes depends on how many records a fetch brings.
        return {line: 1 if 'offsets_committed' in line or 'records_consumed' in line else n for line, n in lines.items()}

    def note(self, line, status, out, err, numbers=False):
        name, n = line.replace('\n', ' '), 1
        while name in self.answers:
            n += 1
            name = '%s (%d)' % (line, n)
        self.answers[name] = {'status': status, 'out': self.normal(out, numbers), 'err': self.normal(err, numbers)}
        if os.environ.get('SHOW'):
            self.t.say('$ %s\n%s%s[%s]' % (line, out, err, status))
        return out

    def __call__(self, line, stdin='', numbers=False):
        main_class, words = self.words(line)
        return self.note(line, *self.driver.run(main_class, *words, stdin=stdin), numbers=numbers)

    def start(self, name, line):
        main_class, words = self.words(line)
        self.driver.start(name, main_class, *words)

    def file(self, name, text):
        with open(os.path.join(self.directory, name), 'w') as f:
            f.write(text)

    def call(self, api, version, **values):
        with wire.Conn(self.bootstrap, timeout=15) as c:
            return c.call(api, version, **values)

    def settle(self, group, members):
        """Until the group is stable with so many members and the assignment that comes with it."""
        def is_stable():
            g = self.call('DescribeGroups', 5, groups=[group], include_authorized_operations=False)['groups'][0]
            if g['protocol_type'] == 'consumer' and g['error_code'] == 0:
                return g['group_state'] == 'Stable' and len(g['members']) == members
            g = self.call('ConsumerGroupDescribe', 1, group_ids=[group], include_authorized_operations=False)['groups'][0]
            return g['group_state'] == 'Stable' and len(g['members']) == members and all(
                m['member_epoch'] == g['group_epoch'] and m['assignment'] == m['target_assignment'] for m in g['members'])
        lib.wait_until(is_stable, 60, '%d members are in %s' % (members, group))


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────
def part_topics(s):
    for line in '''
        --create --topic t1 --partitions 3 --replication-factor 1 --config retention.ms=-1
        --create --topic t1
        --create --topic t1 --if-not-exists
        --create --topic t2 --config cleanup.policy=compact --config min.insync.replicas=1
        --create --topic t.dot_under
        --create --topic t4
        --create --topic t3 --replica-assignment 1,1
        --create --topic bad --replication-factor 3
        --create --topic bad --partitions 0
        --create --topic bad --config nonsense=1
        --create --topic bad --config retention.ms=soon
        --create --topic bad --replica-assignment 7
        --create --topic 'bad name'
        --create --topic ..
        --list
        --list --exclude-internal
        --list --topic t[12]
        --describe
        --describe --topic t1
        --describe --topic t1,t2
        --describe --topic none
        --describe --topic none --if-exists
        --describe --topics-with-overrides
        --describe --under-replicated-partitions
        --describe --unavailable-partitions
        --describe --under-min-isr-partitions
        --describe --at-min-isr-partitions
        --describe --topic t1 --partition-size-limit-per-response 1
        --alter --topic t2 --partitions 2
        --alter --topic t2 --partitions 1
        --alter --topic t2 --partitions 2
        --alter --topic none --partitions 2
        --alter --topic none --partitions 2 --if-exists
        --delete --topic t3
        --delete --topic none
        --delete --topic none --if-exists
        --create
        --partitions 3'''.strip().splitlines():
        s('kafka-topics ' + line.strip())


def part_records(s):
    s('kafka-console-producer --topic t1 --reader-property parse.key=true --reader-property key.separator=: --sync --timeout 1',
      stdin=''.join('k%d:v%d\n' % (i, i) for i in range(40)))
    s('kafka-console-producer --topic t2 --reader-property parse.key=true --reader-property key.separator=: '
      '--reader-property parse.headers=true --compression-codec zstd --request-required-acks all',
      stdin='h1:x\tone:1\nh1:y\tone:2\n')
    s('kafka-console-producer --topic none --producer-property max.block.ms=2000', stdin='x\n')
    s('kafka-console-producer --topic t1 --compression-codec rar', stdin='x\n')
    consumer = 'kafka-console-consumer --timeout-ms 60000 '
    s(consumer + '--topic t1 --from-beginning --max-messages 40 --formatter-property print.key=true')
    s(consumer + '--topic t2 --from-beginning --max-messages 2 --formatter-property print.headers=true '
      '--formatter-property print.key=true --formatter-property print.offset=true --formatter-property print.partition=true')
    s(consumer + '--include "t[.]dot.*|t2" --from-beginning --max-messages 2 --group g-console')
    s(consumer + '--topic t1 --group g-console --from-beginning --max-messages 40')
    s(consumer + '--topic t1 --group g-next --from-beginning --max-messages 40 --consumer-property group.protocol=consumer')
    s('kafka-console-consumer --topic t1 --partition 9 --offset earliest --timeout-ms 1000')
    s('kafka-console-consumer --topic none --from-beginning --timeout-ms 2000')
    s('kafka-verifiable-producer --topic t4 --max-messages 20 --throughput 1000 --acks -1 --value-prefix 7', numbers=True)
    s('kafka-verifiable-consumer --topic t4 --group-id g-verify --max-messages 20 --reset-policy earliest '
      '--session-timeout 10000', numbers=True)
    s('kafka-verifiable-consumer --topic t4 --group-id g-verify-next --max-messages 20 --reset-policy earliest '
      '--group-protocol consumer', numbers=True)
    s('kafka-producer-perf-test --bare --topic t4 --num-records 500 --record-size 100 --throughput -1 '
      '--bootstrap-server BROKER --command-property acks=all', numbers=True)
    s('kafka-consumer-perf-test --topic t4 --num-records 500 --group g-perf --timeout 60000', numbers=True)


def part_offsets(s):
    with wire.Conn(s.bootstrap) as c:
        for i in range(10):
            wire.produce(c, 't.dot_under', wire.batch([(b'k', b'v')], timestamp=JAN_2020 + i * DAY))
    for line in '''
        --topic t1
        --topic t1 --time latest
        --topic t1 --time earliest
        --topic t1 --time max-timestamp
        --topic t.dot_under --time -1
        --topic t.dot_under --time -2
        --topic t.dot_under --time -3
        --topic t.dot_under --time -4
        --topic t.dot_under --time -5
        --topic t.dot_under --time -6
        --topic t.dot_under --time earliest-local
        --topic t.dot_under --time latest-tiered
        --topic t.dot_under --time earliest-pending-upload
        --topic t.dot_under --time 1577836800000
        --topic t.dot_under --time 1578000000000
        --topic t.dot_under --time 4000000000000
        --topic t.dot_under --time tomorrow
        --topic t1 --partitions 0,2
        --topic t1 --partitions 9
        --topic none
        --topic-partitions t1:0-2,t2
        --topic-partitions t1:1,t.*:0 --exclude-internal-topics
        --exclude-internal-topics'''.strip().splitlines():
        s('kafka-get-offsets ' + line.strip())
    s('kafka-console-consumer --topic t.dot_under --from-beginning --max-messages 3 --timeout-ms 60000 '
      '--formatter-property print.timestamp=true')


GROUPS = '''
    --list
    --list --state
    --list --state Empty
    --list --state Stable,Dead
    --list --state nonsense
    --list --type
    --list --type classic
    --list --type consumer --state
    --describe --group g-console
    --describe --group g-console --verbose
    --describe --group g-console --offsets
    --describe --group g-console --members
    --describe --group g-console --members --verbose
    --describe --group g-console --state
    --describe --group g-console --state --verbose
    --describe --group g-next
    --describe --group g-next --verbose
    --describe --group g-next --state
    --describe --group g-next --state --verbose
    --describe --group g-next --members
    --describe --group none
    --describe --group none --state
    --describe --group none --members
    --describe --all-groups --state
    --describe'''
RESETS = '''
    --topic t1 --to-earliest --dry-run
    --topic t1 --to-earliest
    --topic t1 --to-earliest --execute
    --topic t1 --to-latest --execute
    --topic t1:0,1 --to-offset 3 --execute
    --topic t1:0 --to-offset 100000 --execute
    --topic t1:0 --to-offset -7 --execute
    --topic t1 --shift-by -2 --execute
    --topic t1 --shift-by 1000 --execute
    --topic t1 --shift-by -100000 --execute
    --topic t.dot_under --to-datetime 2020-01-04T00:00:00.000 --execute
    --topic t.dot_under --to-datetime 2020-01-04T12:00:00.000+00:00 --execute
    --topic t.dot_under --to-datetime 2020-01-04 --execute
    --topic t.dot_under --by-duration P20000D --execute
    --topic t.dot_under --by-duration PT1H --execute
    --topic t.dot_under --by-duration -PT1H --execute
    --topic t.dot_under --by-duration soon --execute
    --topic t1 --to-current --execute
    --all-topics --to-earliest --dry-run
    --all-topics --to-current --execute
    --all-topics --to-latest --export
    --topic t1 --topic t2 --to-earliest --export
    --from-file DIR/plan.csv --dry-run
    --from-file DIR/plan.csv --execute
    --from-file DIR/none.csv --execute
    --topic none --to-earliest --execute
    --topic t1:9 --to-earliest --execute
    --topic t1
    --to-earliest
    --topic t1 --to-earliest --to-latest'''


def part_groups(s):
    for line in GROUPS.strip().splitlines():
        s('kafka-consumer-groups ' + line.strip())
    s.file('plan.csv', 't1,0,4\nt1,1,5\nt1,2,1000000\n')
    for line in RESETS.strip().splitlines():
        s('kafka-consumer-groups --reset-offsets --group g-console ' + line.strip())
        if '--execute' in line:
            s('kafka-consumer-groups --describe --group g-console')
    s('kafka-consumer-groups --reset-offsets --group g-next --topic t1 --to-earliest --execute')
    s('kafka-consumer-groups --reset-offsets --group new-group --topic t1 --to-latest --execute')
    s('kafka-consumer-groups --reset-offsets --group g-console --group g-next --topic t1 --to-earliest --dry-run')
    s('kafka-consumer-groups --reset-offsets --all-groups --topic t2 --to-latest --dry-run')
    for line in '''
        --delete-offsets --group new-group --topic t1:0
        --delete-offsets --group new-group --topic t1
        --delete-offsets --group g-console --topic none
        --delete-offsets --group none --topic t1
        --delete --group none
        --delete --group new-group
        --delete --group g-verify --group none'''.strip().splitlines():
        s('kafka-consumer-groups ' + line.strip())
    for line in ('--list', '--list --group-type classic', '--list --group-type consumer', '--list --consumer', '--list --share',
                 '--list --protocol consumer', '--list --group-type nonsense'):
        s('kafka-groups ' + line)


def part_members(s):
    """Groups with members: what shows them, and what is refused because of them."""
    common = '--topic t1 --from-beginning --consumer-property auto.commit.interval.ms=100 --consumer-property client.id='
    s.start('a', 'kafka-console-consumer --group live %sone' % common)
    s.start('b', 'kafka-console-consumer --group live %stwo' % common)
    s.start('c', 'kafka-console-consumer --group live-next --consumer-property group.protocol=consumer %sone' % common)
    s.start('d', 'kafka-console-consumer --group live-static --consumer-property group.instance.id=inst '
            '--consumer-property partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor '
            '%sone' % common)
    for group, members in (('live', 2), ('live-next', 1), ('live-static', 1)):
        s.settle(group, members)

        def has_committed():
            out = s.call('OffsetFetch', 8, groups=[dict(group_id=group, topics=None)], require_stable=False)
            return sum(p['committed_offset'] for t in out['groups'][0]['topics'] for p in t['partitions']) == 40
        lib.wait_until(has_committed, 60, '%s has read everything' % group)
    for group in ('live', 'live-next', 'live-static'):
        for what in ('', ' --members', ' --members --verbose', ' --state', ' --verbose', ' --state --verbose', ' --members --offsets'):
            s('kafka-consumer-groups --describe --group %s%s' % (group, what))
        for line in ('--delete', '--reset-offsets --topic t1 --to-earliest --execute', '--delete-offsets --topic t1'):
            s('kafka-consumer-groups %s --group %s' % (line, group))
    s('kafka-consumer-groups --list --state Stable')
    s('kafka-consumer-groups --list --type consumer')
    s('kafka-groups --list')
    for name in 'abcd':
        status, out, err = s.driver.stop(name)
        lib.check(status is not None, 'a console consumer ends when asked: %s %s' % (out[-300:], err))
    s('kafka-consumer-groups --delete --group live --group live-next')
    s('kafka-consumer-groups --list')


def part_configs(s):
    topic, broker = '--entity-type topics --entity-name t1', '--entity-type brokers --entity-name 1'
    for line in (
            '--alter %s --add-config retention.ms=3600000,max.message.bytes=20000' % topic,
            '--alter %s --add-config cleanup.policy=[compact,delete]' % topic, '--describe %s' % topic,
            '--describe %s --all' % topic, '--alter %s --delete-config max.message.bytes' % topic,
            '--alter %s --delete-config nonsense' % topic, '--alter %s --add-config nonsense=1' % topic,
            '--alter %s --add-config retention.ms=-5' % topic, '--alter %s --add-config retention.ms=soon' % topic,
            '--alter %s --add-config cleanup.policy=burn' % topic, '--describe %s' % topic,
            '--describe --entity-type topics', '--describe --topic none', '--describe --topic t1',
            '--alter --entity-type topics --entity-name none --add-config retention.ms=1',
            '--describe %s' % broker, '--describe --entity-type brokers --entity-default', '--describe --broker 1',
            '--alter %s --add-config log.cleaner.threads=2' % broker, '--alter %s --add-config log.retention.ms=7200000' % broker,
            '--alter --entity-type brokers --entity-default --add-config log.retention.ms=7300000', '--describe %s' % broker,
            '--alter %s --add-config node.id=2' % broker, '--alter %s --add-config message.max.bytes=x' % broker,
            '--alter %s --delete-config log.retention.ms' % broker,
            '--alter --entity-type brokers --entity-default --delete-config log.retention.ms',
            '--describe --entity-type brokers --entity-name 77', '--alter %s --add-config log.dirs=/x' % broker,
            '--describe --entity-type groups --entity-name g-next', '--describe --entity-type groups',
            '--alter --entity-type groups --entity-name g-next --add-config consumer.session.timeout.ms=46000',
            '--describe --entity-type groups --entity-name g-next',
            '--alter --entity-type groups --entity-name g-next --add-config consumer.session.timeout.ms=1',
            '--alter --entity-type groups --entity-name g-next --delete-config consumer.session.timeout.ms',
            '--describe --entity-type client-metrics',
            '--describe --entity-type users', '--describe --entity-type clients',
            '--alter --entity-type clients --entity-name c --add-config producer_byte_rate=1000',
            '--alter --entity-type users --entity-name u --add-config SCRAM-SHA-256=[password=x]',
            '--alter', '--describe --entity-type nonsense'):
        s('kafka-configs ' + line)


def part_cluster(s):
    quorum = dict(numbers=True)
    for line, options in (
            ('kafka-features describe', quorum), ('kafka-features upgrade --feature group.version=1', {}),
            ('kafka-features upgrade --feature nonsense=1', {}), ('kafka-features downgrade --feature group.version=0 --dry-run', {}),
            ('kafka-features upgrade --feature metadata.version=99', {}), ('kafka-features version-mapping', quorum),
            ('kafka-features upgrade --metadata 4.3 --dry-run', {}),
            ('kafka-metadata-quorum describe --status', quorum), ('kafka-metadata-quorum describe --replication', quorum),
            ('kafka-metadata-quorum describe --replication --human-readable', quorum),
            ('kafka-cluster cluster-id', {}), ('kafka-cluster list-endpoints', {}),
            ('kafka-cluster list-endpoints --include-fenced-brokers', {}),
            ('kafka-cluster unregister --id 7', {}), ('kafka-broker-api-versions', {}),
            ('kafka-log-dirs --describe --topic-list t1', quorum), ('kafka-log-dirs --describe --topic-list none', quorum),
            ('kafka-log-dirs --describe --broker-list 1 --topic-list t.dot_under', quorum),
            ('kafka-log-dirs --describe --broker-list 7', {}),
            ('kafka-leader-election --all-topic-partitions --election-type preferred', {}),
            ('kafka-leader-election --topic t1 --partition 0 --election-type preferred', {}),
            ('kafka-leader-election --topic t1 --partition 0 --election-type unclean', {}),
            ('kafka-leader-election --topic none --partition 0 --election-type preferred', {}),
            ('kafka-leader-election --path-to-json-file DIR/elect.json --election-type preferred', {})):
        s.file('elect.json', '{"partitions": [{"topic": "t1", "partition": 1}, {"topic": "t1", "partition": 9}]}')
        s(line, **options)
    s.file('move.json', '{"version": 1, "partitions": [{"topic": "t1", "partition": 0, "replicas": [1]}]}')
    s.file('away.json', '{"version": 1, "partitions": [{"topic": "t1", "partition": 0, "replicas": [2]}]}')
    s.file('topics.json', '{"version": 1, "topics": [{"topic": "t1"}]}')
    for line in ('--list', '--reassignment-json-file DIR/move.json --execute', '--reassignment-json-file DIR/move.json --verify',
                 '--reassignment-json-file DIR/away.json --execute', '--reassignment-json-file DIR/move.json --cancel',
                 '--topics-to-move-json-file DIR/topics.json --broker-list 1 --generate'):
        s('kafka-reassign-partitions ' + line)
    for line in ('--list', '--describe', '--alter --name cm --metrics org.apache.kafka.producer. --interval 60000',
                 '--describe --name cm', '--delete --name cm', '--alter --generate-name --metrics x --interval 5'):
        s('kafka-client-metrics ' + line)
    for line in ('kafka-transactions list', 'kafka-transactions describe --transactional-id none',
                 'kafka-transactions describe-producers --topic t2 --partition 0',
                 'kafka-transactions find-hanging --broker-id 1', 'kafka-acls --list',
                 'kafka-share-groups --list', 'kafka-share-groups --describe --group none', 'kafka-streams-groups --list',
                 'kafka-streams-groups --describe --group none'):
        s(line, numbers='describe-producers' in line)


def part_admin(s):
    """Every call of the Java client's Admin, a line each."""
    s('admin-calls --bare BROKER')


def part_delete(s):
    s.file('delete.json', '{"version": 1, "partitions": [{"topic": "t1", "partition": 0, "offset": 2}, '
           '{"topic": "t1", "partition": 1, "offset": -1}, {"topic": "t1", "partition": 2, "offset": 100000}]}')
    s.file('twice.json', '{"version": 1, "partitions": [{"topic": "t1", "partition": 0, "offset": 2}, '
           '{"topic": "t1", "partition": 0, "offset": 1}]}')
    s.file('soon.properties', 'request.timeout.ms=3000\ndefault.api.timeout.ms=5000\n')
    for name in ('delete', 'twice'):
        s('kafka-delete-records --command-config DIR/soon.properties --offset-json-file DIR/%s.json' % name)
    s('kafka-get-offsets --topic t1 --time earliest')
    s('kafka-producer-perf-test --bare --topic t4 --num-records 100 --record-size 100 --throughput -1 '
      '--bootstrap-server BROKER --transactional-id perf --command-property max.block.ms=3000', numbers=True)
    s('kafka-topics --delete --topic t1')
    s('kafka-topics --delete --topic "t.*"')
    s('kafka-topics --list --exclude-internal')


PARTS = (part_topics, part_records, part_offsets, part_groups, part_members, part_configs, part_cluster, part_admin, part_delete)


def test(t):
    kafka_java.compiled(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    script = Script(t, broker)
    for part in PARTS:
        part(script)
        t.say('%d rows after %s' % (len(script.answers), part.__name__))
    wrong = golden.compare(t, 'c_tools', script.answers)
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d lines differ, the first: %s' % (len(wrong), (wrong or [''])[0]))


lib.main(test)
