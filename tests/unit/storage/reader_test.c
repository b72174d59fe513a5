/* reader_test.c - reader.c, fill.c, index_load.c: bounds, whole batches, memory and disk, what ends
 * a read. */
#include "rig.h"

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

/* n batches of two records with 1,000 bytes each, durable. Returns bytes of one batch. */
static uint32_t fill_log(int n)
{
    for (int i = 0; i < n; i++)
        rig_append(&rig, 2, 1000, (uint8_t)i);
    rig_settle(&rig);
    return (uint32_t)(rig.log->end.bytes / (uint64_t)n);
}

static void read_outside_the_log_is_out_of_range(void **state)
{
    struct rig_read rr;
    (void)state;
    fill_log(3);
    assert_int_equal(rig_read(&rig, rig.log, &rr, -1, 1000), E_OFFSET_RANGE);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 7, 1000), E_OFFSET_RANGE);
    assert_int_equal(rr.read.offsets.end, 6);
    read_release(&rr.read);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 6, 1000), 0);
    assert_int_equal(rr.read.data.bytes, 0);
    read_release(&rr.read);
}

static void read_stops_at_the_high_watermark(void **state)
{
    struct rig_read rr;
    (void)state;
    uint32_t bytes = fill_log(2);
    rig.is_io_held = true;
    rig_append(&rig, 2, 1000, 'n');
    rig_turn(&rig);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 100000), 0);
    assert_int_equal(rr.read.data.bytes, 2 * bytes);
    assert_int_equal(rr.read.offsets.high, 4);
    assert_int_equal(rr.read.offsets.end, 6);
    read_release(&rr.read);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 4, 100000), 0);
    assert_int_equal(rr.read.data.bytes, 0);
    read_release(&rr.read);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 6, 100000), 0);
    read_release(&rr.read);
    rig.is_io_held = false;
}

static void read_gives_whole_batches_and_at_least_one(void **state)
{
    struct rig_read rr;
    (void)state;
    uint32_t bytes = fill_log(10);
    for (uint32_t max = 0; max < 4 * bytes; max += bytes / 2) {
        assert_int_equal(rig_read(&rig, rig.log, &rr, 5, max), 0);
        uint64_t whole = max / bytes > 0 ? max / bytes : 1;
        assert_int_equal(rr.read.data.bytes, whole * bytes);
        uint8_t *flat = rig_flat(&rr.read);
        rig_check_batches(flat, rr.read.data.bytes,
                          5); /* the batch that holds offset 5 begins at 4 */
        free(flat);
        read_release(&rr.read);
    }
    rr = (struct rig_read){.read = {.offset = 0, .bytes_max = bytes - 1, .done = rig_read_done}};
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), 0);
    assert_int_equal(rr.read.data.bytes, 0); /* without at_least_one */
    read_release(&rr.read);
}

static void read_from_disk_waits_and_ends_in_a_later_turn(void **state)
{
    struct rig_read rr = {
        .read = {.offset = 0, .bytes_max = 5000, .at_least_one = true, .done = rig_read_done}};
    (void)state;
    uint32_t bytes = fill_log(10);
    rig_forget_pages(&rig);
    rig.is_io_held = true;
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    assert_false(store_is_quiet(rig.store));
    rig_turn(&rig);
    assert_false(rr.is_done);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done);
    assert_int_equal(rr.error, 0);
    assert_int_equal(rr.read.data.bytes, 5000 / bytes * bytes);
    read_release(&rr.read);
    assert_true(store_is_quiet(rig.store));
}

static void read_without_waiting_touches_only_memory(void **state)
{
    struct rig_read rr = {.read = {.offset = 0,
                                   .bytes_max = 5000,
                                   .at_least_one = true,
                                   .no_wait = true,
                                   .done = rig_read_done}};
    (void)state;
    fill_log(10);
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), 0);
    assert_true(rr.read.data.bytes > 0);
    read_release(&rr.read);
    rig_forget_pages(&rig);
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    assert_int_equal(rig.io.io.under_way, 0);
    read_release(&rr.read);
    assert_int_equal(rig.store->reads_n, 0);
}

