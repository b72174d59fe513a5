#!/usr/bin/env python3
"""probe.py - asks a real Apache Kafka for what no client at hand says: every API at every version it offers.

    probe.py FRAMES.txt PORT ...     the ports are capture.py's, for a broker's and a controller's listener

For each API and version that FRAMES.txt does not hold yet, one request with one element in every array is built from
our schemas and sent; capture.py keeps it when it was answered. Usual names get values that make sense.
"""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools'))
import kgen

NAMES = {'name': 'probe', 'topic': 'probe', 'topic_name': 'probe', 'host': 'localhost', 'mechanism': 'PLAIN',
         'resource_name': 'probe', 'cluster_id': None, 'group_id': 'probe-group', 'key': 'probe-group',
         'coordinator_keys': 'probe-group', 'protocol_type': 'consumer', 'transactional_id': 'probe-txn',
         'principal': 'User:probe', 'client_software_name': 'probe', 'client_software_version': '1.0'}
NUMBERS = {'timeout_ms': 1000, 'session_timeout_ms': 10000, 'rebalance_timeout_ms': 10000, 'acks': 1, 'max_bytes': 10000,
           'partition_max_bytes': 10000, 'num_partitions': 1, 'replication_factor': 1, 'count': 1, 'resource_type': 2,
           'operation': 3, 'permission_type': 3, 'pattern_type': 3, 'pattern_type_filter': 3, 'resource_type_filter': 2, 'timestamp': -1, 'replica_id': -1, 'broker_id': 1,
           'node_id': 1, 'config_operation': 0, 'transaction_timeout_ms': 1000, 'iterations': 4096}
FORMATS = {'i8': '>b', 'i16': '>h', 'i32': '>i', 'i64': '>q', 'u16': '>H', 'u32': '>I', 'f64': '>d'}
TIMEOUT_S = 4


def uvarint(v):
    out = b''
    while v >= 0x80:
        out, v = out + bytes([v & 0x7f | 0x80]), v >> 7
    return out + bytes([v])


def length(n, form, flexible):
    """n is None for null."""
    return uvarint(0 if n is None else n + 1) if flexible else struct.pack(form, -1 if n is None else n)


def scalar(field, flexible):
    base, name = field.base, field.name
    if base in FORMATS:
        default = int(field.default) if field.default not in (None, 'null') else 0
        return struct.pack(FORMATS[base], NUMBERS.get(name, default))
    if base == 'bool':
        return b'\0'
    if base == 'uuid':
        return bytes(16)
    text = None if field.default == 'null' and name not in NAMES else NAMES.get(name, 'probe' if base == 'string' else '')
    if text is None and field.null is None:
        text = ''
    form = '>h' if base == 'string' else '>i'
    data = text.encode() if text is not None else b''
    return length(None if text is None else len(data), form, flexible and not field.is_classic) + data


def value(field, version, flexible):
    if field.is_pointer():
        return b'\xff'
    one = encode(field.struct, version, flexible) if field.struct else scalar(field, flexible)
    return length(1, '>i', flexible) + one if field.is_array else one


def encode(s, version, flexible):
    out = b''.join(value(f, version, flexible) for f in s.rows() if f.tag is None and f.low <= version <= f.high)
    return out + (b'\0' if flexible else b'')


def ask(port, message, version):
    flexible = message.flexible is not None and version >= message.flexible
    frame = struct.pack('>hhih', message.key, version, 1, 5) + b'probe' + (b'\0' if flexible else b'')
    frame += encode(message.body, version, flexible)
    try:
        with socket.create_connection(('127.0.0.1', port), TIMEOUT_S) as s:
            s.settimeout(TIMEOUT_S)
            s.sendall(struct.pack('>i', len(frame)) + frame)
            return len(s.recv(65536)) > 0
    except OSError:
        return False


def main(path, ports):
    held = set()
    if os.path.exists(path):
        held = {tuple(line.split()[:2]) for line in open(path, encoding='ascii')}
    asked, answered = 0, 0
    for message in kgen.schema_read(os.path.join(os.path.dirname(kgen.__file__), '..', 'dataplane', 'proto', 'schema')):
        if message.kind != 'request':
            continue
        for version in range(message.low, message.high + 1):
            if (str(message.key), str(version)) in held:
                continue
            asked += 1
            answered += any(ask(int(port), message, version) for port in ports)
    print(f'{answered} of {asked} answered')


if __name__ == '__main__':
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
