/* journal_record_test.c - journal_record.c: what is put is read, and nothing else is believed. */
#include "journal.h"

#include <stdlib.h>

#include "unit.h"

static const struct uuid generation = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static uint8_t record[2 * JOURNAL_BLOCK];

static struct journal_head put_record(uint32_t entries_n, uint32_t bytes)
{
    uint32_t used = JOURNAL_RECORD_HEAD;
    for (uint32_t i = 0; i < entries_n; i++) {
        struct journal_entry e = {.topic_id = {{7}},
                                  .partition = (int32_t)i,
                                  .pos = 100 * i,
                                  .base_offset = 5,
                                  .end_offset = 6 + i,
                                  .epoch = 2,
                                  .topic = bytes_of("a-topic", 7),
                                  .data = {NULL, bytes}};
        memset(journal_entry_put(record + used, &e), (int)i + 1, bytes);
        used += journal_entry_bytes(7, bytes);
    }
    struct journal_head head = {
        .seq = 9, .tail_seq = 4, .flushed_seq = 8, .bytes = sizeof record, .used = used};
    head.entries_n = entries_n;
    journal_record_end(record, &generation, &head);
    return head;
}

static void record_put_is_read(void **state)
{
    struct journal_head head;
    struct journal_entry e;
    uint32_t at = JOURNAL_RECORD_HEAD;
    (void)state;
    for (uint32_t bytes = 1; bytes < 20; bytes++) {
        struct journal_head want = put_record(3, bytes);
        assert_int_equal(journal_head_read(record, &generation, &head), 0);
        assert_memory_equal(&head, &want, offsetof(struct journal_head, entries_n) + 4);
        assert_int_equal(journal_record_check(record, &head), 0);
        at = JOURNAL_RECORD_HEAD;
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(journal_entry_next(bytes_of(record, head.used), &at, &e), 0);
            assert_int_equal(e.partition, i);
            assert_int_equal(e.pos, 100 * i);
            assert_int_equal(e.base_offset, 5);
            assert_int_equal(e.end_offset, 6 + i);
            assert_int_equal(e.epoch, 2);
            assert_true(bytes_equal_string(e.topic, "a-topic"));
            assert_int_equal(e.data.n, bytes);
            assert_int_equal(e.data.ptr[bytes - 1], i + 1);
        }
        assert_int_equal(journal_entry_next(bytes_of(record, head.used), &at, &e), E_EOF);
    }
}

static void record_with_any_byte_changed_is_not_believed(void **state)
{
    struct journal_head want = put_record(2, 50), head;
    (void)state;
    for (uint32_t i = 0; i < want.used; i++) {
        record[i] ^= 0x20;
        assert_true(journal_head_read(record, &generation, &head) != 0 ||
                    head.bytes > sizeof record || journal_record_check(record, &head) != 0);
        record[i] ^= 0x20;
    }
}

static void record_of_another_generation_is_none(void **state)
{
    struct journal_head head;
    struct uuid other = generation;
    (void)state;
    put_record(1, 10);
    other.b[15]++;
    assert_int_equal(journal_head_read(record, &other, &head), E_NOT_FOUND);
}

static void entry_that_leaves_its_record_is_corrupt(void **state)
{
    struct journal_head head = put_record(1, 100);
    struct journal_entry e;
    (void)state;
    for (uint32_t n = JOURNAL_RECORD_HEAD + 1; n < head.used; n++) {
        uint32_t at = JOURNAL_RECORD_HEAD;
        assert_int_equal(journal_entry_next(bytes_of(record, n), &at, &e), E_CORRUPT);
        assert_int_equal(at, JOURNAL_RECORD_HEAD);
    }
}

static void ring_head_is_read_unfinished_or_damaged(void **state)
{
    static uint8_t block[JOURNAL_BLOCK];
    struct uuid read;
    (void)state;
    assert_int_equal(journal_ring_read(block, &read), E_EOF);
    journal_ring_put(block, &generation);
    assert_int_equal(journal_ring_read(block, &read), 0);
    assert_true(uuid_equal(&read, &generation));
    for (uint32_t i = 0; i < JOURNAL_RING_HEAD; i++) {
        block[i] ^= 1;
        assert_int_equal(journal_ring_read(block, &read), E_CORRUPT);
        block[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(record_put_is_read),
        TEST(record_with_any_byte_changed_is_not_believed),
        TEST(record_of_another_generation_is_none),
        TEST(entry_that_leaves_its_record_is_corrupt),
        TEST(ring_head_is_read_unfinished_or_damaged),
    };
    return TESTS_RUN(tests);
}