static void read_many_wait_for_one_fill(void **state)
{
    enum { READS_N = 20 };
    static struct rig_read rr[READS_N];
    (void)state;
    fill_log(10);
    rig_forget_pages(&rig);
    rig.is_io_held = true;
    for (int i = 0; i < READS_N; i++) {
        rr[i] = (struct rig_read){
            .read = {.offset = i, .bytes_max = 5000, .at_least_one = true, .done = rig_read_done}};
        assert_int_equal(plog_read(rig.log, &rr[i].read, rig.now), E_AGAIN);
    }
    assert_int_equal(rig.io.io.under_way, 1);
    rig.is_io_held = false;
    rig_settle(&rig);
    for (int i = 0; i < READS_N; i++) {
        assert_true(rr[i].is_done && rr[i].error == 0);
        read_release(&rr[i].read);
    }
}

/* Classes share the reads from the disk: places are kept for critical, bulk has few. */
static void read_of_a_critical_log_does_not_wait_for_others(void **state)
{
    enum { BULK, NORMAL, CRITICAL, LOGS_N, READS_N = 62 };
    static const uint8_t classes[LOGS_N] = {LATENCY_BULK, LATENCY_NORMAL, LATENCY_CRITICAL};
    static struct rig_read rr[LOGS_N][READS_N];
    struct plog *logs[LOGS_N] = {rig.log, rig_log_new(&rig, 1), rig_log_new(&rig, 2)};
    struct append out;
    (void)state;
    for (int i = 0; i < LOGS_N; i++) {
        rig.log_config.latency = classes[i];
        plog_configure(logs[i], &rig.log_config);
        for (int j = 0; j < READS_N; j++) {
            assert_int_equal(rig_append_to(&rig, logs[i], 1, 150000, 'x', &out), 0);
            rig_settle(&rig);
        }
    }
    rig_forget_pages(&rig);
    rig.now.ns += STORE_PACED_NS;
    (void)store_flush(rig.store, rig.now);
    rig.is_io_held = true;
    for (int i = 0; i < LOGS_N; i++)
        for (int j = 0; j < READS_N; j++) {
            rr[i][j] = (struct rig_read){
                .read = {
                    .offset = j, .bytes_max = 100, .at_least_one = true, .done = rig_read_done}};
            assert_int_equal(plog_read(logs[i], &rr[i][j].read, rig.now), E_AGAIN);
            if (j + 1 < READS_N)
                continue;
            assert_int_equal(rig.store->fills_bulk_n, FILLS_BULK_MAX);
            assert_int_equal(rig.store->fills_n, i == BULK     ? FILLS_BULK_MAX
                                                 : i == NORMAL ? FILLS_MAX - FILLS_CRITICAL
                                                               : FILLS_MAX);
        }
    struct read *next = list_first(&rig.store->fill_waits, struct read, link);
    assert_ptr_equal(next, &rr[CRITICAL][FILLS_CRITICAL].read);
    rig.is_io_held = false;
    rig_settle(&rig);
    for (int i = 0; i < LOGS_N; i++)
        for (int j = 0; j < READS_N; j++) {
            assert_true(rr[i][j].is_done && rr[i][j].error == 0);
            read_release(&rr[i][j].read);
        }
    assert_int_equal(rig.store->fills_bulk_n, 0);
}

