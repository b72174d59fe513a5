#!/usr/bin/env python3
"""bench_tcp.py - our TCP beside the kernel's and beside the driver alone, on the same path in the same run.

    bench_tcp.py [--seconds S] [--only PART,...] [--out FILE.json]       (root: network namespaces, raw frames)

Parts: engine (instructions, nanoseconds, memory), goodput (af_packet against testpmd rxonly), cpu (of receiving, against
the kernel on the same veth), memif (against testpmd), latency (small requests), kafka (millrace bench).

One veth pair, MTU 1500, offloads off at both ends, so that both sides compute and verify every checksum; timestamps and
SACK on; whoever receives compares every byte. Our side is in this namespace, the peer in one of its own. Each figure is
the median of REPEATS runs, ours and theirs by turns. A part that the machine cannot do is left out with a line.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PUMP = os.path.join(ROOT, 'build/bench-tcp/pump')
NS, OURS, THEIRS = 'mrbt%d' % (os.getpid() % 10000), 'mrbt%da' % (os.getpid() % 10000), 'mrbt%db' % (os.getpid() % 10000)
OUR_IP, PEER_IP = '10.79.0.1', '10.79.0.2'
KERNEL_IP = '10.79.0.3'                      # ours, when the kernel serves
ENGINE_IP = '10.79.0.4'                      # the generator's, on our engine: no kernel has it
REPEATS, KAFKA_REPEATS = 3, 1
SEGMENT, FRAME = 1448, 1514
AF_PACKET = 'iface=%s,framecnt=1024,framesz=2048,blocksz=4096' % OURS
TICKS = os.sysconf('SC_CLK_TCK')


def run(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def inside(*words):
    return ['ip', 'netns', 'exec', NS, *words]


def say(text=''):
    print(text, flush=True)


def bench_row(name, ours, other, unit, target='', digits=2):
    say('  %-46s %12s %12s  %-10s %s' % (name, '%.*f' % (digits, ours), '-' if other is None else '%.*f' % (digits, other),
                                         unit, target))


class Path:
    """The veth pair. Owner: main."""

    def __init__(self):
        run('ip', 'netns', 'add', NS)
        run('ip', 'link', 'add', OURS, 'type', 'veth', 'peer', 'name', THEIRS)
        run('ip', 'link', 'set', THEIRS, 'netns', NS)
        run('ip', 'link', 'set', OURS, 'up')
        run(*inside('ip', 'link', 'set', 'lo', 'up'))
        run(*inside('ip', 'link', 'set', THEIRS, 'up'))
        run(*inside('ip', 'addr', 'add', PEER_IP + '/24', 'dev', THEIRS))
        off = ['tx', 'off', 'rx', 'off', 'sg', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off']
        run('ethtool', '-K', OURS, *off)
        run(*inside('ethtool', '-K', THEIRS, *off))
        run('ip', 'addr', 'add', KERNEL_IP + '/24', 'dev', OURS)

    def close(self):
        kernel_deaf(False)
        run('ip', 'netns', 'del', NS, check=False)
        run('ip', 'link', 'del', OURS, check=False)


def kernel_deaf(is_deaf):
    """Whether the kernel drops what a packet socket has seen on our interface. Otherwise it routes every frame of ours
    once more, in vain: 13 to 18 % of what receiving costs."""
    if shutil.which('nft'):
        run('nft', 'delete', 'table', 'netdev', OURS, check=False)
        if is_deaf:
            run('nft', 'add table netdev %s; add chain netdev %s in { type filter hook ingress device %s priority 0; policy '
                'drop; }' % (OURS, OURS, OURS))


def busy_s():
    """CPU seconds of the whole machine, and of the kernel's softirq threads."""
    v = [int(x) for x in open('/proc/stat', encoding='ascii').readline().split()[1:]]
    threads = 0
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            stat = open('/proc/%s/stat' % pid, encoding='ascii').read()
        except OSError:
            continue
        if '(ksoftirqd/' in stat:
            words = stat.rsplit(')', 1)[1].split()
            threads += int(words[11]) + int(words[12])
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / TICKS, threads / TICKS


