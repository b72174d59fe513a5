/*
 * capture.h - heads of a pcap file and of its frames (capture.c).
 *
 * Owner: immutable (pure functions).
 */
#ifndef MILLRACE_CAPTURE_H
#define MILLRACE_CAPTURE_H

#include "base.h"

enum { CAPTURE_FILE_BYTES = 24, CAPTURE_FRAME_BYTES = 16 };

void capture_file_head(uint8_t to[CAPTURE_FILE_BYTES]);
/* here_n of the frame's wire_n bytes follow. */
void capture_frame_head(uint8_t to[CAPTURE_FRAME_BYTES], uint64_t at_ns, uint32_t here_n,
                        uint32_t wire_n);

#endif
