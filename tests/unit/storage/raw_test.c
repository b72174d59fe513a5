/* raw_test.c - raw.c: long runs past the page cache: whole blocks, and every way back to a buffered
 * write. */
#include "rig.h"

enum { RUN = 100000, FILE_MAX = 4 << 20 };

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.store->config.raw_bytes_min = 64 << 10;
    rig_log_new(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static struct segment *segment(void)
{
    return plog_active(rig.log);
}

static int64_t file_read_bytes(uint8_t *to)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0/%020d.log", rig.directory, 0);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int64_t n = (int64_t)fread(to, 1, FILE_MAX, f);
    fclose(f);
    return n;
}

/* Every byte of the log is in the file, and what follows is zeros to the end of a block. */
static void check_file(void)
{
    static uint8_t file[FILE_MAX];
    int64_t bytes = file_read_bytes(file);
    uint64_t pos = 0, end = segment()->end_pos;
    while (pos < end) {
        struct batch b;
        assert_int_equal(batch_header(file + pos, &b), 0);
        assert_int_equal(batch_crc(file + pos, b.bytes), b.crc);
        pos += b.bytes;
    }
    assert_int_equal(pos, end);
    assert_in_range(bytes, end, align_up(end, RAW_BLOCK));
    for (; pos < (uint64_t)bytes; pos++)
        assert_int_equal(file[pos], 0);
}

/* The file is there and has its second descriptor; io is held from here on. */
static void open_and_hold(void)
{
    rig_append(&rig, 1, 1000, 'a');
    rig_settle(&rig);
    rig_append(&rig, 1, RUN, 'b');
    rig_settle(&rig);
    assert_true(segment()->raw_fd >= 0);
    check_file();
    rig.is_io_held = true;
}

static void append_and_write(uint32_t bytes)
{
    rig_append(&rig, 1, bytes, 'c');
    store_flush(rig.store, rig.now);
    assert_non_null(fake_io_first(&rig.io));
    assert_int_equal(fake_io_first(&rig.io)->kind, IO_WRITE);
}

static bool is_raw(void)
{
    const struct io_op *op = fake_io_first(&rig.io);
    return op->fd == segment()->raw_fd;
}

static void settle_and_check(int64_t end)
{
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, end);
    assert_int_equal(rig.log->state, PLOG_OPEN);
    check_file();
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), end);
}

static void long_run_is_whole_blocks_of_aligned_memory(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    const struct io_op *op = fake_io_first(&rig.io);
    assert_true(is_raw());
    assert_false(op->is_once);
    assert_true(is_aligned(op->pos, RAW_BLOCK));
    for (uint32_t i = 0; i < op->iov_n; i++) {
        assert_true(is_aligned((uintptr_t)op->iov[i].iov_base, RAW_BLOCK));
        assert_true(is_aligned(op->iov[i].iov_len, RAW_BLOCK));
    }
    settle_and_check(3);
}

static void run_of_many_small_pages_is_written_in_pieces(void **state)
{
    (void)state;
    open_and_hold();
    for (int i = 0; i < 300; i++)
        rig_append(&rig, 1, 990, 'd');
    store_flush(rig.store, rig.now);
    assert_true(is_raw());
    settle_and_check(302);
}

static void appends_meanwhile_do_not_change_what_is_being_written(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    const struct io_op *op = fake_io_first(&rig.io);
    const struct iovec *last = &op->iov[op->iov_n - 1];
    uint8_t before[RAW_BLOCK];
    assert_int_equal(last->iov_len, RAW_BLOCK);
    memcpy(before, last->iov_base, RAW_BLOCK);
    assert_int_equal(before[RAW_BLOCK - 1], 0);
    rig_append(&rig, 1, RUN, 'e');
    assert_memory_equal(before, last->iov_base, RAW_BLOCK);
    settle_and_check(4);
}

static void short_run_is_written_as_before(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(500);
    assert_false(is_raw());
    settle_and_check(3);
}

/* The page of the unfinished block was given up: that block has no beginning in memory. */
static void run_without_its_first_block_is_written_as_before(void **state)
{
    (void)state;
    open_and_hold();
    rig_forget_pages(&rig);
    append_and_write(RUN);
    assert_false(is_raw());
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    rig.is_io_held = false;
    rig_settle(&rig);
    rig.is_io_held = true;
    append_and_write(RUN);
    assert_true(is_raw());
    settle_and_check(4);
}

