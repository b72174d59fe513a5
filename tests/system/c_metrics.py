"""/metrics is the text format, its counters move with what happens, and the number of series does not grow."""
import re
import urllib.error
import urllib.request

import lib
import wire

SERIES_MAX = 2000
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})?'
                    r' (-?(?:[0-9.]+(?:[eE][-+]?[0-9]+)?|Inf)|NaN)( [0-9]+)?')


def parse(text):
    """-> {series: value}; every line must be a comment or a sample, each family typed once and before its samples."""
    types, helps, series = {}, set(), {}
    for line in text.splitlines():
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            lib.check(name not in types, 'two TYPE lines of %s' % name)
            lib.check(kind in ('counter', 'gauge', 'histogram', 'summary', 'untyped'), 'type of %r' % line)
            types[name] = kind
        elif line.startswith('# HELP '):
            name = line.split(' ')[2]
            lib.check(name not in helps, 'two HELP lines of %s' % name)
            helps.add(name)
        elif line and not line.startswith('#'):
            m = SAMPLE.fullmatch(line)
            lib.check(m, 'not a sample: %r' % line)
            key = m.group(1) + (m.group(2) or '')
            lib.check(key not in series, 'the series %s is there twice' % key)
            series[key] = float(m.group(3))
            family = re.sub(r'_(bucket|sum|count)$', '', m.group(1))
            lib.check(m.group(1) in types or family in types, 'no TYPE before %s' % m.group(1))
    lib.check(text.endswith('\n'), 'the last line does not end')
    return series


def test_counters(broker):
    names = ('millrace_requests_total', 'millrace_produce_records_total', 'millrace_produce_batches_total',
             'millrace_produce_bytes_total', 'millrace_fetch_bytes_total', 'millrace_connections_accepted_total',
             'millrace_receive_bytes_total', 'millrace_send_bytes_total', 'millrace_append_bytes_total')
    before = {n: broker.metric(n) for n in names}
    data = wire.batch([(b'k', b'v' * 100)] * 10)
    with wire.Conn(broker.bootstrap) as c:
        for _ in range(20):
            lib.equal(wire.produce(c, 'counted', data)['error_code'], 0, 'Produce')
        wire.fetch_all(c, 'counted')
    least = {'millrace_produce_records_total': 200, 'millrace_produce_batches_total': 20,
             'millrace_produce_bytes_total': 20 * len(data), 'millrace_fetch_bytes_total': 20 * len(data),
             'millrace_append_bytes_total': 20 * len(data), 'millrace_requests_total': 22}

    def moved():
        return {n: broker.metric(n) - before[n] for n in names}
    lib.wait_until(lambda: all(m >= least.get(n, 1) for n, m in moved().items()), 5,
                   'counters move by at least %r, they moved by %r' % (least, moved()))
    lib.equal(moved()['millrace_produce_records_total'], 200.0, 'records counted')


def test_paths(broker):
    base = 'http://127.0.0.1:%d' % broker.metrics_port
    try:
        urllib.request.urlopen(base + '/no-such-path', timeout=5)
        raise lib.Failed('/no-such-path is answered with 200')
    except urllib.error.HTTPError as e:
        lib.equal(e.code, 404, 'status of /no-such-path')


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=3)
    wire.create_topic(broker.bootstrap, 'counted')
    first = parse(broker.metrics_text())
    lib.check(len(first) > 20, 'only %d series' % len(first))
    test_counters(broker)
    test_paths(broker)
    # An API's first request makes its series; from here on nothing new is asked.
    first = parse(broker.metrics_text())
    for i in range(30):
        wire.create_topic(broker.bootstrap, 'more-%d' % i, partitions=10)
    with wire.Conn(broker.bootstrap) as c:
        for i in range(30):
            wire.produce(c, 'more-%d' % i, wire.batch([(None, b'x')]), partition=i % 10)
    last = parse(broker.metrics_text())
    lib.check(len(last) < SERIES_MAX, '%d series' % len(last))
    lib.check(len(last) - len(first) < 200, '30 topics made %d series more' % (len(last) - len(first)))
    t.say('%d series, %d after 300 partitions more' % (len(first), len(last)))


if __name__ == '__main__':
    lib.main(test)