def ends(server, client, seconds):
    """Both ends of one run: their results, the CPU of the machine."""
    kernel_deaf('net_af_packet0' in server)
    before = busy_s()
    a = subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    b = subprocess.Popen(client, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out_b, err_b = b.communicate(timeout=seconds + 40)
        out_a, err_a = a.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        a.kill()
        b.kill()
        raise RuntimeError('no end: %s' % ' '.join(server)) from None
    after = busy_s()
    if a.returncode or b.returncode:
        raise RuntimeError('exit %d and %d: %s' % (a.returncode, b.returncode, (err_a + err_b).strip()[-200:]))
    to, of = json.loads(out_a), json.loads(out_b)
    if to['broken'] or of['broken']:
        raise RuntimeError('a byte was not what was sent')
    machine, threads = after[0] - before[0], after[1] - before[1]
    return to, of, machine, threads


def cpu(r):
    return r['user_s'] + r['system_s']


def stream(device, devargs, ip, to, seconds):
    server = [PUMP, 'sink', device, devargs, ip, '-', str(seconds)]
    client = inside(PUMP, 'source', 'kernel', '-', '-', to, str(seconds))
    sink, source, machine, threads = ends(server, client, seconds)
    gb = sink['bytes'] / 1e9
    return {'gbit': sink['bytes'] * 8 / sink['wall_s'] / 1e9, 'receiver': cpu(sink) / gb,
            'rest': (cpu(sink) + threads) / gb, 'sender': cpu(source) / gb, 'machine': machine / gb,
            'busy': sink['busy_s'] / gb, 'retransmits': source['retransmits'], 'gb': gb}


class Testpmd:
    """testpmd on one port, told by its prompt. Owner: main."""

    def __init__(self, vdev, forward, *more):
        words = ['stdbuf', '-oL', 'dpdk-testpmd', '--no-huge', '-m', '512', '--no-pci', '--no-telemetry', '--file-prefix=mrbt%d%s' %
                 (os.getpid(), forward), '--lcores', '0@(0-%d),1@(0-%d)' % (os.cpu_count() - 1, os.cpu_count() - 1),
                 '--vdev=' + vdev, '--', '-i', '--forward-mode=' + forward, '--total-num-mbufs=16384', *more]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        self.tell('set record-core-cycles on')
        self.tell('start')
        for line in self.process.stdout:  # on a busy machine it takes seconds to start
            if 'packet forwarding - ports=' in line:
                self.began = (time.monotonic(), self.cpu_s())
                return
        raise RuntimeError('dpdk-testpmd did not start')

    def cpu_s(self):
        words = open('/proc/%d/stat' % self.process.pid, encoding='ascii').read().rsplit(')', 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def tell(self, line):
        try:
            self.process.stdin.write(line + '\n')
            self.process.stdin.flush()
        except OSError:
            text = self.process.stdout.read().strip()
            raise RuntimeError('dpdk-testpmd has ended: ' + text[-200:]) from None

    def close(self):
        """Packets, and CPU seconds of the turns that had some: cycles pass also while another process has the core, so they
        only say which share of its CPU that was."""
        took, used = time.monotonic() - self.began[0], self.cpu_s() - self.began[1]
        self.tell('show fwd stats all')
        self.tell('stop')
        self.tell('quit')
        text = self.process.communicate(timeout=30)[0]
        packets = re.findall(r'RX-packets: (\d+)', text)
        cycles = re.search(r'CPU cycles/packet=([\d.]+).*?at (\d+) MHz', text)
        n = int(packets[0]) if packets else 0
        if cycles is None:
            return n, None
        share = n * float(cycles.group(1)) / (float(cycles.group(2)) * 1e6) / took
        return n, used * min(share, 1)


def raw_run(seconds):
    """The sender of raw frames, to nobody: CPU seconds per GB of segments."""
    kernel_deaf(True)
    out = run(*inside(PUMP, 'raw', 'kernel', THEIRS, '-', '-', str(seconds)))
    source = json.loads(out[out.index('{'):])
    return {'sender': cpu(source) / (source['segments'] * SEGMENT / 1e9)}


def driver_run(seconds):
    """testpmd rxonly under raw frames: frames a second, CPU seconds per GB of segments: of its turns with packets, and of
    the sender, in whose system calls the kernel copies frames into the ring."""
    kernel_deaf(True)
    t = Testpmd('net_af_packet0,' + AF_PACKET, 'rxonly')
    before = busy_s()
    out = run(*inside(PUMP, 'raw', 'kernel', THEIRS, '-', '-', str(seconds)))
    machine, _ = busy_s()[0] - before[0], 0
    packets, busy = t.close()
    source = json.loads(out[out.index('{'):])
    gb = packets * SEGMENT / 1e9
    offered_gb = source['segments'] * SEGMENT / 1e9
    return {'gbit': packets * SEGMENT * 8 / source['wall_s'] / 1e9, 'sender': cpu(source) / offered_gb,
            'busy': busy / gb if busy and gb else 0, 'machine': machine / gb if gb else 0,
            'offered': offered_gb * 8 / source['wall_s']}


def mid(rows, key):
    return statistics.median(r[key] for r in rows)


def part_engine(_):
    say('engine alone (no port, no copy of payload; per segment of 1448 bytes; instructions by callgrind)')
    out = run(sys.executable, os.path.join(ROOT, 'tools/budget.py'), os.path.join(ROOT, 'tests/budgets/net.txt'),
              os.path.join(ROOT, 'build/bench-micro/bench_net'), check=False)
    found = {m[0]: int(m[1]) for m in re.findall(r'budget: (\w+)\s+(\d+) instructions', out)}
    for name, per, target, text in (('receive_burst_16', 16, 350, 'received'), ('send_burst_16', 16, 250, 'sent'),
                                    ('open_close', 1, 6000, 'connection opened and closed'),
                                    ('receive_burst_16_sum', 16, None, 'received, checksum in software'),
                                    ('send_burst_16_sum', 16, None, 'sent, checksum in software')):
        if name in found:
            bench_row(text, found[name] / per, None, 'instr', 'target <= %d' % target if target else '', 0)
    for line in run(os.path.join(ROOT, 'build/bench-micro/bench_net_scale')).splitlines():
        say('  ' + line.strip())
        each = re.search(r'^ *100000 connections:.* (\d+) bytes each', line)
        if each:
            bench_row('memory of each of 100,000 connections', int(each.group(1)), None, 'bytes', 'target <= 4096', 0)


def part_goodput(seconds):
    say('goodput over af_packet, kernel sender                 ours      testpmd rxonly of raw frames')
    ours, driver = [], []
    for _ in range(REPEATS):
        ours.append(stream('net_af_packet0', AF_PACKET, OUR_IP, OUR_IP, seconds))
        driver.append(driver_run(seconds))
    a, b = mid(ours, 'gbit'), mid(driver, 'gbit')
    bench_row('goodput', a, b, 'Gbit/s', '%.2f of it, target >= 0.85' % (a / b if b else 0))
    bench_row('offered by the sender of raw frames', mid(driver, 'offered'), None, 'Gbit/s')
    bench_row('segments the kernel sent again', mid(ours, 'retransmits'), None, '', '', 0)


def part_cpu(seconds):
    say('receiving, CPU seconds per GB                       ours       kernel')
    ours, kernel, driver, raw = [], [], [], []
    for _ in range(REPEATS):
        ours.append(stream('net_af_packet0', AF_PACKET, OUR_IP, OUR_IP, seconds))
        kernel.append(stream('kernel', '-', '-', KERNEL_IP, seconds))
        driver.append(driver_run(min(seconds, 2)))
        raw.append(raw_run(min(seconds, 2)))
    bench_row('goodput', mid(ours, 'gbit'), mid(kernel, 'gbit'), 'Gbit/s')
    bench_row('whole machine', mid(ours, 'machine'), mid(kernel, 'machine'), 'CPU-s/GB')
    bench_row('  of it the sender', mid(ours, 'sender'), mid(kernel, 'sender'), 'CPU-s/GB')
    bench_row('  of it the receiver and softirq threads', mid(ours, 'rest'), mid(kernel, 'rest'), 'CPU-s/GB')
    a = mid(ours, 'machine') - mid(ours, 'sender')
    b = mid(kernel, 'machine') - mid(kernel, 'sender')
    tap = max(mid(driver, 'sender') - mid(raw, 'sender'), 0)
    d = mid(driver, 'busy') + tap
    bench_row('whole machine less the sender', a, b, 'CPU-s/GB')
    bench_row('testpmd rxonly, turns with packets', mid(driver, 'busy'), None, 'CPU-s/GB')
    bench_row("testpmd rxonly, its ring in the sender's calls", tap, None, 'CPU-s/GB')
    bench_row('machine less the sender, less testpmd', a - d, b, 'CPU-s/GB', 'target ours <= kernel')
    bench_row('our receiver, turns with packets', mid(ours, 'busy'), None, 's/GB')


def memif(role, directory):
    return 'role=%s,socket=%s/memif.sock,socket-abstract=no,bsize=2048,rsize=12' % (role, directory)


def memif_driver(directory, seconds):
    rx = Testpmd('net_memif0,' + memif('server', directory), 'rxonly')
    time.sleep(2)
    tx = Testpmd('net_memif0,' + memif('client', directory), 'txonly', '--txpkts=%d' % FRAME)
    time.sleep(seconds + 2)
    begin = time.time()
    rx.tell('clear fwd stats all')
    time.sleep(seconds)
    took = time.time() - begin
    packets, _ = rx.close()
    tx.close()
    return packets * SEGMENT * 8 / took / 1e9


def part_memif(seconds):
    say('goodput over memif, our engine at both ends         ours      testpmd txonly to rxonly')
    ours, driver = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(prefix='mrbt-') as directory:
            server = [PUMP, 'sink', 'net_memif0', memif('server', directory), OUR_IP, '-', str(seconds)]
            client = [PUMP, 'source', 'net_memif0', memif('client', directory), PEER_IP, OUR_IP, str(seconds)]
            sink, source, _, _ = ends(server, client, seconds)
            gb = sink['bytes'] / 1e9
            ours.append({'gbit': gb * 8 / sink['wall_s'], 'again': source['retransmits'], 'in': cpu(sink) / gb,
                         'out': cpu(source) / gb})
        with tempfile.TemporaryDirectory(prefix='mrbt-') as directory:
            driver.append(memif_driver(directory, seconds))
    a, b = mid(ours, 'gbit'), statistics.median(driver)
    bench_row('goodput', a, b, 'Gbit/s', '%.2f of it, target >= 0.6' % (a / b if b else 0))
    bench_row('receiver, bytes compared', mid(ours, 'in'), None, 'CPU-s/GB')
    bench_row('sender', mid(ours, 'out'), None, 'CPU-s/GB')
    bench_row('segments sent again', mid(ours, 'again'), None, '', '', 0)


def part_latency(seconds):
    say('requests of 100 bytes, one at a time, round trip    ours       kernel')
    ours, kernel = [], []
    for _ in range(REPEATS):
        for to, device, args, ip, at in ((ours, 'net_af_packet0', AF_PACKET, OUR_IP, OUR_IP),
                                         (kernel, 'kernel', '-', '-', KERNEL_IP)):
            server = [PUMP, 'echo', device, args, ip, '-', str(seconds)]
            client = inside(PUMP, 'ping', 'kernel', '-', '-', at, str(seconds))
            to.append(ends(server, client, seconds)[1])
    bench_row('p50', mid(ours, 'p50_us'), mid(kernel, 'p50_us'), 'us')
    bench_row('p99', mid(ours, 'p99_us'), mid(kernel, 'p99_us'), 'us')


# Who serves, and who asks: a device and its arguments of each end; None is kernel sockets.
ENDS = {'kernel sockets': (None, None), 'af_packet, kernel asks': ('net_af_packet0', None),
        'af_packet, both ours': ('net_af_packet0', 'net_af_packet0'), 'memif, both ours': ('net_memif0', 'net_memif0')}
WORKLOADS = (('produce, batches of 64 KiB', ['--record-size', '1024', '--batch-size', '65536', '--producers', '2',
                                             '--partitions', '4']),
             ('produce and fetch', ['--record-size', '1024', '--batch-size', '65536', '--producers', '1', '--consumers',
                                    '2', '--partitions', '4']),
             ('small requests, one at a time', ['--record-size', '100', '--batch-size', '1', '--window', '1']))


def devargs(device, role, directory):
    if device == 'net_memif0':
        return memif(role, directory)
    return AF_PACKET if role == 'server' else AF_PACKET.replace(OURS, THEIRS)


def broker_run(serves, asks, workload, seconds, port=20890):
    """One workload against a broker of its own."""
    kernel_deaf(serves == 'net_af_packet0')
    ip = OUR_IP if serves else KERNEL_IP
    with tempfile.TemporaryDirectory(prefix='mrbt-') as directory:
        settings = {'listeners': 'PLAINTEXT://%s:%d' % (ip, port), 'log.dirs': directory + '/data',
                    'storage.durability': 'relaxed', 'admin.listeners': '127.0.0.1:%d' % (port + 1),
                    'dataplane.workers': 1}
        if serves:
            settings.update({'dpdk.ports': serves, 'dpdk.devargs': devargs(serves, 'server', directory),
                             'dpdk.port.0.address': ip + '/24'})
        words = [os.path.join(ROOT, 'build/millraced')]
        for key, value in settings.items():
            words += ['--override', '%s=%s' % (key, value)]
        log = open(directory + '/log', 'w', encoding='utf-8')
        broker = subprocess.Popen(words, stdout=log, stderr=log)
        more = list(workload)
        if asks:
            more += ['--dpdk-devargs', asks + ',' + devargs(asks, 'client', directory), '--address', ENGINE_IP + '/24']
        try:
            broker_wait(log.name, broker)
            return bench_figures(bench_json(ip, port, seconds, *more, '--broker-pid', str(broker.pid)))
        finally:
            broker.terminate()
            broker.wait(30)
            log.close()


def broker_wait(path, broker):
    for _ in range(300):
        text = open(path, encoding='utf-8').read()
        if '\nready' in text:
            return
        if broker.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError('the broker did not start: ' + text[-300:])


def bench_json(ip, port, seconds, *more):
    with tempfile.NamedTemporaryFile(suffix='.json') as out:
        done = subprocess.run(inside(os.path.join(ROOT, 'build/millrace'), 'bench', '--bootstrap-server',
                                     '%s:%d' % (ip, port), '--duration', str(seconds), '--warmup', '1', '--quiet',
                                     '--json', out.name, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds + 60, check=False)
        if done.returncode not in (0, 3):
            raise RuntimeError(done.stdout.strip()[-200:])
        return json.load(open(out.name, encoding='utf-8'))


def part_kafka(seconds):
    say('millrace bench, durability relaxed')
    for name, workload in WORKLOADS:
        say('  %-26s %9s %9s %9s %9s %9s   CPU-s/GB: broker, generator' % (name, 'MB/s', 'req/s', 'fetched', 'p50 us', 'p99 us'))
        runs = {ends_name: [] for ends_name in ENDS}
        for _ in range(KAFKA_REPEATS):
            for ends_name, (serves, asks) in ENDS.items():
                runs[ends_name].append(broker_run(serves, asks, workload, min(seconds, 2)))
        for ends_name, rows in runs.items():
            say('    %-24s %9.1f %9.0f %9.1f %9.0f %9.0f   %5.2f %5.2f'
                % (ends_name, *(mid(rows, key) for key in ('mb', 'requests', 'fetch', 'p50', 'p99', 'broker', 'client'))))


def bench_figures(j):
    r = j['results'][0]
    gb = max(r['mb_per_s'] * r['seconds'] / 1e3, 1e-9)
    return {'mb': r['mb_per_s'], 'requests': r['requests_per_s'], 'fetch': r['consumed_bytes'] / r['seconds'] / 1e6,
            'p50': r['produce_ms']['p50'] * 1000, 'p99': r['produce_ms']['p99'] * 1000,
            'broker': r['broker_cpu_s'] / gb, 'client': r['client_cpu_s'] / gb}


PARTS = {'engine': part_engine, 'goodput': part_goodput, 'cpu': part_cpu, 'memif': part_memif, 'latency': part_latency,
         'kafka': part_kafka}


def machine_line():
    model = re.search(r'model name\s*: (.*)', open('/proc/cpuinfo', encoding='utf-8').read())
    return '%s, %d cores, Linux %s, load %.1f' % (model.group(1) if model else '?', os.cpu_count(), os.uname().release,
                                                  os.getloadavg()[0])


def main():
    global REPEATS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=3)
    parser.add_argument('--repeats', type=int, default=REPEATS)
    parser.add_argument('--only', default=','.join(PARTS))
    args = parser.parse_args()
    REPEATS = args.repeats
    names = [n for n in args.only.split(',') if n in PARTS]
    if not shutil.which('dpdk-testpmd') and set(names) & {'goodput', 'cpu', 'memif'}:
        say('bench-tcp: goodput, cpu and memif need dpdk-testpmd (tools/setup installs dpdk-dev): left out')
        names = [n for n in names if n not in ('goodput', 'cpu', 'memif')]
    if names != ['engine'] and (os.geteuid() != 0 or not shutil.which('ethtool')):
        say('bench-tcp: everything but "engine" needs root and ethtool; the engine alone:')
        names = ['engine']
    say('bench-tcp: ' + machine_line())
    if os.getloadavg()[0] > 0.5:
        say('bench-tcp: the machine is busy with something else: these figures are not to be quoted')
    path = Path() if names != ['engine'] else None
    failed = 0
    try:
        for name in names:
            try:
                PARTS[name](args.seconds)
            except (OSError, RuntimeError, KeyError, subprocess.SubprocessError) as error:
                failed += 1
                say('  left out: %s: %s' % (name, error))
    finally:
        if path:
            path.close()
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