static void refused_run_is_written_as_before_and_fails_nothing(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    rig.io.fail_at = rig.io.done_n + 1;
    rig.io.fail_errno = EINVAL;
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(fake_io_first(&rig.io)->kind, IO_WRITE);
    assert_false(is_raw());
    settle_and_check(3);
}

static void short_write_goes_on_at_a_block(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    rig.io.short_bytes = 3 * RAW_BLOCK + 512;
    uint64_t pos = fake_io_first(&rig.io)->pos;
    fake_io_complete(&rig.io, 0);
    rig.io.short_bytes = 0;
    rig_turn(&rig);
    assert_true(is_raw());
    assert_int_equal(fake_io_first(&rig.io)->pos, pos + 3 * RAW_BLOCK);
    settle_and_check(3);
}

static void write_of_less_than_a_block_ends_it(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    rig.io.short_bytes = 512;
    fake_io_complete(&rig.io, 0);
    rig.io.short_bytes = 0;
    rig_turn(&rig);
    assert_false(is_raw());
    settle_and_check(3);
}

static void failed_run_fails_its_log(void **state)
{
    (void)state;
    open_and_hold();
    append_and_write(RUN);
    rig.io.fail_at = rig.io.done_n + 1;
    rig.io.fail_errno = EIO;
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig.log->state, PLOG_FAILED);
}

static void file_system_without_it_is_asked_once(void **state)
{
    (void)state;
    rig.disk.has_no_direct = true;
    rig_append(&rig, 1, 1000, 'a');
    rig_settle(&rig);
    for (int i = 0; i < 3; i++) {
        rig_append(&rig, 1, RUN, 'b');
        rig_settle(&rig);
    }
    assert_true(rig.store->has_no_raw);
    assert_int_equal(segment()->raw_fd, -1);
    settle_and_check(4);
}

/* The descriptor came when nobody wanted it any more: it is closed again. */
static void descriptor_of_a_dropped_log_is_closed(void **state)
{
    (void)state;
    rig_append(&rig, 1, 1000, 'a');
    rig_settle(&rig);
    rig_append(&rig, 1, RUN, 'b');
    store_flush(rig.store, rig.now); /* asks for it */
    assert_true(segment()->is_raw_opening);
    struct plog *log = rig.log;
    rig.log = NULL;
    store_log_drop(rig.store, log);
    rig_settle(&rig);
    assert_int_equal(rig.store->stats.files_open_n, 0);
    assert_int_equal(rig.disk.opens_n - rig.disk.closes_n - rig.io.kinds_n[IO_CLOSE], 1);
}

static void rolled_segment_is_cut_to_its_content(void **state)
{
    (void)state;
    static uint8_t file[FILE_MAX];
    open_and_hold();
    rig.is_io_held = false;
    rig.log_config.segment_bytes = (uint32_t)segment()->end_pos + RUN + 1000;
    plog_configure(rig.log, &rig.log_config);
    rig_append(&rig, 1, RUN, 'c');
    uint64_t end = segment()->end_pos;
    rig_append(&rig, 1, RUN, 'd');
    rig_settle(&rig);
    assert_int_equal(rig.log->segments_n, 2);
    assert_int_equal(rig.log->segments[0]->state, SEGMENT_SEALED);
    assert_int_equal(file_read_bytes(file), end);
}

/* ── reading back ── */

/* A log of more than four pages of 64 KiB, nothing of it in memory; io is held. */
static void fill_and_forget(void)
{
    open_and_hold();
    rig.is_io_held = false;
    for (int i = 0; i < 3; i++)
        rig_append(&rig, 1, RUN, 'c');
    rig_settle(&rig);
    rig_forget_pages(&rig);
    rig.is_io_held = true;
}

static struct rig_read read_begin(uint32_t bytes_max)
{
    return (struct rig_read){.read = {
                                 .offset = 0,
                                 .bytes_max = bytes_max,
                                 .at_least_one = true,
                                 .done = rig_read_done,
                             }};
}

static void read_of_whole_pages_goes_past_the_page_cache(void **state)
{
    struct rig_read rr = read_begin(3 * PAGE_LARGE);
    (void)state;
    fill_and_forget();
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    const struct io_op *op = fake_io_first(&rig.io);
    assert_int_equal(op->kind, IO_READ);
    assert_true(is_raw());
    assert_false(op->is_once);
    assert_true(is_aligned(op->pos, PAGE_LARGE));
    for (uint32_t i = 0; i < op->iov_n; i++)
        assert_int_equal(op->iov[i].iov_len, PAGE_LARGE);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done);
    read_release(&rr.read);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 5);
}