/* While a critical log is active bulk reads little at a time, and lets others pass. */
static void read_of_a_bulk_log_is_small_beside_a_critical_one(void **state)
{
    enum { READS_N = 6 };
    static struct rig_read rr[READS_N];
    struct plog *critical = rig_log_new(&rig, 1);
    struct append out;
    (void)state;
    rig.log_config.latency = LATENCY_CRITICAL;
    plog_configure(critical, &rig.log_config);
    rig.log_config.latency = LATENCY_BULK;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < READS_N; i++) {
        assert_int_equal(rig_append_to(&rig, rig.log, 1, 600000, 'x', &out), 0);
        rig_settle(&rig);
    }
    rig_forget_pages(&rig);
    assert_int_equal(rig_append_to(&rig, critical, 1, 100, 'y', &out), 0);
    rig_settle(&rig);
    rig.is_io_held = true;
    for (int i = 0; i < READS_N; i++) {
        rr[i] = (struct rig_read){
            .read = {
                .offset = i, .bytes_max = 600100, .at_least_one = true, .done = rig_read_done}};
        assert_int_equal(plog_read(rig.log, &rr[i].read, rig.now), E_AGAIN);
        assert_true(rig.store->fills_bulk_n <= FILLS_PACED_MAX);
    }
    assert_int_equal(rig.store->fills_bulk_n, FILLS_PACED_MAX);
    list_for_each(node, next, &rig.store->fills) {
        const struct fill *fill = list_entry(node, struct fill, link);
        assert_true(fill->op.op.is_background);
        assert_true(fill->bytes <= FILL_PACED_PAGES_MAX * PAGE_LARGE);
    }
    rig.is_io_held = false;
    rig_settle(&rig);
    for (int i = 0; i < READS_N; i++) {
        assert_true(rr[i].is_done && rr[i].error == 0);
        read_release(&rr[i].read);
    }
}

/* 60 batches of 150 KB, not in memory. */
static void fill_log_far(void)
{
    struct append out;
    for (int j = 0; j < 60; j++) {
        assert_int_equal(rig_append_to(&rig, rig.log, 1, 150000, 'x', &out), 0);
        rig_settle(&rig);
    }
    rig_forget_pages(&rig);
    rig.store->stats.read_misses = 0;
}

static void read_one(int64_t offset)
{
    struct rig_read rr;
    assert_int_equal(rig_read(&rig, rig.log, &rr, offset, 1000), 0);
    read_release(&rr.read);
    rig_settle(&rig);
}

static void reads_in_sequence_are_read_ahead_for(void **state)
{
    (void)state;
    fill_log_far();
    for (int64_t i = 0; i < 60; i++)
        read_one(i);
    assert_true(rig.store->stats.read_misses <= 3);
    assert_int_equal(rig.log->streams_n, 1);
}

static void reads_of_two_readers_in_turn_are_both_read_ahead_for(void **state)
{
    (void)state;
    fill_log_far();
    for (int64_t i = 0; i < 30; i++) {
        read_one(i);
        read_one(30 + i);
    }
    assert_true(rig.store->stats.read_misses <= 6);
    assert_int_equal(rig.log->streams_n, 2);
}

/* Somebody who jumps gets what was asked for, and nothing is read for nobody. */
static void reads_without_order_are_not_read_ahead_for(void **state)
{
    (void)state;
    fill_log_far();
    for (int64_t i = 0; i < 60; i += 2)
        read_one(i * 17 % 60);
    assert_true(rig.store->cache.bytes[CACHE_COLD] <= 30 * 4 * PAGE_LARGE);
    assert_int_equal(rig.store->stats.read_misses, 30);
    assert_int_equal(rig.log->streams_n, 30);
    rig_log_new(&rig, 1);
    for (int64_t i = 1; i < 60; i += 2)
        read_one(i * 17 % 60);
    assert_true(rig.log->streams_n <= AHEAD_STREAMS_N);
}

/* A file system that does not know such reads: the read is repeated, later ones ask no more. */
static void read_that_need_not_be_kept_is_repeated_where_it_is_refused(void **state)
{
    (void)state;
    fill_log_far();
    rig.io.fail_at = rig.io.done_n + 1;
    rig.io.fail_errno = EOPNOTSUPP;
    read_one(0);
    assert_true(rig.store->has_no_once);
    rig.is_io_held = true;
    struct rig_read rr = {
        .read = {.offset = 40, .bytes_max = 100, .at_least_one = true, .done = rig_read_done}};
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    assert_false(list_entry(rig.io.queue.next, struct io_op, link)->is_once);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done && rr.error == 0);
    read_release(&rr.read);
}

