"""The command line `millrace`: every command against a running broker, its JSON, its errors and its exit status."""
import json
import os
import shutil

import lib
import wire

OK, FAILED, USAGE = 0, 1, 2


class Cli:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def run(self, *words, stdin=None, expect=OK):
        """-> (stdout, stderr) as text; the status must be `expect`."""
        lib.check(os.access(lib.MILLRACE, os.X_OK), '%s is not built: run make' % lib.MILLRACE)
        status, out, err = lib.run(lib.MILLRACE, '--bootstrap-server', self.bootstrap, *words, stdin=stdin,
                                   timeout=30, ok=False)
        if status != expect:
            raise lib.Failed('millrace %s: status %d, expected %d: %s' % (' '.join(words), status, expect, err))
        return out.decode(), err

    def json(self, *words, **options):
        return json.loads(self.run('--json', *words, **options)[0])


def test_help(cli):
    for words in ((), ('topic',), ('topic', 'create'), ('topic', 'list'), ('topic', 'describe'), ('topic', 'delete'),
                  ('produce',), ('consume',), ('cluster',), ('api',), ('dump',), ('slow',), ('verify',), ('conn',), ('pcap',),
                  ('bench',), ('group',), ('group', 'list'), ('group', 'describe'), ('group', 'reset'), ('group', 'delete'),
                  ('group', 'explain'), ('config',), ('config', 'describe'),
                  ('config', 'set'), ('config', 'delete'), ('partition',), ('partition', 'add'), ('partition', 'trim')):
        out, _ = cli.run(*words, '--help')
        lib.check('millrace ' + ' '.join(words) in out and out.count('\n') > 3, 'help of %r: %r' % (words, out))


def test_usage(cli):
    for words in ((), ('nonsense',), ('topic',), ('topic', 'nonsense'), ('topic', 'create'), ('topic', 'create', 'a', 'b'),
                  ('topic', 'create', 'a', '--partitions', 'x'), ('topic', 'create', 'a', '--config', 'x'),
                  ('topic', 'list', '--bogus'), ('topic', 'list', '--timeout'), ('--timeout', 'soon', 'cluster'),
                  ('produce',), ('produce', 't', '--codec', 'rar'), ('produce', 't', '--acks', '2'),
                  ('produce', 't', '-X', 'no.such=1'), ('consume', 't', '--from', 'yesterday'),
                  ('consume', 't', '-F', '%z'), ('consume', 't', '-n', '0'), ('cluster', 'x'), ('dump',),
                  ('config', 'set', 'topic'), ('config', 'set', 'topic', 't'), ('config', 'set', 'thing', 't', 'a=b'),
                  ('config', 'describe', 'topic', 't', 'u'), ('config', 'delete', 'topic', 't'),
                  ('partition', 'add', 't'), ('partition', 'add', 't', '--to', '0'), ('partition', 'trim', 't', '0'),
                  ('partition', 'trim', 't', 'x', '--before', '1'), ('partition', 'trim', 't', '0', '--before', '-3')):
        out, err = cli.run(*words, expect=USAGE)
        lib.check('--help' in err and not out, 'usage of %r: stdout %r, stderr %r' % (words, out, err))


def test_meant(cli):
    """A slip of the finger, and words of rpk, kafka-topics and kcat, are answered with what was meant."""
    for words, meant in ((('topci', 'list'), "did you mean 'topic'?"), (('groups', 'list'), "did you mean 'group'?"),
                         (('topic', 'lst'), "did you mean 'list'?"), (('topic', 'list', '--jsno'), 'did you mean --json?'),
                         (('topic', 'create', 'a', '--partitons=3'), 'did you mean --partitions?'),
                         (('topic', 'ls'), 'millrace topic list'), (('topic', 'add-partitions', 't'), 'millrace partition add'),
                         (('topic', '--create', '--topic', 't'), 'millrace topic create NAME'),
                         (('group', 'seek', 'g'), 'millrace group reset'), (('consume', 't', '-o', 'start'), '--from POSITION'),
                         (('consume', '--topic', 't'), 'the topic stands alone'), (('consume', 't', '--from-beginning'), 'the default'),
                         (('-b', 'x', 'topic', 'list'), '--bootstrap-server'), (('topic', 'list', '-b', 'x'), '--bootstrap-server'),
                         (('slow', '--api', 'Produced'), 'millrace api'), (('slow', '--last', 'hour'), 'minute or start'),
                         (('bench', '--bogus'), 'unknown option --bogus'), (('bench', '--rate'), 'missing behind --rate'),
                         (('bench', '--json', '/no/such/x.json'), 'no file can be written there'), (('config', 'get', 'topic', 't'), 'config describe')):
        out, err = cli.run(*words, expect=USAGE)
        lib.check(meant in err and not out, '%r: stdout %r, stderr %r' % (words, out, err))
    _, err = cli.run('utterly-different', expect=USAGE)
    lib.check('did you mean' not in err and 'here it is' not in err, 'a word like no other: %s' % err)
    out, _ = cli.run('--version')
    lib.check(out.startswith('millrace ') and len(out.split()) == 2, '--version prints: %s' % out)
    lib.equal(cli.run('help', 'topic', 'create'), cli.run('topic', 'create', '--help'), 'help topic create')
    _, err = cli.run('verify', '/no/such/directory', expect=USAGE)
    lib.check('/no/such/directory' in err, 'verify of nothing: %s' % err)


