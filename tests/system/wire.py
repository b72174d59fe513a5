"""wire.py - a small Kafka client of our own for the system tests: messages by messages.txt, record batches, raw frames.

What it is for: saying exactly the bytes a test wants to say, right or wrong, and reading what comes back. It knows
nothing of the broker's own codec (see messages.txt) and uses nothing but the standard library.
"""
import os
import random
import socket
import struct
import time

import pace

HERE = os.path.dirname(os.path.abspath(__file__))

ERRORS = {
    -1: 'UNKNOWN_SERVER_ERROR', 0: 'NONE', 1: 'OFFSET_OUT_OF_RANGE', 2: 'CORRUPT_MESSAGE',
    3: 'UNKNOWN_TOPIC_OR_PARTITION', 6: 'NOT_LEADER_OR_FOLLOWER', 10: 'MESSAGE_TOO_LARGE',
    14: 'COORDINATOR_LOAD_IN_PROGRESS', 15: 'COORDINATOR_NOT_AVAILABLE', 17: 'INVALID_TOPIC_EXCEPTION',
    21: 'INVALID_REQUIRED_ACKS', 32: 'INVALID_TIMESTAMP', 35: 'UNSUPPORTED_VERSION', 36: 'TOPIC_ALREADY_EXISTS',
    37: 'INVALID_PARTITIONS', 38: 'INVALID_REPLICATION_FACTOR', 39: 'INVALID_REPLICA_ASSIGNMENT',
    40: 'INVALID_CONFIG', 42: 'INVALID_REQUEST', 44: 'POLICY_VIOLATION', 45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
    47: 'INVALID_PRODUCER_EPOCH', 50: 'INVALID_TRANSACTION_TIMEOUT', 53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
    70: 'FETCH_SESSION_ID_NOT_FOUND', 74: 'FENCED_LEADER_EPOCH', 75: 'UNKNOWN_LEADER_EPOCH', 87: 'INVALID_RECORD',
    100: 'UNKNOWN_TOPIC_ID', 114: 'MISMATCHED_ENDPOINT_TYPE', 115: 'UNSUPPORTED_ENDPOINT_TYPE',
}


class Closed(ConnectionError):
    """The other side closed the connection."""


# ── message layouts ──────────────────────────────────────────────────────────────────────────────────────────
class Range:
    """A version range as messages.txt writes it: "3+", "0-12", "7"."""

    def __init__(self, text):
        self.low, self.high = 1 << 15, -1
        if text.endswith('+'):
            self.low, self.high = int(text[:-1]), 1 << 15
        elif '-' in text:
            self.low, self.high = (int(x) for x in text.split('-'))
        elif text != 'none':
            self.low = self.high = int(text)

    def __contains__(self, version):
        return self.low <= version <= self.high


class Field:
    def __init__(self, line):
        words = line.split()
        self.name, self.type, self.versions = words[0], words[1], Range(words[2])
        self.is_array = self.type.startswith('[]')
        self.type = self.type.removeprefix('[]')
        options = dict(w.split('=', 1) for w in words[3:])
        self.null = Range(options.get('null', 'none'))
        self.tag, self.tagged = None, Range('none')
        if 'tag' in options:
            tag, versions = options['tag'].split(':')
            self.tag, self.tagged = int(tag), Range(versions)
        self.default = self._default(options.get('default'))
        self.fields = []

    def _default(self, text):
        if text == 'null':
            return None
        if self.is_array:
            return []
        if self.type == 'struct':
            return {}
        if self.type == 'bool':
            return text == 'true'
        if self.type == 'uuid':
            return bytes(16)
        if self.type in ('string',):
            return text or ''
        if self.type in ('bytes', 'records'):
            return b''
        return int(text or '0', 0)


class Message:
    def __init__(self, line):
        kind, self.name, *options = line.split()
        options = dict(o.split('=') for o in options)
        self.is_request = kind == 'request'
        self.key, self.flexible, self.fields = int(options['key']), Range(options['flexible']), []
        low, _, high = options['versions'].partition('-')
        self.low, self.high = int(low), int(high or low)


def _load():
    requests, responses, stack = {}, {}, []
    with open(os.path.join(HERE, 'messages.txt')) as f:
        for line in f:
            line = line.rstrip('\n')
            if not line.strip() or line.startswith('#'):
                continue
            depth = (len(line) - len(line.lstrip())) // 2
            if depth == 0:
                message = Message(line)
                (requests if message.is_request else responses)[message.name] = message
                stack = [message]
            else:
                field = Field(line.strip())
                del stack[depth:]
                stack[-1].fields.append(field)
                stack.append(field)
    return requests, responses