static void dropped_log_leaves_no_stream(void **state)
{
    (void)state;
    fill_log_far();
    read_one(0);
    read_one(1);
    struct plog *log = rig.log;
    rig.log = NULL;
    store_log_drop(rig.store, log);
    rig_wait_ms(&rig, 2000);
    rig_wait_ms(&rig, 2000);
    for (int i = 0; i < AHEAD_STREAMS_N; i++)
        assert_null(rig.store->streams[i].log);
}

static void read_released_under_way_is_never_done(void **state)
{
    struct rig_read rr[2];
    (void)state;
    fill_log(10);
    rig_forget_pages(&rig);
    for (int i = 0; i < 2; i++) {
        rr[i] = (struct rig_read){
            .read = {.offset = 0, .bytes_max = 5000, .at_least_one = true, .done = rig_read_done}};
        assert_int_equal(plog_read(rig.log, &rr[i].read, rig.now), E_AGAIN);
    }
    read_release(&rr[0].read);
    rig_settle(&rig);
    assert_false(rr[0].is_done);
    assert_true(rr[1].is_done);
    read_release(&rr[1].read);
    assert_true(store_is_quiet(rig.store));
}

static void read_that_fails_on_the_disk_says_so_and_the_next_may_work(void **state)
{
    struct rig_read rr;
    (void)state;
    fill_log(10);
    rig_forget_pages(&rig);
    rig.io.fail_at = rig.io.done_n + 1;
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 5000), E_STORAGE);
    read_release(&rr.read);
    assert_int_equal(rig.store->cache.pages_n, 0);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), 20);
}

static void read_of_damaged_bytes_is_corrupt(void **state)
{
    struct rig_read rr;
    char path[DISK_PATH_MAX + 100];
    (void)state;
    fill_log(10);
    rig_forget_pages(&rig);
    snprintf(path, sizeof path, "%s/topic-0/00000000000000000000.log", rig.directory);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 0, SEEK_SET);
    static const uint8_t zeros[200];
    assert_int_equal(fwrite(zeros, 1, sizeof zeros, f), sizeof zeros);
    fclose(f);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 5000), E_CORRUPT);
    read_release(&rr.read);
}

static void read_lent_pages_survive_eviction_and_drop(void **state)
{
    struct rig_read rr;
    (void)state;
    fill_log(10);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 15000), 0);
    uint8_t *before = rig_flat(&rr.read);
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    rig_settle(&rig);
    rig_wait_ms(&rig, 5000);
    struct list taken, *l;
    struct page *page;
    list_init(&taken);
    while ((page = cache_take(&rig.store->cache, PAGE_LARGE)) != NULL) {
        memset(page_data(page), 0xee, PAGE_LARGE);
        list_append(&taken, &page->link);
    }
    uint8_t *after = rig_flat(&rr.read);
    assert_memory_equal(before, after, rr.read.data.bytes);
    free(before);
    free(after);
    read_release(&rr.read);
    while ((l = list_pop(&taken)) != NULL)
        page_put(list_entry(l, struct page, link));
}

static void read_under_way_of_a_dropped_log_ends(void **state)
{
    struct rig_read rr = {
        .read = {.offset = 0, .bytes_max = 5000, .at_least_one = true, .done = rig_read_done}};
    (void)state;
    fill_log(10);
    rig_forget_pages(&rig);
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    assert_true(rr.is_done);
    assert_int_equal(rr.error, E_NOT_FOUND);
    read_release(&rr.read);
    rig_settle(&rig);
    rig_wait_ms(&rig, 5000);
    assert_true(store_is_quiet(rig.store));
}

static void read_large_batch_over_many_pages_and_fills(void **state)
{
    (void)state;
    rig_append(&rig, 1, 3500000, 'L');
    rig_append(&rig, 1, 100, 's');
    rig_settle(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 2);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 2);
}

