"""kcat produces and consumes with every codec, byte for byte, with 1 and with 3 workers; offsets and seeks; -Q."""
import lib
import transfer
import wire


def test_codecs(t, workers):
    broker = t.broker(workers=workers)
    path = t.path('in-%d' % workers)
    with open(path, 'wb') as f:
        f.write(transfer.lines(8000, seed=workers))
    for codec in lib.CODECS:
        transfer.round_trip(t, broker, codec, path)
    t.say('%d workers: %d codecs byte-exact' % (workers, len(lib.CODECS)))
    return broker


def test_positions(t, broker):
    topic = t.topic('positions')
    wire.create_topic(broker.bootstrap, topic)
    data = b''.join(b'%d\n' % i for i in range(1000))
    lib.run('kcat', '-b', broker.bootstrap, '-P', '-t', topic, '-p', '0', '-X', 'batch.num.messages=37', stdin=data)
    for options, first, n in ((('-o', '990'), 990, 10), (('-o', '-5'), 995, 5), (('-o', '123', '-c', '3'), 123, 3)):
        _, out, _ = lib.run('kcat', '-b', broker.bootstrap, '-C', '-t', topic, '-p', '0', '-e', '-q', *options)
        lib.equal(out.split(), [b'%d' % i for i in range(first, first + n)], 'kcat -C %s' % ' '.join(options))
    _, out, _ = lib.run('kcat', '-b', broker.bootstrap, '-Q', '-t', '%s:0:-1' % topic)
    lib.check(b'offset 1000' in out, 'kcat -Q latest prints %r' % out)
    _, out, _ = lib.run('kcat', '-b', broker.bootstrap, '-Q', '-t', '%s:0:-2' % topic)
    lib.check(b'offset 0' in out, 'kcat -Q earliest prints %r' % out)


def test_partitions(t, broker):
    """Keys spread over 12 partitions; all of them come back, each key on one partition."""
    topic = t.topic('spread')
    wire.create_topic(broker.bootstrap, topic, partitions=12)
    data = transfer.lines(3000, seed=99)
    lib.run('kcat', '-b', broker.bootstrap, '-P', '-t', topic, '-K', '\t', stdin=data)
    _, out, _ = lib.run('kcat', '-b', broker.bootstrap, '-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-K', '\t')
    lib.equal(sorted(out.splitlines()), sorted(data.splitlines()), 'lines over 12 partitions')


def test(t):
    lib.need('kcat')
    broker = test_codecs(t, 1)
    if not lib.PEER:
        broker.stop()
        broker = test_codecs(t, 3)
    test_positions(t, broker)
    test_partitions(t, broker)


lib.main(test)