COMPLETE = """
COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _millrace; echo "${COMPREPLY[@]}"
"""
SHELLS = {'bash': 'source %s', 'zsh': 'autoload -U +X compinit bashcompinit; compinit -u -D; bashcompinit; source %s; setopt ksharrays '
                                      'shwordsplit kshglob'}


def test_completion(t, cli, topic):
    """The words that a shell offers; topics are asked of the broker."""
    script = os.path.join(lib.ROOT, 'tools', 'millrace.bash-completion')
    path = '%s:%s' % (os.path.dirname(lib.MILLRACE), os.environ['PATH'])
    cli.run('topic', 'create', topic)
    for shell, setup in SHELLS.items():
        if not shutil.which(shell):
            t.say('%s is not installed: left out' % shell)
            continue
        for words, offered in ((('top',), 'topic'), (('topic', 'cr'), 'create'), (('topic', 'create', 'x', '--if'), '--if-not-exists'),
                               (('group', 'reset', 'g', '--shi'), '--shift-by'), (('config', 'set', 'cli'), 'client-metrics'),
                               (('consume', 't', '--from', 'beg'), 'beginning'), (('--json', 'conn', 'li'), 'list'),
                               (('consume', '--bootstrap-server', cli.bootstrap, topic[:-1]), topic)):
            code = setup % script + COMPLETE % ' '.join(("millrace",) + words)
            _, out, err = lib.run(shell, *(('-f',) if shell == 'zsh' else ('--norc',)), '-c', code, env={**os.environ, 'PATH': path})
            got = out.decode().split()  # zsh chooses among the words by itself
            lib.check(got == [offered] or shell == 'zsh' and offered in got, '%s: %s: %s %s' % (shell, ' '.join(words), got, err))


def test_unreachable():
    nobody = Cli('127.0.0.1:%d' % lib.free_port())
    for words in (('cluster',), ('api',), ('topic', 'list'), ('consume', 't'), ('produce', 't')):
        _, err = nobody.run(*words, expect=FAILED, stdin=b'')
        lib.check('millraced' in err and nobody.bootstrap in err, '%r without a broker: %s' % (words, err))
    _, err = Cli('no-such-host.invalid:9092').run('cluster', expect=FAILED)
    lib.check('no-such-host.invalid' in err, 'an unknown name: %s' % err)
    for words in (('slow',), ('conn', 'list'), ('pcap',), ('group', 'explain', 'g')):
        for admin, why in ((nobody.bootstrap, 'nothing answers on ' + nobody.bootstrap), ('no-such-host.invalid:1', 'no address')):
            _, err = nobody.run(*words, '--admin', admin, expect=FAILED)
            lib.check(why in err and '--admin HOST:PORT' in err, '%r at %s: %s' % (words, admin, err))


def test_configs(cli, topic):
    cli.run('topic', 'create', topic)
    cli.run('config', 'set', 'topic', topic, 'retention.ms=7200000', 'max.message.bytes=5000')
    got = cli.json('config', 'describe', 'topic', topic)
    lib.equal(got['retention.ms'], dict(value='7200000', set_by='topic', is_read_only=False), 'retention.ms')
    lib.check('segment.ms' not in got and 'segment.ms' in cli.json('config', 'describe', 'topic', topic, '--all'), '--all')
    cli.run('config', 'set', 'topic', topic, 'cleanup.policy=compact', '--append')
    lib.equal(cli.json('config', 'describe', 'topic', topic)['cleanup.policy']['value'], 'delete,compact', 'append')
    cli.run('config', 'set', 'topic', topic, 'cleanup.policy=compact', '--subtract')
    cli.run('config', 'set', 'topic', topic, 'retention.ms=1', '--validate')
    cli.run('config', 'delete', 'topic', topic, 'max.message.bytes')
    got = cli.json('config', 'describe', 'topic', topic)
    lib.check('max.message.bytes' not in got and got['retention.ms']['value'] == '7200000', 'after delete: %r' % got)
    _, err = cli.run('config', 'set', 'topic', topic, 'retention.ms=abc', expect=FAILED)
    lib.check('Not a number of type LONG (INVALID_CONFIG)' in err, 'a bad value: %s' % err)
    cli.run('config', 'set', 'broker', 'default', 'log.retention.ms=99999999')
    lib.equal(cli.json('config', 'describe', 'broker', 'default')['log.retention.ms']['set_by'], 'all brokers', 'default')
    cli.run('config', 'delete', 'broker', 'default', 'log.retention.ms')


