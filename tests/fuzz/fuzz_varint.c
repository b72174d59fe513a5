/*
 * fuzz_varint.c - varints of any bytes: the length stays within the input, and what was read is
 * written alike.
 *
 * Owner: the fuzzer.
 */
#include "bytes.h"

#include "check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *p = data, *end = data + n;
    while (p < end) {
        uint8_t again[VARINT_BYTES_MAX];
        int64_t v = 0, w = 0;
        int length = load_varint(p, end, VARINT_BYTES_MAX, &v);
        if (length <= 0)
            break;
        check(length <= end - p && length <= VARINT_BYTES_MAX);
        int written = store_varint(again, v);
        check(written <= length && written == varint_bytes(v));
        check(load_varint(again, again + written, VARINT_BYTES_MAX, &w) == written && w == v);
        p += length;
    }
    return 0;
}
