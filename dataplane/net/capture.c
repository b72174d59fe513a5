/*
 * capture.c - frames in the pcap format, so that a simulated run, and what a core saw last, can be
 * read with any analyser.
 *
 * Owner: the caller; pure functions into the caller's memory.
 *
 *   file:   a1b23c4d (nanoseconds) | 0002 0004 | 0 | 0 | snap length | 1 (Ethernet)   24 bytes
 *   frame:  seconds | nanoseconds | bytes here | bytes on the wire                     16 bytes
 */
#include "capture.h"

#include "bytes.h"
#include "clock.h"

void capture_file_head(uint8_t to[CAPTURE_FILE_BYTES])
{
    memset(to, 0, CAPTURE_FILE_BYTES);
    store_u32(to, 0xa1b23c4d);
    store_u16(to + 4, 2);
    store_u16(to + 6, 4);
    store_u32(to + 16, 65535);
    store_u32(to + 20, 1);
}

void capture_frame_head(uint8_t to[CAPTURE_FRAME_BYTES], uint64_t at_ns, uint32_t here_n,
                        uint32_t wire_n)
{
    store_u32(to, (uint32_t)(at_ns / NS_PER_S));
    store_u32(to + 4, (uint32_t)(at_ns % NS_PER_S));
    store_u32(to + 8, here_n);
    store_u32(to + 12, wire_n);
}