REQUESTS, RESPONSES = _load()
KEYS = {m.name: m.key for m in REQUESTS.values()}
INTEGERS = {'int8': '>b', 'int16': '>h', 'uint16': '>H', 'int32': '>i', 'uint32': '>I', 'int64': '>q', 'float64': '>d'}


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────
def uvarint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint((n << 1) ^ (n >> 63))


def _length(n, is_flexible, form):
    """The length in front of a string, bytes or array; None is null."""
    if is_flexible:
        return uvarint(0 if n is None else n + 1)
    return struct.pack(form, -1 if n is None else n)


def _write_value(f, value, version, is_flexible):
    if f.type in INTEGERS:
        return struct.pack(INTEGERS[f.type], value)
    if f.type == 'bool':
        return b'\1' if value else b'\0'
    if f.type == 'uuid':
        return value
    if f.type == 'string':
        data = value.encode() if isinstance(value, str) else value
        return _length(None if data is None else len(data), is_flexible, '>h') + (data or b'')
    if f.type in ('bytes', 'records'):
        return _length(None if value is None else len(value), is_flexible, '>i') + (value or b'')
    if f.type == 'struct' and not f.is_array and version in f.null:
        return b'\xff' if value is None else b'\1' + _write_fields(f.fields, value, version, is_flexible)
    if f.type == 'struct':
        return _write_fields(f.fields, value, version, is_flexible)
    raise ValueError('%s: type %s' % (f.name, f.type))


def _write_field(f, value, version, is_flexible):
    if not f.is_array:
        return _write_value(f, value, version, is_flexible)
    out = _length(None if value is None else len(value), is_flexible, '>i')
    return out + b''.join(_write_value(f, v, version, is_flexible) for v in value or ())


def _write_fields(fields, values, version, is_flexible):
    names = {f.name for f in fields}
    for name in values:
        if name not in names:
            raise ValueError('no field %s among %s' % (name, sorted(names)))
    out, tags = [], []
    for f in fields:
        if version not in f.versions:
            continue
        if version in f.tagged:
            if f.name in values:
                tags.append((f.tag, _write_field(f, values[f.name], version, is_flexible)))
        else:
            out.append(_write_field(f, values.get(f.name, f.default), version, is_flexible))
    if is_flexible:
        out.append(uvarint(len(tags)))
        out += [uvarint(tag) + uvarint(len(data)) + data for tag, data in sorted(tags)]
    return b''.join(out)


def body(name, version, values):
    m = REQUESTS[name]
    return _write_fields(m.fields, values, version, version in m.flexible)


def header(key, version, correlation_id, client_id=b'system-test', is_flexible=False):
    out = struct.pack('>hhi', key, version, correlation_id)
    out += struct.pack('>h', -1) if client_id is None else struct.pack('>h', len(client_id)) + client_id
    return out + (b'\0' if is_flexible else b'')


def frame(name, version, correlation_id=1, **values):
    """A whole request, length prefix included."""
    m = REQUESTS[name]
    data = header(m.key, version, correlation_id, is_flexible=version in m.flexible) + body(name, version, values)
    return struct.pack('>i', len(data)) + data


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────
class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise ValueError('the answer ends early: %d bytes wanted at %d of %d' % (n, self.at, len(self.data)))
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def uvarint(self):
        out = shift = 0
        while True:
            b = self.number('>B')
            out |= (b & 0x7f) << shift
            if b < 0x80:
                return out
            shift += 7

    def length(self, is_flexible, form):
        n = self.uvarint() - 1 if is_flexible else self.number(form)
        return None if n < 0 else n

    def value(self, f, version, is_flexible):
        if f.type in INTEGERS:
            return self.number(INTEGERS[f.type])
        if f.type == 'bool':
            return self.number('>B') != 0
        if f.type == 'uuid':
            return self.take(16)
        if f.type in ('string', 'bytes', 'records'):
            n = self.length(is_flexible, '>h' if f.type == 'string' else '>i')
            data = None if n is None else self.take(n)
            return data.decode() if f.type == 'string' and data is not None else data
        if not f.is_array and version in f.null and self.number('>b') < 0:
            return None
        return self.fields(f.fields, version, is_flexible)

    def field(self, f, version, is_flexible):
        if not f.is_array:
            return self.value(f, version, is_flexible)
        n = self.length(is_flexible, '>i')
        return None if n is None else [self.value(f, version, is_flexible) for _ in range(n)]

    def fields(self, fields, version, is_flexible):
        out = {f.name: f.default for f in fields}
        for f in fields:
            if version in f.versions and version not in f.tagged:
                out[f.name] = self.field(f, version, is_flexible)
        if is_flexible:
            by_tag = {f.tag: f for f in fields if version in f.tagged}
            for _ in range(self.uvarint()):
                tag, n = self.uvarint(), self.uvarint()
                inner = Reader(self.take(n))
                if tag in by_tag:
                    out[by_tag[tag].name] = inner.field(by_tag[tag], version, is_flexible)
        return out


