"""N records of 1 KiB with acks=all, produced and consumed byte for byte with each codec, 3 workers.

N is 100,000 in all (20,000 for each of the five codecs); FULL=1: 1,000,000 for each, more than the broker keeps in
memory. RECORDS=n for another number, CODECS='none lz4' for some of them.
"""
import os
import time

import lib
import transfer


def test(t):
    lib.need('kcat')
    n = int(os.environ.get('RECORDS', '1000000' if lib.FULL else '20000'))
    # The smallest cache: what is read back has left the memory of one worker's share.
    broker = t.broker(workers=3, settings={'storage.cache.bytes': 64 << 20, 'storage.tail.bytes': 8 << 20})
    path = t.path('in')
    with open(path, 'wb') as f:
        for start in range(0, n, 10000):
            f.write(transfer.lines(min(10000, n - start), bytes_n=1024, seed=start))
    size = os.path.getsize(path)
    for codec in os.environ.get('CODECS', ' '.join(lib.CODECS)).split():
        began = time.monotonic()
        transfer.round_trip(t, broker, codec, path)
        t.say('%s: %d records, %d bytes there and back in %.1f s' % (codec, n, size, time.monotonic() - began))


lib.main(test)