static void read_batch_larger_than_memory_is_refused(void **state)
{
    struct rig_read rr;
    (void)state;
    rig_fini(&rig);
    rig_init_pages(&rig, 2 * PAGE_BLOCK);
    rig_log_new(&rig, 0);
    rig_append(&rig, 1, 3500000, 'L');
    rig_settle(&rig);
    rig_forget_pages(&rig);
    struct page *held[20];
    for (int i = 0; i < 20; i++)
        assert_non_null(held[i] = pages_take(&rig.pages, PAGE_LARGE));
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 1000), E_NO_MEMORY);
    read_release(&rr.read);
    for (int i = 0; i < 20; i++)
        page_put(held[i]);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 1);
}

static void read_many_small_slices_fit(void **state)
{
    struct rig_read rr;
    (void)state;
    for (int i = 0; i < 700;
         i++) { /* slowly, so that all pages are small: several hundred slices */
        rig_append(&rig, 1, 2000, (uint8_t)i);
        rig.now.ns += 2 * NS_PER_S;
        rig_turn(&rig);
    }
    rig_settle(&rig);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 10000000), 0);
    assert_true(rr.read.data.n > 300);
    uint8_t *flat = rig_flat(&rr.read);
    assert_int_equal(rig_check_batches(flat, rr.read.data.bytes, 0), 700);
    free(flat);
    read_release(&rr.read);
}

static void read_of_sealed_segments_loads_their_indexes_within_a_budget(void **state)
{
    (void)state;
    rig.log_config.segment_bytes = 100000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 300; i++) {
        rig_append(&rig, 2, 1000, (uint8_t)i);
        if (i % 10 == 0)
            rig_settle(&rig);
    }
    rig_settle(&rig);
    assert_true(rig.log->sealed_n >= 5);
    rig_forget_pages(&rig);
    while (!list_is_empty(&rig.store->indexes))
        segment_index_drop(list_first(&rig.store->indexes, struct segment, index_link));
    assert_int_equal(rig.store->index_bytes, 0);
    for (int64_t at = 0; at < 600; at += 37)
        assert_int_equal(rig_read_all(&rig, rig.log, at, 20000), 600);
    assert_true(rig.store->index_bytes > 0);
}

static void read_with_a_lost_or_damaged_index_scans(void **state)
{
    char path[DISK_PATH_MAX + 100];
    (void)state;
    rig.log_config.segment_bytes = 50000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 100; i++)
        rig_append(&rig, 2, 1000, (uint8_t)i);
    rig_settle(&rig);
    while (!list_is_empty(&rig.store->indexes))
        segment_index_drop(list_first(&rig.store->indexes, struct segment, index_link));
    snprintf(path, sizeof path, "%s/topic-0/%020lld.index", rig.directory,
             (long long)rig.log->segments[0]->base_offset);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/topic-0/%020lld.index", rig.directory,
             (long long)rig.log->segments[1]->base_offset);
    FILE *f = fopen(path, "w");
    static const uint8_t wild[] = {0, 0, 0, 1, 0x7f, 0, 0, 0}; /* a position beyond the segment */
    assert_int_equal(fwrite(wild, 1, sizeof wild, f), sizeof wild);
    fclose(f);
    for (int64_t at = 1; at < 200; at += 13)
        assert_int_equal(rig_read_all(&rig, rig.log, at, 20000), 200);
}

static void read_with_few_descriptors_opens_and_closes(void **state)
{
    enum { LOGS_N = 30 };
    struct plog *logs[LOGS_N];
    struct append out;
    (void)state;
    rig.store->config.open_files_max = 5;
    for (int i = 0; i < LOGS_N; i++)
        logs[i] = rig_log_new(&rig, i + 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < LOGS_N; i++)
            assert_int_equal(rig_append_to(&rig, logs[i], 1, 100, 'a', &out), 0);
        rig_settle(&rig);
        rig_forget_pages(&rig);
        for (int i = 0; i < LOGS_N; i++)
            assert_int_equal(rig_read_all(&rig, logs[i], 0, 1000), round + 1);
        rig_wait_ms(&rig, 100);
        assert_true(store_stats(rig.store)->files_open_n <= 5);
    }
    assert_true(rig.io.kinds_n[IO_CLOSE] > LOGS_N);
}

