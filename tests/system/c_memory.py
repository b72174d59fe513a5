"""The memory ledger is whole: the sum of what its lines have taken is the resident set of the process within 10 %, when
the broker is idle and when its memory is full (log pages, frames half received, many connections, fetch sessions,
10,000 partitions, idempotent producers); no line takes more than its limit; an idle partition costs at most 4 KiB.
"""
import os
import re

import lib
import wire

MIB = 1 << 20
CACHE = 64 * MIB
PARTITIONS = 10000
TOPICS = 10
CONNECTIONS = 300
HALF_FRAMES = 100
SHARE_MAX = 0.10
# How far a line may be above its limit: blocks begin and end within pages of 4 KiB.
ROUNDING = 0.25 * MIB
PARTITION_MAX = 4096


def ledger(broker):
    """-> ({line: used}, {line: limit}, bytes resident)"""
    used, limits = {}, {}
    resident = None
    for line in broker.metrics_text().splitlines():
        m = re.fullmatch(r'millrace_memory_(used|limit)_bytes\{what="(\w+)"\} (\d+)', line)
        if m:
            (used if m.group(1) == 'used' else limits)[m.group(2)] = int(m.group(3))
        elif line.startswith('millrace_memory_resident_bytes '):
            resident = int(line.split()[1])
    lib.check(used and limits and resident, 'the ledger is not in /metrics')
    return used, limits, resident


def compare(t, broker, when):
    used, limits, resident = ledger(broker)
    total = sum(used.values())
    t.say('%s: ledger %.1f MiB, resident %.1f MiB; %s' % (
        when, total / MIB, resident / MIB, ', '.join('%s %.1f' % (k, v / MIB) for k, v in used.items() if v > MIB / 2)))
    for line, bytes_used in used.items():
        limit = limits.get(line)
        lib.check(limit is None or bytes_used <= limit + ROUNDING,
                  '%s: %s has taken %d bytes, its limit is %s' % (when, line, bytes_used, limit))
    lib.check(abs(total - resident) <= SHARE_MAX * resident,
              '%s: the lines of the ledger are %d bytes, %d are resident' % (when, total, resident))
    return used


def partitions(broker):
    """-> bytes of each"""
    before = broker.rss_bytes()
    with wire.Conn(broker.bootstrap, timeout=120) as c:
        for i in range(TOPICS):
            topic = dict(name='t%d' % i, num_partitions=PARTITIONS // TOPICS, replication_factor=1, assignments=[], configs=[])
            out = c.call('CreateTopics', 7, topics=[topic], timeout_ms=60000, validate_only=False)
            lib.equal(out['topics'][0]['error_code'], 0, 'CreateTopics')
    return (broker.rss_bytes() - before) / PARTITIONS


def fill_log_pages(broker):
    """Twice the cache, by idempotent producers, to 16 partitions; then read from the beginning."""
    with wire.Conn(broker.bootstrap, timeout=120) as c:
        for i in range(2 * CACHE // MIB):
            data = wire.batch([(None, os.urandom(64 << 10) * 14)], producer_id=1000 + i, producer_epoch=0, sequence=0)
            out = wire.produce(c, 't0', data, partition=i % 16)
            lib.equal(out['error_code'], 0, 'Produce')
        for i in range(16):
            wire.fetch(c, 't0', 0, partition=i, max_bytes=8 * MIB)


def half_frames(broker, conns):
    """Each connection is in the middle of a frame of 256 KiB: what came of it stands in request pages."""
    data = wire.frame('Produce', 9, transactional_id=None, acks=-1, timeout_ms=1000, topic_data=[
        dict(name='t1', partition_data=[dict(index=0, records=wire.batch([(None, bytes(256 << 10))]))])])
    for c in conns[:HALF_FRAMES]:
        c.send(data[:-1])


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=1, settings={
        'storage.cache.bytes': CACHE, 'storage.tail.bytes': 16 * MIB, 'log.cleaner.enable': 'false',
        'storage.group.max.ms': 1})
    compare(t, broker, 'idle')
    each = partitions(broker)
    lib.check(each <= PARTITION_MAX, 'a partition that was never written costs %.0f bytes' % each)
    used = compare(t, broker, '%d partitions of %.0f bytes' % (PARTITIONS, each))
    conns = [wire.Conn(broker.bootstrap, timeout=60) for _ in range(CONNECTIONS)]
    try:
        for c in conns:
            c.call('ApiVersions', 0)
        fill_log_pages(broker)
        half_frames(broker, conns)
        lib.wait_until(lambda: ledger(broker)[0]['request_pages'] > HALF_FRAMES * (200 << 10), 60,
                       'half frames stand in request pages')
        used = compare(t, broker, 'full')
        lib.check(used['log_pages'] > 0.8 * CACHE, 'the log pages are not full: %d' % used['log_pages'])
    finally:
        for c in conns:
            c.close()
    broker.stop()
    at_start = re.search(r'^memory +([0-9.]+) MiB at most', broker.log(), re.M)
    lib.check(at_start, 'the ledger is not among the start lines')
    lib.check(sum(used[line] for line in used if line not in ('heap', 'code')) <= float(at_start.group(1)) * MIB,
              'more is taken than the start line says')


lib.main(test)