/* The last page of the log is read as far as it is written: an append may go on behind that. */
static void read_of_the_last_page_is_buffered_and_leaves_appends_alone(void **state)
{
    struct rig_read rr = read_begin(PAGE_LARGE);
    (void)state;
    fill_and_forget();
    rr.read.offset = 4;
    uint64_t last = align_down(segment()->written_pos, PAGE_LARGE);
    assert_true(last < segment()->written_pos);
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    list_for_each(node, next, &rig.io.queue) {
        const struct io_op *op = list_entry(node, struct io_op, link);
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < op->iov_n; i++)
            bytes += op->iov[i].iov_len;
        if (op->fd == segment()->raw_fd)
            assert_true(op->pos + bytes <= last);
        else
            assert_true(op->pos + bytes <= segment()->written_pos);
    }
    rig_append(&rig, 1, 500, 'z'); /* while it is under way */
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done);
    if (rr.error == 0)
        read_release(&rr.read);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 6);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 6);
    check_file();
}

static void read_that_the_device_refuses_is_buffered(void **state)
{
    struct rig_read rr = read_begin(3 * PAGE_LARGE);
    (void)state;
    fill_and_forget();
    rig.io.fail_at = rig.io.done_n + 1;
    rig.io.fail_errno = EINVAL;
    assert_int_equal(plog_read(rig.log, &rr.read, rig.now), E_AGAIN);
    assert_true(is_raw());
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(rr.is_done);
    assert_int_equal(rr.error, 0);
    assert_true(segment()->is_raw_refused);
    read_release(&rr.read);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 5);
}

/* A device gives what it likes: whole blocks, or parts of one. */
static void read_that_comes_in_pieces_is_whole_in_the_end(void **state)
{
    static const uint32_t pieces[] = {RAW_BLOCK, 3 * RAW_BLOCK, 5000, 70000};
    (void)state;
    fill_and_forget();
    rig.is_io_held = false;
    for (size_t i = 0; i < array_n(pieces); i++) {
        rig_forget_pages(&rig);
        rig.io.short_bytes = pieces[i];
        assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 5);
        assert_false(segment()->is_raw_refused);
    }
    rig.io.short_bytes = 0;
}

/* Sealed segments have no second descriptor until somebody reads them from the disk. */
static void sealed_segment_is_read_past_the_page_cache_too(void **state)
{
    (void)state;
    rig.log->config.segment_bytes = 2 * RUN;
    for (int i = 0; i < 6; i++)
        rig_append(&rig, 1, RUN, 'c');
    rig_settle(&rig);
    struct segment *first = rig.log->segments[0];
    assert_int_equal(first->state, SEGMENT_SEALED);
    for (int i = 0; i < 2; i++) { /* the first time the descriptor is asked for */
        rig_forget_pages(&rig);
        assert_int_equal(rig_read_all(&rig, rig.log, 0, RUN), 6);
    }
    assert_true(first->raw_fd >= 0);
    rig.store->config.raw_bytes_min = 0; /* storage.direct.min.bytes=0 */
    assert_false(raw_may_read(first));
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(long_run_is_whole_blocks_of_aligned_memory),
        WITH_LOG(read_of_whole_pages_goes_past_the_page_cache),
        WITH_LOG(read_of_the_last_page_is_buffered_and_leaves_appends_alone),
        WITH_LOG(read_that_the_device_refuses_is_buffered),
        WITH_LOG(read_that_comes_in_pieces_is_whole_in_the_end),
        WITH_LOG(sealed_segment_is_read_past_the_page_cache_too),
        WITH_LOG(run_of_many_small_pages_is_written_in_pieces),
        WITH_LOG(appends_meanwhile_do_not_change_what_is_being_written),
        WITH_LOG(short_run_is_written_as_before),
        WITH_LOG(run_without_its_first_block_is_written_as_before),
        WITH_LOG(refused_run_is_written_as_before_and_fails_nothing),
        WITH_LOG(short_write_goes_on_at_a_block),
        WITH_LOG(write_of_less_than_a_block_ends_it),
        WITH_LOG(failed_run_fails_its_log),
        WITH_LOG(file_system_without_it_is_asked_once),
        WITH_LOG(descriptor_of_a_dropped_log_is_closed),
        WITH_LOG(rolled_segment_is_cut_to_its_content),
    };
    return TESTS_RUN(tests);
}