static void flush_that_takes_too_long_is_counted(void **state)
{
    (void)state;
    rig.store->config.stall_ns = 50 * NS_PER_MS;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->stalls, 0);
    rig_append(&rig, 1, 100, 'b');
    for (int i = 0; i < 20 && store_stats(rig.store)->flush_rounds < 2; i++)
        rig_turn(&rig);
    rig.now.ns += 70 * NS_PER_MS; /* the device thinks */
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->stalls, 1);
    assert_true(store_stats(rig.store)->stall_ns >= 70 * NS_PER_MS);
}

static uint64_t stalled(uint64_t from_ns, uint64_t to_ns, uint64_t *took_ns)
{
    uint8_t dir = 99;
    uint64_t ns = store_stalled(rig.store, from_ns, to_ns, took_ns, &dir);
    assert_int_equal(dir, ns > 0 ? rig.store->config.dir : 99);
    return ns;
}

/* A read counts too, and what overlaps is one stall. */
static void disk_that_stands_still_is_one_stall_with_its_times(void **state)
{
    uint64_t took_ns = 0;
    (void)state;
    rig.store->config.stall_ns = 50 * NS_PER_MS;
    rig_append(&rig, 10, 100, 'a');
    rig_settle(&rig);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 10);
    assert_int_equal(store_stats(rig.store)->stalls, 0);
    store_note_stall(rig.store, 1000, 1000 + 50 * NS_PER_MS - 1); /* just in time */
    store_note_stall(rig.store, 0, 100 * NS_PER_MS);              /* not measured */
    assert_int_equal(store_stats(rig.store)->stalls, 0);
    assert_int_equal(stalled(0, UINT64_MAX, &took_ns), 0);
    store_note_stall(rig.store, 200 * NS_PER_MS, 300 * NS_PER_MS);
    store_note_stall(rig.store, 190 * NS_PER_MS, 310 * NS_PER_MS);
    store_note_stall(rig.store, 250 * NS_PER_MS, 320 * NS_PER_MS);
    assert_int_equal(store_stats(rig.store)->stalls, 1);
    assert_int_equal(store_stats(rig.store)->stall_ns, 130 * NS_PER_MS);
    store_note_stall(rig.store, 320 * NS_PER_MS, 400 * NS_PER_MS); /* begins where it ended */
    assert_int_equal(store_stats(rig.store)->stalls, 2);
    assert_int_equal(stalled(0, 100, &took_ns), 0);
    assert_int_equal(stalled(300 * NS_PER_MS, 350 * NS_PER_MS, &took_ns), 50 * NS_PER_MS);
    assert_int_equal(took_ns, 130 * NS_PER_MS);
    assert_int_equal(stalled(0, UINT64_MAX, &took_ns), 210 * NS_PER_MS);
    for (uint64_t i = 5; i < 5 + STALLS_N; i++) /* the oldest are forgotten */
        store_note_stall(rig.store, i * 100 * NS_PER_MS, (i * 100 + 60) * NS_PER_MS);
    assert_int_equal(stalled(0, 400 * NS_PER_MS, &took_ns), 0);
}

