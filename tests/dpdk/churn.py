"""10,000 connections, 500 at a time: most ask something and end, some end at once, some by a reset, some half-closed."""
import socket
import struct

import lib
import wire

CONNECTIONS, AT_ONCE = 10000, 500
# ApiVersions version 0: length, key, version, correlation, no client id.
REQUEST = struct.pack('>ihhih', 10, 18, 0, 7, -1)


def answered(s):
    data = b''
    while len(data) < 4 or len(data) < 4 + struct.unpack('>i', data[:4])[0]:
        more = s.recv(65536)
        lib.check(more, 'the connection ended instead of an answer')
        data += more
    lib.equal(data[4:8], struct.pack('>i', 7), 'the correlation id')


def end(s, i):
    if i % 10 == 8:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    elif i % 10 == 9:
        s.shutdown(socket.SHUT_WR)
        lib.equal(s.recv(1), b'', 'our end after the half-close')
    s.close()


def test(t):
    broker = t.broker()
    host, port = broker.bootstrap.split(':')
    for first in range(0, CONNECTIONS, AT_ONCE):
        some = [socket.create_connection((host, int(port)), timeout=60) for _ in range(AT_ONCE)]
        for i, s in enumerate(some):
            if i % 10 != 7:
                s.sendall(REQUEST)
        for i, s in enumerate(some):
            if i % 10 != 7:
                answered(s)
        for i, s in enumerate(some):
            end(s, i)
    with wire.Conn(broker.bootstrap) as c:
        lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'the broker after %d connections' % CONNECTIONS)


lib.main(test)
