/* append_test.c - append.c: whole batches or nothing, whatever the split, the pages and the
 * segments. */
#include "rig.h"

#include "crc.h"
#include "prng.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_log_new(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void append_gives_offsets_and_stamps_the_epoch(void **state)
{
    struct rig_read rr;
    struct batch b;
    (void)state;
    assert_int_equal(rig_append(&rig, 3, 10, 'a'), 0);
    assert_int_equal(rig_append(&rig, 2, 10, 'b'), 3);
    assert_int_equal(rig_offsets(rig.log).end, 5);
    assert_int_equal(rig_offsets(rig.log).high, 0);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, 5);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 10000), 0);
    uint8_t *flat = rig_flat(&rr.read);
    assert_int_equal(rig_check_batches(flat, rr.read.data.bytes, 0), 5);
    assert_int_equal(batch_header(flat, &b), 0);
    assert_int_equal(b.leader_epoch, 3);
    assert_int_equal(b.base_offset, 0);
    free(flat);
    read_release(&rr.read);
}

static void append_every_split_gives_the_same_log(void **state)
{
    static const uint32_t pieces[] = {1,  2,  3,   7,    20,   21,   22,   60,
                                      61, 62, 512, 1460, 4095, 4096, 4097, 70000};
    static uint8_t batch[100000];
    uint8_t *first = NULL;
    uint32_t bytes = rig_batch(batch, sizeof batch, 50, 1000, 'x', RIG_WALL_MS);
    (void)state;
    for (size_t i = 0; i < array_n(pieces); i++) {
        struct append out;
        struct rig_read rr;
        struct plog *log = rig_log_new(&rig, (int32_t)i + 1);
        assert_int_equal(rig_append_bytes(&rig, log, batch, bytes, 1, &out),
                         0); /* so that it begins unaligned */
        assert_int_equal(rig_append_bytes(&rig, log, batch, bytes, pieces[i], &out), 0);
        assert_int_equal(out.base_offset, 50);
        rig_settle(&rig);
        assert_int_equal(rig_read(&rig, log, &rr, 0, 1000000), 0);
        assert_int_equal(rr.read.data.bytes, 2 * bytes);
        uint8_t *flat = rig_flat(&rr.read);
        assert_int_equal(rig_check_batches(flat, 2 * bytes, 0), 100);
        if (first == NULL)
            first = flat;
        else {
            assert_memory_equal(first, flat, 2 * bytes);
            free(flat);
        }
        read_release(&rr.read);
    }
    free(first);
}

static void append_batches_of_all_sizes_read_back_from_memory_and_disk(void **state)
{
    struct prng prng;
    (void)state;
    prng_init(&prng, 1);
    for (int i = 0; i < 300; i++) {
        rig_append(&rig, 1 + (uint32_t)prng_below(&prng, 20),
                   (uint32_t)prng_below(&prng, 1 << prng_below(&prng, 15)), (uint8_t)i);
        if (prng_below(&prng, 3) == 0)
            rig_turn(&rig);
    }
    rig_settle(&rig);
    int64_t end = rig_offsets(rig.log).end;
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 10000), end);
    uint64_t misses = store_stats(rig.store)->read_misses;
    assert_int_equal(misses, 0);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 100000), end);
    assert_true(store_stats(rig.store)->read_misses > misses);
    for (int i = 0; i < 50; i++) { /* from anywhere, with holes in memory */
        int64_t from = (int64_t)prng_below(&prng, (uint64_t)end);
        if (i % 5 == 0)
            rig_forget_pages(&rig);
        assert_int_equal(rig_read_all(&rig, rig.log, from, 3000), end);
    }
}

static void append_after_eviction_and_restarts_of_pages_reads_back(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        rig_append(&rig, 1, 777, (uint8_t)i);
        rig_settle(&rig);
        if (i % 3 == 0)
            rig_forget_pages(&rig); /* the append page too: the next one begins in its middle */
        if (i % 7 == 0)
            assert_int_equal(rig_read_all(&rig, rig.log, i / 2, 5000), i + 1);
    }
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), 200);
}

