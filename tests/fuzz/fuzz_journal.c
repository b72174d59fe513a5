/*
 * fuzz_journal.c - records of the commit journal made of any bytes: what is believed lies inside
 * its record, and is the same when it is put again.
 *
 * Owner: the fuzzer.
 *
 * The input is a ring's first block and one record. The fuzzer seldom finds a checksum by itself,
 * so the entries are looked at whether the record's is right or not.
 */
#include <stdlib.h>

#include "check.h"
#include "fuzz.h"
#include "journal.h"

static void try_entries(struct bytes record)
{
    struct journal_entry e;
    uint32_t at = JOURNAL_RECORD_HEAD;
    int rc;
    while (at < record.n && (rc = journal_entry_next(record, &at, &e)) == 0) {
        uint32_t n = journal_entry_bytes((uint32_t)e.topic.n, (uint32_t)e.data.n);
        check(at <= record.n && e.data.ptr + e.data.n <= record.ptr + record.n);
        struct journal_entry again;
        struct bytes copy = bytes_of(malloc(n), n);
        uint32_t from = 0;
        memcpy(journal_entry_put((uint8_t *)(uintptr_t)copy.ptr, &e), e.data.ptr, e.data.n);
        check(journal_entry_next(copy, &from, &again) == 0 && from == n);
        check(again.pos == e.pos && again.base_offset == e.base_offset &&
              again.partition == e.partition && bytes_equal(again.topic, e.topic) &&
              bytes_equal(again.data, e.data));
        free((void *)(uintptr_t)copy.ptr);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct journal_head head;
    struct uuid generation = {{0}};
    if (n < 2 * JOURNAL_BLOCK || n > JOURNAL_BLOCK + JOURNAL_RECORD_MAX)
        return 0;
    (void)!journal_ring_read(data, &generation);
    const uint8_t *record = data + JOURNAL_BLOCK;
    uint64_t record_n = n - JOURNAL_BLOCK;
    if (journal_head_read(record, &generation, &head) == 0 && head.bytes <= record_n) {
        check(head.used <= head.bytes && head.tail_seq <= head.seq);
        (void)!journal_record_check(record, &head);
        try_entries(bytes_of(record, head.used));
    }
    try_entries(bytes_of(record, record_n));
    return 0;
}
