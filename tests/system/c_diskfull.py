"""A full disk is a state that ends by itself: clients are refused with a reason, reads and other requests go on, nothing
acknowledged is lost, and appends are taken again when there is space, without a restart. With not a byte left the reserve
file is given up: offsets are committed, topics made, and a stop is clean.

The data directory is a file system of its own: tmpfs, and ext4 on a loop device where the machine has that. The image
behind the loop device lies in memory, so that what is tested does not depend on the machine's disk. Mounting needs root:
without it the test is skipped.
"""
import os
import subprocess
import time

import lib
import wire

MIB = 1 << 20
SIZE = 64 * MIB
STORAGE_ERROR = 56
REQUEST_TIMED_OUT = 7  # that was taken before the disk was full: it still waits for space
VALUE = b'v' * 50000


class Mounted:
    """A small file system at broker.data; unmounted by close()."""

    def __init__(self, t, path, kind):
        self.path, self.ballast = path, os.path.join(path, 'ballast')
        self.below = t.path('below-%s' % kind)
        os.makedirs(path)
        if kind == 'tmpfs':
            self.mount(['-t', 'tmpfs', '-o', 'size=%d' % SIZE, 'millrace-test', path])
            return
        os.makedirs(self.below)
        self.mount(['-t', 'tmpfs', '-o', 'size=%d' % (2 * SIZE), 'millrace-test', self.below])
        try:
            image = os.path.join(self.below, 'image')
            with open(image, 'wb') as f:
                f.truncate(SIZE)
            subprocess.run(['mkfs.ext4', '-q', '-F', image], check=True, capture_output=True)
            self.mount(['-o', 'loop', image, path])
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    @staticmethod
    def mount(arguments):
        done = subprocess.run(['mount'] + arguments, capture_output=True)
        if done.returncode != 0:
            raise OSError('mount: %s' % done.stderr.decode('utf-8', 'replace').strip())

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, left):
        """Leaves about `left` bytes."""
        with open(self.ballast, 'ab') as f:
            try:
                while self.free() > left:
                    f.write(bytes(min(MIB, max(4096, self.free() - left))))
                    f.flush()
                    os.fsync(f.fileno())
            except OSError:
                pass

    def give_back(self):
        os.unlink(self.ballast)

    def close(self):
        for path in (self.path, self.below):
            subprocess.run(['umount', '-l', path], capture_output=True)