static void append_wrong_crc_at_any_byte_changes_nothing(void **state)
{
    static uint8_t batch[10000];
    struct append out;
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    uint32_t bytes = rig_batch(batch, sizeof batch, 3, 2000, 'x', RIG_WALL_MS);
    for (uint32_t at = BATCH_CRC_AT; at < bytes; at += at < BATCH_HEADER ? 1 : 97) {
        uint64_t pages = rig.store->cache.pages_n, used = rig.pages.used_bytes;
        batch[at] ^= 0x10;
        int rc = rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out);
        batch[at] ^= 0x10;
        assert_true(rc < 0);
        assert_true(out.reason[0] != '\0');
        assert_int_equal(rig_offsets(rig.log).end, 1);
        assert_int_equal(rig.store->cache.pages_n, pages);
        assert_int_equal(rig.pages.used_bytes, used);
        plog_invariants(rig.log);
    }
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out), 0);
    rig_settle(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 50000), 4);
}

static void append_of_no_or_two_batches_is_refused(void **state)
{
    static uint8_t batch[2000];
    struct append out;
    (void)state;
    uint32_t one = rig_batch(batch, 1000, 1, 10, 'x', RIG_WALL_MS);
    memcpy(batch + one, batch, one);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, 2 * one, 100, &out), E_INVALID_RECORD);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, one - 1, 100, &out), E_INVALID_RECORD);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, 60, 100, &out), E_INVALID_RECORD);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, 0, 100, &out), E_INVALID_RECORD);
    assert_int_equal(rig_offsets(rig.log).end, 0);
    assert_int_equal(store_stats(rig.store)->refused[-E_INVALID_RECORD], 4);
}

static void append_above_its_limits_is_refused(void **state)
{
    struct append out;
    (void)state;
    rig.log_config.max_message_bytes = 1000;
    rig.log_config.segment_bytes = 600;
    plog_configure(rig.log, &rig.log_config);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 1000, 'x', &out), E_TOO_LARGE);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 700, 'x', &out), E_TOO_LARGE);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 400, 'x', &out), 0);
}

static void append_duplicate_answers_with_the_original(void **state)
{
    static uint8_t batch[2000];
    struct append out;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 3, 10, 'x', RIG_WALL_MS);
    batch_stamp_producer(batch, 77, 0, 0);
    rig_append(&rig, 5, 10, 'a');
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), 0);
    assert_int_equal(out.base_offset, 5);
    assert_false(out.is_duplicate);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), 0);
    assert_true(out.is_duplicate);
    assert_int_equal(out.base_offset, 5);
    assert_int_equal(out.last_offset, 7);
    assert_int_equal(out.start_offset, 0);
    assert_int_equal(rig_offsets(rig.log).end, 8);
    batch[bytes - 1] ^= 1; /* a duplicate by its header, but not to be believed */
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), E_CORRUPT);
    batch[bytes - 1] ^= 1;
    batch_stamp_producer(batch, 77, 0, 30);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), E_OUT_OF_ORDER);
    batch_stamp_producer(batch, 77, 0, 3);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), 0);
    assert_int_equal(out.base_offset, 8);
}

static void append_of_a_corrupt_batch_leaves_producers_unchanged(void **state)
{
    static uint8_t batch[2000];
    struct append out;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 3, 10, 'x', RIG_WALL_MS);
    batch_stamp_producer(batch, 77, 0, 0);
    batch[bytes - 1] ^= 1;
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), E_CORRUPT);
    assert_int_equal(rig.log->producers.n, 0);
    batch[bytes - 1] ^= 1;
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), 0);
    assert_int_equal(rig.log->producers.n, 1);
}