def read_response(name, version, data):
    """-> (correlation id, fields) of a whole answer; trailing bytes are an error."""
    m = RESPONSES[name]
    r = Reader(data)
    correlation_id = r.number('>i')
    if version in m.flexible and name != 'ApiVersions':
        for _ in range(r.uvarint()):
            r.uvarint()
            r.take(r.uvarint())
    out = r.fields(m.fields, version, version in m.flexible)
    if r.at != len(data):
        raise ValueError('%s v%d: %d bytes behind the answer' % (name, version, len(data) - r.at))
    return correlation_id, out


# ── a connection ─────────────────────────────────────────────────────────────────────────────────────────────
class Conn:
    def __init__(self, bootstrap, timeout=10.0):
        host, port = bootstrap.rsplit(':', 1)
        self.socket = socket.create_connection((host, int(port)), timeout=pace.limit(timeout))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = random.randrange(1, 1 << 24)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, n):
        out = bytearray()
        while len(out) < n:
            part = self.socket.recv(min(n - len(out), 1 << 20))
            if not part:
                raise Closed('closed after %d of %d bytes' % (len(out), n))
            out += part
        return bytes(out)

    def receive_frame(self):
        n = struct.unpack('>i', self.receive(4))[0]
        if not 4 <= n <= 256 << 20:
            raise ValueError('an answer of %d bytes' % n)
        return self.receive(n)

    def call(self, name, version, **values):
        self.correlation_id += 1
        self.send(frame(name, version, self.correlation_id, **values))
        got, out = read_response(name, version, self.receive_frame())
        if got != self.correlation_id:
            raise ValueError('correlation id %d, expected %d' % (got, self.correlation_id))
        return out

    def outcome(self, data, wait=5.0):
        """Sends bytes; -> ('answered', bytes), ('closed', b''), or ('open', b'') when nothing comes within `wait`."""
        self.socket.settimeout(wait)
        try:
            self.send(data)
            return 'answered', self.receive_frame()
        except socket.timeout:
            return 'open', b''
        except OSError:
            return 'closed', b''


# ── record batches ───────────────────────────────────────────────────────────────────────────────────────────
def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ 0x82f63b78 if i & 1 else i >> 1
        table.append(i)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    c = 0xffffffff
    for x in data:
        c = CRC_TABLE[(c ^ x) & 255] ^ c >> 8
    return c ^ 0xffffffff


def record(i, key, value, timestamp_delta=0):
    def field(x):
        return varint(-1) if x is None else varint(len(x)) + x
    one = b'\0' + varint(timestamp_delta) + varint(i) + field(key) + field(value) + varint(0)
    return varint(len(one)) + one


def now_ms():
    return int(time.time() * 1000)


def batch(records, timestamp=None, base_offset=0, producer_id=-1, producer_epoch=-1, sequence=-1, attributes=0,
          magic=2, count=None, last_delta=None, crc_xor=0, payload=None):
    """One batch; records is [(key, value)]. The last arguments make it wrong on purpose."""
    timestamp = now_ms() if timestamp is None else timestamp
    n = len(records)
    data = b''.join(record(i, k, v) for i, (k, v) in enumerate(records)) if payload is None else payload
    tail = struct.pack('>hiqqqhii', attributes, n - 1 if last_delta is None else last_delta, timestamp, timestamp,
                       producer_id, producer_epoch, sequence, n if count is None else count) + data
    crc = crc32c(tail) ^ crc_xor
    return struct.pack('>qiibI', base_offset, len(tail) + 9, -1, magic, crc) + tail


def batches(data):
    """-> [(base offset, attributes, count, producer id, epoch, sequence, whole batch)]; a cut last one is left out."""
    out, at = [], 0
    while at + 61 <= len(data):
        base, n = struct.unpack_from('>qi', data, at)
        if at + 12 + n > len(data):
            break
        attributes, _, _, _, pid, epoch, seq, count = struct.unpack_from('>hiqqqhii', data, at + 21)
        out.append((base, attributes, count, pid, epoch, seq, data[at:at + 12 + n]))
        at += 12 + n
    return out