def test_partitions(cli, topic):
    cli.run('topic', 'create', topic)
    cli.run('produce', topic, stdin=b'a\nb\nc\n')
    lib.equal(cli.json('partition', 'trim', topic, '0', '--before', '2')['first_offset'], 2, 'trim')
    lib.equal(cli.json('partition', 'trim', topic, '0', '--before', 'end')['first_offset'], 3, 'trim to the end')
    _, err = cli.run('partition', 'trim', topic, '0', '--before', '4', expect=FAILED)
    lib.check('OFFSET_OUT_OF_RANGE' in err, 'beyond the end: %s' % err)
    lib.equal(cli.json('partition', 'add', topic, '--to', '3')['partitions'], 3, 'add')
    _, err = cli.run('partition', 'add', topic, '--to', '3', expect=FAILED)
    lib.check('already has 3 partition(s)' in err, 'as many: %s' % err)
    for words in (('partition', 'add', 'no-such', '--to', '2'), ('partition', 'trim', topic, '9', '--before', '1'),
                  ('config', 'describe', 'topic', 'no-such')):
        _, err = cli.run(*words, expect=FAILED)
        lib.check('there is no such topic or partition' in err and 'topic list' in err, '%r: %s' % (words, err))
    lib.equal(len(cli.json('topic', 'describe', topic)['partitions']), 3, 'partitions')


def test_topics(cli, topic):
    cli.run('topic', 'create', topic, '--partitions', '3', '--config', 'retention.ms=3600000')
    _, err = cli.run('topic', 'create', topic, expect=FAILED)
    lib.check('already exists' in err, 'create twice: %s' % err)
    cli.run('topic', 'create', topic, '--if-not-exists')
    _, err = cli.run('topic', 'create', 'a b', expect=FAILED)
    lib.check('ASCII' in err, 'a bad name: %s' % err)
    cli.run('topic', 'create', topic + '-2', '-p', '2', '-r', '1', '-c', 'retention.ms=1000', '--validate')
    names = [t['name'] for t in cli.json('topic', 'list')]
    lib.check(topic in names and topic + '-2' not in names and names == sorted(names), 'topics listed: %r' % names)
    out, _ = cli.run('topic', 'list')
    lib.check(topic in out and out.startswith('TOPIC'), 'the table of topics: %s' % out)
    described = cli.json('topic', 'describe', topic)
    lib.equal((len(described['partitions']), described['configs']), (3, {'retention.ms': '3600000'}), 'described')
    lib.check('cleanup.policy' in cli.json('topic', 'describe', topic, '--all')['configs'], 'settings with --all')
    _, err = cli.run('topic', 'describe', topic + '-2', expect=FAILED)
    lib.check('no such topic' in err, 'describe a missing topic: %s' % err)


def test_records(cli, topic):
    cli.run('produce', topic, '-K', '=', '-p', '1', '-H', 'h=x', stdin=b'a=1\nb=2\nnokey\nlast=')
    records = cli.json_lines('consume', topic)
    lib.equal([(r['partition'], r['offset'], r['key'], r['value']) for r in records],
              [(1, 0, 'a', '1'), (1, 1, 'b', '2'), (1, 2, None, 'nokey'), (1, 3, 'last', '')], 'records')
    lib.equal(records[0]['headers'], [{'name': 'h', 'value': 'x'}], 'headers')
    out, _ = cli.run('consume', topic, '--from', '-2', '-F', '%o:%k:%s:%K\\n')
    lib.equal(out, '2::nokey:-1\n3:last::4\n', 'the last two')
    out, _ = cli.run('consume', topic, '--from', '1', '-p', '1', '-n', '1')
    lib.equal(out, '2\n', 'one from offset 1')
    out, _ = cli.run('consume', topic, '--from', '2040-01-01')
    lib.equal(out, '', 'from a time in the future')
    out, _ = cli.run('consume', topic, '--from', '2020-01-01', '-K', '\\t')
    lib.equal(out.splitlines()[0], 'a\t1', 'from a time in the past')
    _, err = cli.run('consume', topic, '-p', '77', expect=FAILED)
    lib.check('no such partition' in err, 'partition 77: %s' % err)
    cli.run('produce', topic, '-p', '0', '-q', stdin=b'\xff\xfe\n')
    lib.equal(cli.json_lines('consume', topic, '-p', '0')[0]['value'], {'base64': '//4='}, 'bytes that are no UTF-8')
    ends = {p['partition']: p['end_offset'] for p in cli.json('topic', 'describe', topic)['partitions']}
    lib.equal(ends, {0: 1, 1: 4, 2: 0}, 'end offsets described')