static void append_log_append_time_is_stamped_with_a_new_crc(void **state)
{
    struct append out;
    struct rig_read rr;
    struct batch b;
    (void)state;
    rig.log_config.is_log_append_time = true;
    plog_configure(rig.log, &rig.log_config);
    rig.now.wall_ms += 5000;
    for (int i = 0; i < 6; i++) {
        static uint8_t batch[20000];
        uint32_t bytes = rig_batch(batch, sizeof batch, 3, 2000, 'x', 12345);
        assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 999, &out), 0);
        assert_int_equal(out.log_append_ms, RIG_WALL_MS + 5000);
    }
    rig_settle(&rig);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 100000), 0);
    uint8_t *flat = rig_flat(&rr.read);
    assert_int_equal(rig_check_batches(flat, rr.read.data.bytes, 0), 18);
    assert_int_equal(batch_header(flat, &b), 0);
    assert_int_equal(b.max_timestamp, RIG_WALL_MS + 5000);
    assert_true(b.attributes & BATCH_LOG_APPEND_TIME);
    free(flat);
    read_release(&rr.read);
}

static void append_compacted_topic_wants_keys(void **state)
{
    static uint8_t batch[1000];
    struct append out;
    struct batch_builder b;
    (void)state;
    rig.log_config.is_compacted = true;
    plog_configure(rig.log, &rig.log_config);
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(batch_add(&b, 1, bytes_of("k", 1), bytes_of("v", 1)), 0);
    assert_int_equal(batch_add(&b, 1, (struct bytes){NULL, 0}, bytes_of("v", 1)), 0);
    uint32_t bytes = batch_end(&b, 0, -1);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 5, &out), E_INVALID_RECORD);
    assert_int_equal(out.bad_record_at, 1);
    assert_int_equal(rig_offsets(rig.log).end, 0);
}

static void append_over_the_tail_budget_waits_and_goes_on(void **state)
{
    struct append out;
    (void)state;
    rig.store->config.tail_bytes_max = 100000;
    int n = 0, rc;
    while ((rc = rig_append_to(&rig, rig.log, 1, 10000, 'x', &out)) == 0)
        n++;
    assert_int_equal(rc, E_AGAIN);
    assert_int_equal(n, 8); /* seven eighths: the rest is kept for the class critical */
    assert_true(rig.store->tail_bytes <= 100000);
    rig_settle(&rig);
    assert_int_equal(rig.store->tail_bytes, 0);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10000, 'x', &out), 0);
}

static void append_one_batch_above_the_budget_passes_alone(void **state)
{
    struct append out;
    (void)state;
    rig.store->config.tail_bytes_max = 1000;
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10000, 'x', &out), 0);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10, 'x', &out), E_AGAIN);
    rig_settle(&rig);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10, 'x', &out), 0);
}

static void append_rolls_by_size_and_reads_go_on_behind(void **state)
{
    (void)state;
    rig.log_config.segment_bytes = 10000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rig_append(&rig, 2, 500, (uint8_t)i), 2 * i);
        if (i % 4 == 0)
            rig_turn(&rig);
    }
    assert_int_equal(rig.log->segments_n, 12);
    rig_settle(&rig);
    assert_int_equal(rig.log->sealed_n, 11);
    assert_int_equal(store_stats(rig.store)->rolls, 11);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 3000), 200);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 7, 3000), 200);
}

static void append_many_rolls_before_any_write_are_written_in_order(void **state)
{
    (void)state;
    rig.log_config.segment_bytes = 3000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 50; i++)
        rig_append(&rig, 1, 900, (uint8_t)i);
    assert_int_equal(rig.log->segments_n, 17);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 50);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 100000), 50);
}

static void append_rolls_by_time_of_its_records(void **state)
{
    (void)state;
    rig.log_config.segment_ms = 1000;
    plog_configure(rig.log, &rig.log_config);
    rig_append(&rig, 1, 10, 'a');
    rig.now.wall_ms += 1000;
    rig_append(&rig, 1, 10, 'a');
    assert_int_equal(rig.log->segments_n, 1);
    rig.now.wall_ms += 1;
    rig_append(&rig, 1, 10, 'a');
    assert_int_equal(rig.log->segments_n, 2);
    assert_int_equal(rig.log->segments[1]->base_offset, 2);
}

/* segment.jitter.ms is at most taken off, not always, and not the same for every segment; more than
 * segment.ms counts as segment.ms. */