def records_of(one):
    """[(offset, key, value)] of one uncompressed batch."""
    base, count = struct.unpack_from('>q', one)[0], struct.unpack_from('>i', one, 57)[0]
    r, out = Reader(one), []
    r.at = 61

    def zigzag():
        n = r.uvarint()
        return n >> 1 ^ -(n & 1)
    for _ in range(count):
        end = zigzag() + r.at
        r.take(1)
        zigzag()
        offset = base + zigzag()
        n = zigzag()
        key = None if n < 0 else r.take(n)
        n = zigzag()
        value = None if n < 0 else r.take(n)
        out.append((offset, key, value))
        r.at = end
    return out


# ── what most tests need ─────────────────────────────────────────────────────────────────────────────────────
def create_topic(bootstrap, name, partitions=1, configs=None, limit=20.0):
    """Creates a topic and waits until Metadata names its leaders; -> topic id."""
    with Conn(bootstrap) as c:
        topic = dict(name=name, num_partitions=partitions, replication_factor=1,
                     configs=[dict(name=k, value=str(v)) for k, v in (configs or {}).items()])
        out = c.call('CreateTopics', 7, topics=[topic], timeout_ms=10000)['topics'][0]
        if out['error_code'] not in (0, 36):
            raise ValueError('CreateTopics %s: %d %s' % (name, out['error_code'], out['error_message']))
        end = time.time() + pace.limit(limit)
        while True:
            t = c.call('Metadata', 12, topics=[dict(name=name)])['topics'][0]
            if t['error_code'] == 0 and len(t['partitions']) == partitions and \
               all(p['error_code'] == 0 and p['leader_id'] >= 0 for p in t['partitions']):
                return t['topic_id']
            if time.time() > end:
                raise ValueError('%s has no leaders %.0f s after its creation: %r' % (name, limit, t))
            time.sleep(0.05)


def produce(conn, topic, data, partition=0, acks=-1, version=9, topic_id=bytes(16), transactional_id=None,
            timeout_ms=10000):
    """One record set to one partition -> the partition's answer."""
    values = dict(index=partition, records=data)
    out = conn.call('Produce', version, transactional_id=transactional_id, acks=acks, timeout_ms=timeout_ms,
                    topic_data=[dict(name=topic, topic_id=topic_id, partition_data=[values])])
    return out['responses'][0]['partition_responses'][0]


def end_offset(conn, topic, partition=0, timestamp=-1):
    out = conn.call('ListOffsets', 7, replica_id=-1, isolation_level=0,
                    topics=[dict(name=topic, partitions=[dict(partition_index=partition, timestamp=timestamp)])])
    p = out['topics'][0]['partitions'][0]
    if p['error_code'] != 0:
        raise ValueError('ListOffsets %s: error %d' % (topic, p['error_code']))
    return p['offset']


def fetch(conn, topic, offset, partition=0, max_bytes=1 << 20, wait_ms=500, min_bytes=1):
    out = conn.call('Fetch', 12, max_wait_ms=wait_ms, min_bytes=min_bytes, max_bytes=max_bytes, topics=[
        dict(topic=topic, partitions=[dict(partition=partition, fetch_offset=offset, partition_max_bytes=max_bytes)])])
    return out['responses'][0]['partitions'][0]


def fetch_all(conn, topic, partition=0):
    """Every record from the log's start to its present end, as [(offset, key, value)] (uncompressed batches)."""
    at, end, out = end_offset(conn, topic, partition, -2), end_offset(conn, topic, partition), []
    while at < end:
        p = fetch(conn, topic, at, partition)
        if p['error_code'] != 0:
            raise ValueError('Fetch %s at %d: error %d' % (topic, at, p['error_code']))
        got = [r for b in batches(p['records'] or b'') for r in records_of(b[6]) if r[0] >= at]
        if not got:
            raise ValueError('Fetch %s at %d of %d: no records' % (topic, at, end))
        out += got
        at = got[-1][0] + 1
    return out


def found_in(out):
    """-> (error codes other than 0, messages) anywhere in an answer."""
    codes, messages = set(), []
    for name, value in out.items():
        if name.endswith('error_code') and value != 0:
            codes.add(value)
        elif name in ('error_message', 'batch_index_error_message'):
            messages.append(value)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                c, m = found_in(inner)
                codes |= c
                messages += m
    return codes, messages