class Log:
    """What was acknowledged: [(offset, value)] of partition 0."""

    def __init__(self, broker, topic):
        self.broker, self.topic, self.acknowledged, self.n = broker, topic, [], 0

    def append(self, timeout=30.0):
        """-> (error code, message); (REQUEST_TIMED_OUT or None, '') when there was no answer in time."""
        self.n += 1
        value = b'%d ' % self.n + VALUE
        try:
            with wire.Conn(self.broker.bootstrap, timeout=timeout + 10) as c:
                out = wire.produce(c, self.topic, wire.batch([(None, value)]), timeout_ms=int(timeout * 1000))
        except OSError:
            return None, ''
        if out['error_code'] == 0:
            self.acknowledged.append((out['base_offset'], value))
        return out['error_code'], out.get('error_message') or ''

    def append_until_refused(self):
        for _ in range(4 * SIZE // len(VALUE)):
            code, message = self.append(timeout=3.0)
            if code not in (0, REQUEST_TIMED_OUT, None):
                return code, message
        raise lib.Failed('%d MiB were taken on a disk of %d' % (4 * SIZE // MIB, SIZE // MIB))

    def append_until_taken(self, limit_s=30.0):
        began = time.monotonic()
        while self.append()[0] != 0:
            lib.check(time.monotonic() - began < limit_s, 'appends are not taken %.0f s after space came' % limit_s)
            time.sleep(0.1)
        return time.monotonic() - began

    def compare(self):
        with wire.Conn(self.broker.bootstrap) as c:
            got = {o: v for o, _, v in wire.fetch_all(c, self.topic)}
        for offset, value in self.acknowledged:
            lib.check(got.get(offset) == value, 'the record acknowledged at offset %d is not there' % offset)
        return len(got)


def reserve(t, broker, disk):
    """Less than storage.min.free.bytes: refused before the disk is full."""
    log = Log(broker, 'reserve')
    wire.create_topic(broker.bootstrap, 'reserve')
    lib.equal(log.append()[0], 0, 'the first append')
    disk.fill(10 * MIB)
    code, message = log.append_until_refused()
    lib.equal(code, STORAGE_ERROR, 'error of an append without the reserve')
    lib.check('storage.min.free.bytes' in message, 'the reason does not say what to do: %r' % message)
    lib.check(disk.free() > MIB, 'only %d bytes of the reserve were left' % disk.free())
    lib.wait_until(lambda: broker.metric('millrace_disk_low') > 0, 30, 'millrace_disk_low is 1')
    wire.create_topic(broker.bootstrap, 'made-meanwhile')
    log.compare()
    disk.give_back()
    t.say('reserve: refused with %d bytes free, taken again %.1f s after space came' %
          (disk.free(), log.append_until_taken()))
    lib.wait_until(lambda: broker.metric('millrace_disk_low') == 0, 30, 'millrace_disk_low is 0 again')
    lib.wait_until(lambda: 'has space again' in broker.log(), 30, 'a log line when the space is back')
    return log


def reserve_file(t, broker, disk):
    """Somebody else takes the disk to its last byte: what is ours is still written, from the room of the reserve file."""
    path = os.path.join(broker.data, 'millrace.reserve')
    held = os.stat(path).st_blocks * 512
    lib.check(held >= MIB, 'the reserve file holds %d bytes' % held)
    lib.equal(broker.metric('millrace_log_directory_reserve_bytes'), held, 'the metric of the reserve')
    log = Log(broker, 'last-byte')
    wire.create_topic(broker.bootstrap, 'last-byte')
    lib.equal(log.append()[0], 0, 'the first append')
    disk.fill(0)
    lib.wait_until(lambda: not os.path.exists(path), 30, 'the reserve file is given up')
    lib.wait_until(lambda: broker.metric('millrace_log_directory_reserve_bytes') == 0, 30, 'the metric says so')
    lib.wait_until(lambda: 'was given up' in broker.log(), 30, 'a log line of it')
    code, message = log.append_until_refused()
    lib.equal(code, STORAGE_ERROR, 'error of an append beside a reserve that is given up')
    lib.check('storage.reserve.bytes' in message and 'Free some space' in message, 'the reason: %r' % message)
    # What must go on does: offsets, metadata, reads.
    for n in range(20):
        commit(broker, 'last-byte', n)
    wire.create_topic(broker.bootstrap, 'made-on-a-full-disk')
    log.compare()
    lib.check(log.append(timeout=3.0)[0] == STORAGE_ERROR, 'a client got room of the reserve')
    # So does a stop, which is clean; and the next start on the full disk.
    broker.stop()
    lib.check(os.path.exists(os.path.join(broker.data, '.kafka_cleanshutdown')), 'the stop on a full disk was not clean')
    broker.start()
    lib.equal(committed(broker, 'last-byte'), 19, 'the offset committed on the full disk')
    log.compare()
    commit(broker, 'last-byte', 20)
    disk.give_back()
    t.say('reserve file: given up with %d MiB, taken again %.1f s after space came' %
          (held // MIB, log.append_until_taken()))
    lib.wait_until(lambda: os.path.exists(path) and os.stat(path).st_blocks * 512 >= held, 60, 'the reserve file is back')
    lib.wait_until(lambda: broker.metric('millrace_disk_low') == 0, 30, 'millrace_disk_low is 0 again')
    return log


def commit(broker, group, offset):
    with wire.Conn(broker.bootstrap, timeout=40) as c:
        end = time.monotonic() + 40
        while True:
            c.call('FindCoordinator', 3, key=group, key_type=0)  # makes __consumer_offsets, as clients do
            out = c.call('OffsetCommit', 8, group_id=group, generation_id_or_member_epoch=-1, member_id='', group_instance_id=None,
                         topics=[dict(name='last-byte', partitions=[dict(
                             partition_index=0, committed_offset=offset, committed_leader_epoch=-1, committed_metadata='')])])
            code = out['topics'][0]['partitions'][0]['error_code']
            if code not in (14, 15, 16) or time.monotonic() > end:  # the coordinator is being found, or loads
                break
            time.sleep(0.1)
    lib.equal(code, 0, 'OffsetCommit on a full disk')


def committed(broker, group):
    with wire.Conn(broker.bootstrap, timeout=40) as c:
        end = time.monotonic() + 40
        while True:
            out = c.call('OffsetFetch', 7, group_id=group, require_stable=False,
                         topics=[dict(name='last-byte', partition_indexes=[0])])
            if out['error_code'] not in (14, 15, 16) or time.monotonic() > end:
                return out['topics'][0]['partitions'][0]['committed_offset']
            time.sleep(0.1)


def full(t, broker, disk):
    """Neither min.free nor a reserve: the file system itself says no."""
    log = Log(broker, 'full')
    wire.create_topic(broker.bootstrap, 'full')
    lib.equal(log.append()[0], 0, 'the first append')
    disk.fill(2 * MIB)
    code, message = log.append_until_refused()
    lib.equal(code, STORAGE_ERROR, 'error of an append on a full disk')
    lib.check('full' in message and 'Free some space' in message, 'the reason does not say what to do: %r' % message)
    lib.wait_until(lambda: broker.metric('millrace_logs_full') > 0, 30, 'millrace_logs_full is 1')
    lib.equal(broker.metric('millrace_logs_failed'), 0, 'millrace_logs_failed')
    lib.wait_until(lambda: 'disk of log.dirs is full' in broker.log(), 30, 'a log line of the full disk')
    log.compare()
    disk.give_back()
    t.say('full: %d acknowledged; taken again %.1f s after space came' %
          (len(log.acknowledged), log.append_until_taken()))
    lib.wait_until(lambda: broker.metric('millrace_logs_full') == 0, 30, 'millrace_logs_full is 0 again')
    return log


def one_disk(t, kind):
    settings = {'storage.min.free.bytes': 8 * MIB, 'log.segment.bytes': MIB, 'offsets.topic.num.partitions': 1}
    broker = t.broker(workers=1, settings=settings, start=False)
    try:
        disk = Mounted(t, broker.data, kind)
    except OSError as e:
        t.say(str(e))
        return False
    try:
        broker.start()
        logs = [reserve(t, broker, disk)]
        if kind != 'tmpfs':  # there room is memory, and none is set aside
            logs.append(reserve_file(t, broker, disk))
        broker.stop()
        broker.settings['storage.min.free.bytes'] = 0
        broker.settings['storage.reserve.bytes'] = 0
        broker.start()
        logs.append(full(t, broker, disk))
        broker.kill()
        broker.start()
        for log in logs:
            log.compare()
        broker.stop()
        t.say('%s: everything acknowledged is there after kill -9' % kind)
    finally:
        broker.cleanup()
        disk.close()
    return True


def test(t):
    lib.own_broker_only()
    if os.geteuid() != 0:
        lib.skip('mounting a small file system needs root')
    done = [one_disk(t, kind) for kind in ('tmpfs', 'ext4')]
    if not any(done):
        lib.skip('no file system could be mounted')


lib.main(test)