static void jitter_takes_a_part_of_segment_ms_off_that_differs(void **state)
{
    (void)state;
    struct segment segment = {0};
    int64_t low = INT64_MAX, high = 0;
    rig.log_config.segment_ms = 1000;
    for (int64_t jitter_ms = 400; jitter_ms <= 4000; jitter_ms *= 10) {
        rig.log_config.segment_jitter_ms = jitter_ms;
        plog_configure(rig.log, &rig.log_config);
        for (segment.base_offset = 0; segment.base_offset < 100; segment.base_offset++) {
            int64_t age_ms = segment_age_ms_max(rig.log, &segment);
            assert_true(age_ms <= 1000 && age_ms > 1000 - min_i64(jitter_ms, 1000));
            low = min_i64(low, age_ms);
            high = max_i64(high, age_ms);
        }
        assert_true(high - low > min_i64(jitter_ms, 1000) * 8 / 10);
    }
}

static void append_rolls_when_an_index_is_full(void **state)
{
    (void)state;
    rig.log_config.segment_index_bytes =
        60; /* 7 offset entries, 5 times of which the last is kept free */
    rig.log_config.index_interval_bytes = 1;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 6; i++) {
        rig.now.wall_ms++;
        rig_append(&rig, 1, 10, 'a');
    }
    assert_int_equal(rig.log->segments_n, 2);
    rig_settle(&rig);
}

static void append_without_a_page_waits_and_changes_nothing(void **state)
{
    struct append out;
    struct page *held[32];
    int n = 0;
    (void)state;
    rig_fini(&rig);
    rig_init_pages(&rig, PAGE_BLOCK);
    rig_log_new(&rig, 0);
    while (n < 32 && (held[n] = pages_take(&rig.pages, PAGE_LARGE)) != NULL)
        n++;
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 100, 'x', &out), E_AGAIN);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 100000, 'x', &out), E_AGAIN);
    page_put(held[--n]);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 100000, 'x', &out),
                     E_AGAIN); /* one page is not enough */
    assert_int_equal(rig.pages.used_bytes, (uint64_t)n * PAGE_LARGE);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 100, 'x', &out), 0);
    rig_settle(&rig);
    while (n > 0)
        page_put(held[--n]);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 1);
}

static void append_more_than_memory_holds_is_read_back(void **state)
{
    (void)state;
    rig_fini(&rig);
    rig_init_pages(&rig, PAGE_BLOCK);
    rig_log_new(&rig, 0);
    for (int i = 0; i < 400; i++) {
        rig_append(&rig, 1, 30000, (uint8_t)i);
        rig_settle(&rig);
    }
    assert_true(rig.store->cache.evicted_n > 100);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 200000), 400);
}

static void append_to_a_failed_log_is_refused(void **state)
{
    struct append out;
    (void)state;
    rig_append(&rig, 1, 10, 'x');
    rig.io.fail_at = 1;
    rig_settle(&rig);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10, 'x', &out), E_STORAGE);
    assert_int_equal(store_stats(rig.store)->logs_failed_n, 1);
}

static void append_idle_log_costs_no_page_and_little_memory(void **state)
{
    (void)state;
    assert_int_equal(rig.pages.used_bytes, 0);
    rig_append(&rig, 1, 10, 'x');
    assert_int_equal(rig.pages.used_bytes, PAGE_SMALL);
    rig_settle(&rig);
    rig_forget_pages(&rig);
    assert_int_equal(rig.pages.used_bytes, 0);
    assert_true(sizeof(struct plog) + sizeof(struct segment) < 2048);
}

/* Each class fills the tail to its share, so that there is room for the ones above it. */
static void tail_budget_is_shared_by_class(void **state)
{
    static const struct {
        uint8_t latency;
        uint32_t fits_n; /* batches of some 10 KB in 160,000 bytes */
    } rows[] = {{LATENCY_BULK, 7}, {LATENCY_NORMAL, 13}, {LATENCY_CRITICAL, 15}};
    struct append out;
    uint32_t n = 0;
    (void)state;
    rig.store->config.tail_bytes_max = 160000;
    for (size_t i = 0; i < array_n(rows); i++) {
        rig.log_config.latency = rows[i].latency;
        plog_configure(rig.log, &rig.log_config);
        int rc = 0;
        while ((rc = rig_append_to(&rig, rig.log, 1, 10000, 'x', &out)) == 0)
            n++;
        assert_int_equal(rc, E_AGAIN);
        assert_int_equal(n, rows[i].fits_n);
    }
    rig_settle(&rig);
}

