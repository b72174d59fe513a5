/* aborted_test.c - aborted.c: what a committed reader is told, and .txnindex as Kafka writes it. */
#include "aborted.h"

#include "unit.h"

static struct aborted_list list;

static int teardown(void **state)
{
    (void)state;
    aborted_fini(&list);
    return 0;
}

static void add(int64_t producer_id, int64_t first, int64_t last, int64_t stable)
{
    struct aborted_entry e = {producer_id, first, last, stable};
    assert_int_equal(aborted_add(&list, &e), 0);
}

static void find_gives_overlapping_ones_by_first_offset(void **state)
{
    struct aborted out[4];
    (void)state;
    add(1, 5, 9, 3);
    add(2, 3, 12, 13);
    add(3, 20, 25, 26);
    assert_int_equal(aborted_find(&list, 0, 100, out), 3);
    assert_int_equal(out[0].producer_id, 2);
    assert_int_equal(out[1].producer_id, 1);
    assert_int_equal(out[2].producer_id, 3);
    assert_int_equal(aborted_find(&list, 10, 100, out), 2); /* the marker at 9 is below */
    assert_int_equal(out[0].producer_id, 2);
    assert_int_equal(aborted_find(&list, 9, 10, NULL), 2);
    assert_int_equal(aborted_find(&list, 0, 5, out), 1); /* first offset 5 is not below 5 */
    assert_int_equal(aborted_find(&list, 13, 20, NULL), 0);
    assert_int_equal(aborted_find(&list, 26, 100, NULL), 0);
}

static void ended_transactions_hold_until_they_are_visible(void **state)
{
    (void)state;
    assert_int_equal(aborted_first_ended(&list), -1);
    assert_int_equal(aborted_end(&list, 10, 15), 0);
    assert_int_equal(aborted_end(&list, 4, 20), 0);
    assert_int_equal(aborted_first_ended(&list), 4);
    aborted_visible(&list, 20); /* the marker at 20 is not below 20 */
    assert_int_equal(aborted_first_ended(&list), 4);
    aborted_visible(&list, 21);
    assert_int_equal(aborted_first_ended(&list), -1);
}

static void file_is_kafkas(void **state)
{
    static const uint8_t kafka[TXN_INDEX_ENTRY] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
                                                   0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0,
                                                   0, 5, 0, 0, 0, 0, 0, 0, 0, 6};
    uint8_t file[TXN_INDEX_ENTRY];
    (void)state;
    assert_int_equal(aborted_decode(&list, bytes_of(kafka, sizeof kafka), 2), 0);
    assert_int_equal(list.v[0].producer_id, 1);
    assert_int_equal(list.v[0].first_offset, 3);
    assert_int_equal(list.v[0].last_offset, 5);
    assert_int_equal(list.v[0].stable_offset, 6);
    assert_int_equal(aborted_encode(&list, 5, 6, file), sizeof file);
    assert_memory_equal(file, kafka, sizeof file);
    assert_int_equal(aborted_encode(&list, 0, 5, NULL), 0);
    assert_int_equal(aborted_encode(&list, 6, 9, NULL), 0);
}

static void damaged_files_add_nothing(void **state)
{
    uint8_t file[3 * TXN_INDEX_ENTRY];
    (void)state;
    add(1, 100, 110, 111);
    add(2, 120, 130, 131);
    assert_int_equal(aborted_encode(&list, 0, 1000, file), 2 * TXN_INDEX_ENTRY);
    aborted_fini(&list);
    for (uint32_t n = 1; n < 2 * TXN_INDEX_ENTRY; n++) {
        int rc = aborted_decode(&list, bytes_of(file, n), 0);
        assert_int_equal(rc, n == TXN_INDEX_ENTRY ? 0 : E_CORRUPT);
        assert_int_equal(list.n, n == TXN_INDEX_ENTRY ? 1 : 0);
        list.n = 0;
    }
    assert_int_equal(aborted_decode(&list, bytes_of(file, 2 * TXN_INDEX_ENTRY), 111), E_CORRUPT);
    memset(file + 2 * TXN_INDEX_ENTRY, 0, TXN_INDEX_ENTRY); /* a zero tail */
    assert_int_equal(aborted_decode(&list, bytes_of(file, sizeof file), 0), E_CORRUPT);
    file[1] = 1; /* another version */
    assert_int_equal(aborted_decode(&list, bytes_of(file, TXN_INDEX_ENTRY), 0), E_CORRUPT);
    assert_int_equal(list.n, 0);
}

static void truncation_keeps_what_lies_inside(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 100; i++)
        add(i, 10 * i, 10 * i + 5, 10 * i + 6);
    aborted_truncate_start(&list, 305);
    assert_int_equal(list.v[0].last_offset, 305);
    aborted_truncate_end(&list, 505);
    assert_int_equal(list.v[list.n - 1].last_offset, 495);
    assert_int_equal(list.n, 20);
    aborted_truncate_start(&list, 0);
    assert_int_equal(list.n, 20);
    aborted_truncate_end(&list, 0);
    assert_int_equal(list.n, 0);
}

int main(void)
{
#define CLEAN(name) cmocka_unit_test_setup_teardown(name, NULL, teardown)
    const struct CMUnitTest tests[] = {
        CLEAN(find_gives_overlapping_ones_by_first_offset),
        CLEAN(ended_transactions_hold_until_they_are_visible),
        CLEAN(file_is_kafkas),
        CLEAN(damaged_files_add_nothing),
        CLEAN(truncation_keeps_what_lies_inside),
    };
    return TESTS_RUN(tests);
}