def test_many(cli, topic):
    lines = b''.join(b'%d\n' % i for i in range(20000))
    for codec in lib.CODECS:
        summary = cli.json('produce', topic, '--codec', codec, '--idempotent', '-p', '2', stdin=lines)
        lib.equal((summary['records'], summary['acknowledged'], summary['failed']), (20000, 20000, 0), codec)
    out, _ = cli.run('consume', topic, '-p', '2')
    lib.equal(out.encode() == lines * len(lib.CODECS), True, 'five times 20,000 lines are back')


def test_cluster(cli, broker):
    cluster = cli.json('cluster')
    lib.equal([b['port'] for b in cluster['brokers']], [broker.port], 'ports of the brokers')
    out, _ = cli.run('cluster')
    lib.check(cluster['cluster_id'] in out and 'metadata.version' in out, 'cluster prints: %s' % out)
    apis = {a['name']: a for a in cli.json('api')}
    lib.equal((apis['Produce']['min'], apis['Produce']['max'], apis['Fetch']['min']), (0, 13, 4), 'versions')
    out, _ = cli.run('api')
    lib.check('ApiVersions' in out, 'api prints: %s' % out)


def test_delete(cli, topic):
    _, err = cli.run('topic', 'delete', topic, 'no-such-topic', expect=FAILED)
    lib.check('no-such-topic' in err, 'a missing one among them: %s' % err)
    cli.run('topic', 'delete', topic, '--if-exists')
    _, err = cli.run('produce', topic, stdin=b'x\n', expect=FAILED)
    lib.check('no such topic' in err, 'produce to a deleted topic: %s' % err)


def test_dump(cli, broker, topic):
    """Files of a clean stop are sound; one bit changed is found."""
    broker.stop()
    directory = os.path.join(broker.data, topic + '-2')
    logs = sorted(os.path.join(directory, n) for n in os.listdir(directory) if n.endswith('.log'))
    sums = [json.loads(line) for line in cli.run('--json', 'dump', '-q', *logs)[0].splitlines()]
    lib.equal((sum(s['records'] for s in sums), sum(s['damages'] for s in sums)), (20000 * len(lib.CODECS), 0), 'dump -q')
    rows = [json.loads(line) for line in cli.run('--json', 'dump', '-r', '-n', '3', logs[0])[0].splitlines()]
    lib.equal([r['row'] for r in rows], ['batch', 'record', 'record', 'summary'], 'rows of a dump')
    with open(logs[0], 'r+b') as f:
        f.seek(200)
        byte = f.read(1)[0]
        f.seek(200)
        f.write(bytes([byte ^ 4]))
    out, err = cli.run('dump', logs[0], expect=FAILED)
    lib.check('damage' in out and 'damaged' in err, 'dump of a damaged file: %s %s' % (out[-300:], err))
    for name, why in (('no-such.log', 'there is no such file'), ('', 'is a directory')):
        _, err = cli.run('dump', os.path.join(directory, name), expect=FAILED)
        lib.check(why in err, 'dump of %r: %s' % (name, err))
    cli.run('dump', __file__, expect=FAILED)


def test(t):
    broker, topic = t.broker(workers=3, settings={'auto.create.topics.enable': 'false'}), t.topic('millrace')
    cli = Cli(broker.bootstrap)
    cli.json_lines = lambda *words: [json.loads(line) for line in cli.run('--json', *words)[0].splitlines()]
    test_help(cli)
    test_usage(cli)
    test_meant(cli)
    test_completion(t, cli, topic + '-completion')
    test_unreachable()
    test_topics(cli, topic)
    test_configs(cli, topic + '-configs')
    test_partitions(cli, topic + '-partitions')
    test_records(cli, topic)
    test_many(cli, topic)
    test_cluster(cli, broker)
    if not lib.PEER:
        test_dump(cli, broker, topic)
        broker.start()
    test_delete(cli, topic)


lib.main(test)