/* How many batches of 60 KB find room in one turn. */
static uint32_t bulk_in_a_turn(void)
{
    struct append out;
    uint32_t n = 0;
    while (n < 20 && rig_append_to(&rig, rig.log, 1, 60000, 'b', &out) == 0)
        n++;
    return n;
}

/* While a critical log is active little of bulk is placed in a turn, and little waits to be
 * answered; without one there is no such limit. */
static void bulk_gives_way_while_a_critical_log_is_active(void **state)
{
    struct plog *critical = rig_log_new(&rig, 1);
    struct append out;
    (void)state;
    rig.log_config.latency = LATENCY_CRITICAL;
    plog_configure(critical, &rig.log_config);
    rig.log_config.latency = LATENCY_BULK;
    plog_configure(rig.log, &rig.log_config);
    assert_int_equal(bulk_in_a_turn(), 20);
    rig_settle(&rig);
    assert_int_equal(rig.store->bulk_bytes, 0);
    assert_int_equal(rig_append_to(&rig, critical, 1, 100, 'c', &out), 0);
    rig_settle(&rig);
    rig.is_io_held = true;
    uint32_t n = 0, all = 0;
    for (int turns = 0; turns < 20; turns++, all += n) {
        n = bulk_in_a_turn();
        assert_true(n <= BULK_PACED_TURN_MAX / 60000 + 1);
        assert_int_equal(rig_append_to(&rig, critical, 1, 100, 'c', &out), 0);
        rig_turn(&rig);
    }
    assert_true(all >= BULK_PACED_BYTES_MAX / 60100 && all <= BULK_PACED_BYTES_MAX / 60000 + 1);
    assert_int_equal(n, 0);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig.store->bulk_bytes, 0);
    assert_true(bulk_in_a_turn() > 0); /* again, when the first ones were answered */
    rig_settle(&rig);
    rig.now.ns += STORE_PACED_NS;
    (void)store_flush(rig.store, rig.now);
    assert_int_equal(bulk_in_a_turn(), 20);
    rig_settle(&rig);
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(append_gives_offsets_and_stamps_the_epoch),
        WITH_LOG(bulk_gives_way_while_a_critical_log_is_active),
        WITH_LOG(append_every_split_gives_the_same_log),
        WITH_LOG(append_batches_of_all_sizes_read_back_from_memory_and_disk),
        WITH_LOG(append_after_eviction_and_restarts_of_pages_reads_back),
        WITH_LOG(append_wrong_crc_at_any_byte_changes_nothing),
        WITH_LOG(append_of_no_or_two_batches_is_refused),
        WITH_LOG(append_above_its_limits_is_refused),
        WITH_LOG(append_duplicate_answers_with_the_original),
        WITH_LOG(append_of_a_corrupt_batch_leaves_producers_unchanged),
        WITH_LOG(append_log_append_time_is_stamped_with_a_new_crc),
        WITH_LOG(append_compacted_topic_wants_keys),
        WITH_LOG(append_over_the_tail_budget_waits_and_goes_on),
        WITH_LOG(append_one_batch_above_the_budget_passes_alone),
        WITH_LOG(append_rolls_by_size_and_reads_go_on_behind),
        WITH_LOG(append_many_rolls_before_any_write_are_written_in_order),
        WITH_LOG(append_rolls_by_time_of_its_records),
        WITH_LOG(jitter_takes_a_part_of_segment_ms_off_that_differs),
        WITH_LOG(append_rolls_when_an_index_is_full),
        WITH_LOG(append_without_a_page_waits_and_changes_nothing),
        WITH_LOG(append_more_than_memory_holds_is_read_back),
        WITH_LOG(append_to_a_failed_log_is_refused),
        WITH_LOG(append_idle_log_costs_no_page_and_little_memory),
        WITH_LOG(tail_budget_is_shared_by_class),
    };
    return TESTS_RUN(tests);
}
