#!/usr/bin/env python3
"""capture.py - a TCP proxy that keeps one request and one response frame of every Kafka API and version it sees.

    capture.py FRAMES.txt LISTEN:TARGET ...     ports on 127.0.0.1; ends on SIGINT or SIGTERM

The broker advertises the LISTEN ports, so that its clients (and, for the controller's port, the broker itself) come
through here. A line of FRAMES.txt is "key version request|response hex", the frame with its length; what the file
already holds is kept and added to. Of several frames of a kind the largest below FRAME_BYTES_MAX is kept, because it
has the most fields filled. A request counts once it was answered. Traffic that is no Kafka frame (SASL v0 tokens) ends the recording of its connection.
"""
import asyncio
import os
import signal
import struct
import sys

FRAME_BYTES_MAX = 700
API_VERSIONS_N = 93


class Recorder:
    def __init__(self, path):
        self.path, self.frames = path, {}
        if os.path.exists(path):
            for line in open(path, encoding='ascii'):
                key, version, kind, text = line.split()
                self.frames[int(key), int(version), kind] = bytes.fromhex(text)

    def keep(self, key, version, kind, frame):
        kept = self.frames.get((key, version, kind))
        if kept is None or len(kept) < len(frame) <= FRAME_BYTES_MAX or len(frame) < len(kept) > FRAME_BYTES_MAX:
            self.frames[key, version, kind] = frame

    def save(self):
        with open(self.path, 'w', encoding='ascii') as out:
            for (key, version, kind), frame in sorted(self.frames.items()):
                if len(frame) <= 4 * FRAME_BYTES_MAX:
                    out.write(f'{key} {version} {kind} {frame.hex()}\n')


class Connection:
    """Requests of a connection by correlation id, until their answer has passed."""

    def __init__(self, recorder):
        self.recorder, self.waiting, self.is_kafka = recorder, {}, True

    def request(self, frame):
        if len(frame) < 12:
            self.is_kafka = False
            return
        key, version, correlation = struct.unpack('>hhi', frame[4:12])
        if not 0 <= key < API_VERSIONS_N or not 0 <= version < 40:
            self.is_kafka = False
            return
        self.waiting[correlation] = (key, version, frame)
        if key == 17 and version == 0:
            self.is_kafka = False

    def response(self, frame):
        sent = self.waiting.pop(struct.unpack('>i', frame[4:8])[0], None) if len(frame) >= 8 else None
        if sent is not None:
            key, version, request = sent
            self.recorder.keep(key, version, 'request', request)
            self.recorder.keep(key, version, 'response', frame)


async def pump(reader, writer, connection, on_frame):
    held = b''
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            held = held + data if connection.is_kafka else b''
            while len(held) >= 4 and len(held) >= 4 + struct.unpack('>i', held[:4])[0]:
                end = 4 + struct.unpack('>i', held[:4])[0]
                on_frame(held[:end])
                held = held[end:]
    except (ConnectionError, asyncio.CancelledError, struct.error):
        pass
    finally:
        writer.close()


async def serve(recorder, target, reader, writer):
    try:
        up_reader, up_writer = await asyncio.open_connection('127.0.0.1', target)
    except OSError:
        writer.close()
        return
    connection = Connection(recorder)
    await asyncio.gather(pump(reader, up_writer, connection, connection.request),
                         pump(up_reader, writer, connection, connection.response))


async def main(path, ports):
    recorder, stop = Recorder(path), asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    for pair in ports:
        listen, target = map(int, pair.split(':'))
        await asyncio.start_server(lambda r, w, t=target: serve(recorder, t, r, w), '127.0.0.1', listen)
    await stop.wait()
    recorder.save()
    print(f'{len(recorder.frames)} frames in {path}', flush=True)
    os._exit(0)  # connections are still open


if __name__ == '__main__':
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
