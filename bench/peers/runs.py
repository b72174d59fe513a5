"""runs.py - runs of the generator, what they cost, and tables of them; for bench_kafka.py and scorecard.py."""
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import brokers

MILLRACE = os.path.join(brokers.ROOT, 'build', 'millrace')
INCOMPLETE = 3  # the generator's exit status: a result, but behind the rate, or with errors or answers missing
FREE_BYTES_MIN = 15 << 30
_topics = itertools.count()  # a topic that is being deleted must not be met by the next run


class Failed(Exception):
    """A run without a result; the text says which and why."""


def run_load(broker, options, rate=None, seconds=10.0, warmup=2.0, cpu=None, topic=None):
    """One run of the generator against a broker -> the JSON of its last step. rate None: as fast as possible."""
    with tempfile.NamedTemporaryFile(suffix='.json') as out:
        command = [MILLRACE, 'bench', '--json', out.name, '--quiet', '--duration', '%g' % seconds, '--warmup',
                   '%g' % warmup, '--rate', 'max' if rate is None else '%g' % rate] + options
        if broker is not None:
            command += ['--bootstrap-server', '127.0.0.1:%d' % broker.port, '--broker-pid', str(broker.pid)]
        if cpu is not None:
            command += ['--cpu', cpu]
        if topic is not None:
            command += ['--topic', topic, '--keep-topic']
        else:
            command += ['--topic', 'bench-%d' % next(_topics)]
        name = broker.name if broker is not None else 'its null server'
        try:
            p = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               timeout=seconds + warmup + 180)
        except subprocess.TimeoutExpired:
            raise Failed('%s against %s did not end' % (' '.join(command[1:]), name))
        if p.returncode not in (0, INCOMPLETE):
            log = '\nthe end of its log:\n' + broker.log_end() if broker is not None else ''
            raise Failed('`%s` against %s: %s%s' % (' '.join(command[1:]), name,
                                                    p.stderr.decode(errors='replace').strip()[-600:], log))
        data = json.load(open(out.name))
        return dict(data['results'][-1], host=data['host'])


MANY, PRIME_S = 1000, 90  # partitions, seconds at most for each MANY of them


def prime(broker, options, partitions, cpu, topic):
    """Every partition gets records: a run has asked twice as often as there are partitions."""
    begin, n = time.time(), 0
    while n < 2 * partitions and time.time() - begin < PRIME_S * partitions / MANY:
        n = run_load(broker, options, None, 5, 0.5, cpu, topic)['requests']
    say('%s has %s records in all %d partitions after %.0f s' % (
        broker.name, 'its first' if n >= 2 * partitions else 'NOT YET', partitions, time.time() - begin))


def settle(directory):
    """What the last run left to be written is written before the next one is measured."""
    free = shutil.disk_usage(directory).free
    if free < FREE_BYTES_MIN:
        raise Failed('only %.1f GB are free at %s; the runs need up to %d GB' % (
            free / 1e9, directory, FREE_BYTES_MIN >> 30))
    os.sync()
    time.sleep(0.5)


def forget(paths):
    """Out of the kernel's page cache with them; they are written out first."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def cpu_of(pid):
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def rss_of(pid):
    with open('/proc/%d/status' % pid) as f:
        return next((int(line.split()[1]) << 10 for line in f if line.startswith('VmRSS')), 0)


def median(values):
    v = sorted(values)
    return v[len(v) // 2] if len(v) % 2 else (v[len(v) // 2 - 1] + v[len(v) // 2]) / 2


def spread(values):
    """(greatest - least) / median, in percent."""
    return 100 * (max(values) - min(values)) / max(abs(median(values)), 1e-12)


def short(value):
    """Three digits, whatever the size."""
    if value == 0:
        return '0'
    if abs(value) >= 1000:
        return '{:,.0f}'.format(value)
    return '%.*f' % (0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3, value)


def host():
    def line(path, begins):
        with open(path) as f:
            return next((x.split(':', 1)[1].strip() for x in f if x.startswith(begins)), '')
    commit = subprocess.run(['git', '-C', brokers.ROOT, 'describe', '--always', '--dirty'], capture_output=True,
                            text=True).stdout.strip()
    return {'cpu': line('/proc/cpuinfo', 'model name'), 'cores': os.cpu_count(), 'kernel': os.uname().release,
            'memory_gib': round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30)),
            'file_system': file_system(brokers.ROOT), 'date': time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
            'commit': commit or 'unknown', 'load_before': os.getloadavg()[0]}


def file_system(path):
    found = ('', 'unknown')
    with open('/proc/mounts') as f:
        for line in f:
            _, at, kind = line.split()[:3]
            if os.path.realpath(path).startswith(at) and len(at) >= len(found[0]):
                found = (at, kind)
    return found[1]


def host_text(h):
    return '%s, %d cores, %d GiB, Linux %s, %s; commit %s, %s, load before %.2f' % (
        h['cpu'], h['cores'], h['memory_gib'], h['kernel'], h['file_system'], h['commit'], h['date'],
        h['load_before'])


def say(text=''):
    print(text)
    sys.stdout.flush()