static void read_that_takes_too_long_is_a_stall(void **state)
{
    struct rig_read rr = {
        .read = {.offset = 0, .bytes_max = 5000, .at_least_one = true, .done = rig_read_done}};
    uint64_t took_ns = 0;
    (void)state;
    rig.store->config.stall_ns = 50 * NS_PER_MS;
    (void)fill_log(10);
    rig_forget_pages(&rig);
    rig.now.ns += NS_PER_S; /* nothing was done for a while: that is no stall */
    rig.is_io_held = true;
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    rig_turn(&rig);
    uint64_t began_ns = rig.now.ns;
    rig.now.ns += 70 * NS_PER_MS;
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done);
    assert_int_equal(store_stats(rig.store)->stalls, 1);
    assert_in_range(stalled(began_ns, rig.now.ns, &took_ns), 70 * NS_PER_MS, 71 * NS_PER_MS);
    assert_in_range(took_ns, 70 * NS_PER_MS, 71 * NS_PER_MS);
    read_release(&rr.read);
}

static void files_of_logs_that_rest_are_closed(void **state)
{
    struct append out;
    (void)state;
    rig.store->config.open_idle_ns = NS_PER_S;
    for (int i = 0; i < 20; i++)
        assert_int_equal(rig_append_to(&rig, rig_log_new(&rig, i + 1), 1, 100, 'a', &out), 0);
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->files_open_n, 20);
    rig_wait_ms(&rig, 900);
    assert_int_equal(store_stats(rig.store)->files_open_n, 20);
    struct plog *busy = store_log_find(rig.store, &rig_topic_id, 3);
    assert_int_equal(rig_append_to(&rig, busy, 1, 100, 'b', &out), 0);
    rig_settle(&rig);
    rig_wait_ms(&rig, 200);
    assert_int_equal(store_stats(rig.store)->files_open_n, 1);
    rig_forget_pages(&rig);
    for (int i = 0; i < 20; i++) {
        struct plog *log = store_log_find(rig.store, &rig_topic_id, i + 1);
        assert_int_equal(rig_read_all(&rig, log, 0, 1000), i + 1 == 3 ? 2 : 1);
    }
    rig_wait_ms(&rig, 1100);
    assert_int_equal(store_stats(rig.store)->files_open_n, 0);
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(read_outside_the_log_is_out_of_range),
        WITH_LOG(read_stops_at_the_high_watermark),
        WITH_LOG(read_gives_whole_batches_and_at_least_one),
        WITH_LOG(read_from_disk_waits_and_ends_in_a_later_turn),
        WITH_LOG(read_without_waiting_touches_only_memory),
        WITH_LOG(read_many_wait_for_one_fill),
        WITH_LOG(read_of_a_critical_log_does_not_wait_for_others),
        WITH_LOG(read_of_a_bulk_log_is_small_beside_a_critical_one),
        WITH_LOG(reads_in_sequence_are_read_ahead_for),
        WITH_LOG(reads_of_two_readers_in_turn_are_both_read_ahead_for),
        WITH_LOG(reads_without_order_are_not_read_ahead_for),
        WITH_LOG(read_that_need_not_be_kept_is_repeated_where_it_is_refused),
        WITH_LOG(dropped_log_leaves_no_stream),
        WITH_LOG(read_released_under_way_is_never_done),
        WITH_LOG(read_that_fails_on_the_disk_says_so_and_the_next_may_work),
        WITH_LOG(read_of_damaged_bytes_is_corrupt),
        WITH_LOG(read_lent_pages_survive_eviction_and_drop),
        WITH_LOG(read_under_way_of_a_dropped_log_ends),
        WITH_LOG(read_large_batch_over_many_pages_and_fills),
        WITH_LOG(read_batch_larger_than_memory_is_refused),
        WITH_LOG(read_many_small_slices_fit),
        WITH_LOG(read_of_sealed_segments_loads_their_indexes_within_a_budget),
        WITH_LOG(read_with_a_lost_or_damaged_index_scans),
        WITH_LOG(read_with_few_descriptors_opens_and_closes),
        WITH_LOG(files_of_logs_that_rest_are_closed),
        WITH_LOG(flush_that_takes_too_long_is_counted),
        WITH_LOG(disk_that_stands_still_is_one_stall_with_its_times),
        WITH_LOG(read_that_takes_too_long_is_a_stall),
    };
    return TESTS_RUN(tests);
}
