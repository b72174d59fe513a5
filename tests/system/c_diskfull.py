"""A full disk is a state that ends by itself: clients are refused with a reason, reads and other requests go on, nothing
acknowledged is lost, and appends are taken again when there is space, without a restart.

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


def full(t, broker, disk):
    """No reserve: the file system itself says no."""
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
        broker.stop()
        broker.settings['storage.min.free.bytes'] = 0
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
