/* bulk_test.c - bulk.c and batch_scan.c: records by time, in every codec, with good, absent and
 * damaged indexes. */
#include "jobs.h"

#include "batch_scan.h"
#include "compress.h"
#include "fault_disk.h"
#include "helper.h"
#include "index.h"
#include "samples.h"
#include "unit.h"

static char directory[DISK_PATH_MAX];
static struct fault_disk fault;
static struct helper helper;
static struct time_query query;
static struct job job;

/* A segment being made. */
static uint8_t file[1 << 18], index_file[4096], time_file[4096];
static uint32_t file_n, index_n, time_n;
static int64_t next_offset, base_offset;

static int setup(void **state)
{
    (void)state;
    test_directory(directory);
    fault_disk_init(&fault, disk_posix());
    helper = (struct helper){.disk = &fault.disk};
    job = (struct job){.kind = JOB_TIME_QUERY, .query = &query};
    memcpy(job.directory, directory, sizeof directory);
    next_offset = base_offset = 0;
    file_n = index_n = time_n = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_directory_remove(directory);
    assert_int_equal(fault.fds_n, 0);
    return 0;
}

/* Appends a batch with these times; `is_indexed` makes entries for it. */
static void append(const int64_t *times, int n, uint8_t codec, int16_t attributes, bool is_indexed)
{
    static uint8_t plain[8192], batch[16384];
    struct batch_builder b;
    batch_begin(&b, plain, sizeof plain);
    for (int i = 0; i < n; i++)
        assert_int_equal(
            batch_add(&b, times[i], bytes_of_string("key"), bytes_of(sample_plain, 100)), 0);
    uint32_t bytes = batch_end(&b, (int16_t)(codec | attributes), 7);
    memcpy(batch, plain, BATCH_HEADER);
    int64_t packed = codec_compress(codec, COMPRESS_LEVEL_DEFAULT,
                                    bytes_of(plain + BATCH_HEADER, bytes - BATCH_HEADER),
                                    batch + BATCH_HEADER, sizeof batch - BATCH_HEADER);
    assert_true(packed > 0);
    bytes = BATCH_HEADER + (uint32_t)packed;
    store_u64(batch, (uint64_t)next_offset);
    store_u32(batch + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
    batch_stamp_crc(batch, bytes);
    next_offset += n;
    if (is_indexed) {
        int32_t relative = (int32_t)(next_offset - 1 - base_offset);
        index_put(index_file + index_n, relative, file_n);
        time_index_put(time_file + time_n, load_i64(batch + BATCH_MAX_TIMESTAMP_AT), relative);
        index_n += INDEX_ENTRY;
        time_n += TIME_INDEX_ENTRY;
    }
    memcpy(file + file_n, batch, bytes);
    file_n += bytes;
}

/* Writes what was appended as a segment of the job. */
static void segment_end(int64_t time_max, bool with_index)
{
    char name[64];
    snprintf(name, sizeof name, "%020lld.log", (long long)base_offset);
    test_file(directory, name, file, file_n);
    if (with_index) {
        snprintf(name, sizeof name, "%020lld.index", (long long)base_offset);
        test_file(directory, name, index_file, index_n);
        snprintf(name, sizeof name, "%020lld.timeindex", (long long)base_offset);
        test_file(directory, name, time_file, time_n);
    }
    job.segments[job.segments_n].base_offset = base_offset;
    job.segments[job.segments_n].bytes = file_n;
    job.segments[job.segments_n++].time_max = time_max;
    base_offset = next_offset;
    file_n = index_n = time_n = 0;
}

static int ask(int64_t time_ms)
{
    query = (struct time_query){.time_ms = time_ms};
    int error = bulk_time_query(&helper, &job);
    assert_int_equal(query.error, error);
    assert_int_equal(fault.fds_n, 0);
    return error;
}

static void is_answer(int64_t time_ms, int64_t offset, int64_t timestamp_ms)
{
    assert_int_equal(ask(time_ms), 0);
    assert_int_equal(query.offset, offset);
    assert_int_equal(query.timestamp_ms, timestamp_ms);
    assert_int_equal(query.epoch, offset < 0 ? -1 : 7);
}

/* Offsets 0-2, 3-5, 6-8 in one segment, 9-10 in the next. The largest time, 350, is at 4. */
static void two_segments(uint8_t codec, bool with_index)
{
    append((int64_t[]){100, 110, 105}, 3, codec, 0, false);
    append((int64_t[]){200, 350, 210}, 3, codec, 0, true);
    append((int64_t[]){300, 310, 320}, 3, codec, 0, false);
    segment_end(350, with_index);
    append((int64_t[]){330, 345}, 2, codec, 0, false);
    segment_end(345, with_index);
}

static void asks_of_two_segments(void)
{
    is_answer(0, 0, 100);
    is_answer(100, 0, 100);
    is_answer(101, 1, 110);
    is_answer(110, 1, 110);
    is_answer(111, 3, 200);
    is_answer(201, 4, 350);
    is_answer(350, 4, 350);
    is_answer(351, -1, -1);
    is_answer(TIME_MAX_TIMESTAMP, 4, 350);
}

static void first_record_at_a_time_is_found_in_every_codec(void **state)
{
    for (uint8_t codec = CODEC_NONE; codec < CODECS_N; codec++)
        for (int with_index = 0; with_index < 2; with_index++) {
            setup(state);
            two_segments(codec, with_index);
            asks_of_two_segments();
            teardown(state);
        }
    setup(state);
}

static void unknown_largest_time_is_found_by_reading(void **state)
{
    (void)state;
    two_segments(CODEC_NONE, false);
    job.segments[0].time_max = job.segments[1].time_max = -1;
    asks_of_two_segments();
}

static void records_below_the_log_start_are_passed_over(void **state)
{
    (void)state;
    two_segments(CODEC_GZIP, true);
    job.base_offset = 5;
    is_answer(0, 5, 210);
    is_answer(211, 6, 300);
    is_answer(TIME_MAX_TIMESTAMP, 10, 345);
}

static void log_append_time_counts_for_all_records_of_a_batch(void **state)
{
    (void)state;
    append((int64_t[]){10, 20, 500}, 3, CODEC_LZ4, BATCH_LOG_APPEND_TIME, false);
    segment_end(500, false);
    is_answer(100, 0, 500);
    is_answer(TIME_MAX_TIMESTAMP, 0, 500);
}

static void segment_gone_is_passed_over(void **state)
{
    (void)state;
    two_segments(CODEC_NONE, false);
    char path[DISK_PATH_MAX];
    segment_path(path, directory, 0, ".log");
    assert_int_equal(disk_unlink(disk_posix(), path), 0);
    is_answer(0, 9, 330);
}

static void no_segments_have_no_record(void **state)
{
    (void)state;
    is_answer(0, -1, -1);
    is_answer(TIME_MAX_TIMESTAMP, -1, -1);
}

static void damaged_indexes_do_not_change_the_answer(void **state)
{
    (void)state;
    two_segments(CODEC_NONE, true);
    uint8_t bad[64];
    /* Positions inside a batch, beyond the file, and of a later batch than the time says. */
    const uint32_t positions[] = {17, 1 << 30, 0x7fffffff};
    for (size_t i = 0; i < array_n(positions); i++) {
        index_put(bad, 5, positions[i]);
        test_file(directory, "00000000000000000000.index", bad, INDEX_ENTRY);
        asks_of_two_segments();
    }
    memset(bad, 0xff, sizeof bad);
    test_file(directory, "00000000000000000000.index", bad, sizeof bad);
    asks_of_two_segments();
    test_file(directory, "00000000000000000000.timeindex", bad, sizeof bad);
    asks_of_two_segments();
    memset(bad, 0, sizeof bad);
    test_file(directory, "00000000000000000000.timeindex", bad, 24);
    asks_of_two_segments();
}

static void search_may_begin_where_the_store_says(void **state)
{
    (void)state;
    two_segments(CODEC_NONE, false);
    struct batch b;
    uint8_t header[BATCH_HEADER];
    assert_int_equal(test_file_read(directory, "00000000000000000000.log", header, sizeof header),
                     sizeof header);
    assert_int_equal(batch_header(header, &b), 0);
    job.segments[0].from_pos = b.bytes;
    is_answer(0, 3, 200);
}

static void damage_is_an_error_and_no_answer(void **state)
{
    (void)state;
    two_segments(CODEC_GZIP, false);
    char path[DISK_PATH_MAX];
    segment_path(path, directory, 0, ".log");
    int fd = disk_open(disk_posix(), path, DISK_WRITE);
    assert_int_equal(disk_write(disk_posix(), fd, "xxxxxxxx", 8, BATCH_HEADER + 12), 0);
    disk_close(disk_posix(), fd);
    assert_int_equal(ask(0), E_CORRUPT);
    assert_int_equal(query.offset, -1);
    is_answer(111, 3, 200);     /* the damaged batch is not needed for this */
    job.segments[0].bytes -= 1; /* torn */
    assert_int_equal(ask(TIME_MAX_TIMESTAMP), E_CORRUPT);
}

static void every_operation_failing_is_an_error(void **state)
{
    (void)state;
    two_segments(CODEC_NONE, true);
    job.segments[0].time_max = -1; /* its files are looked at */
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, E_IO, true);
        int error = ask(351);
        assert_int_equal(query.offset, -1);
        if (!fault.is_fired) {
            assert_int_equal(error, 0);
            assert_true(n > 5);
            return;
        }
        assert_int_equal(error, E_IO);
    }
}

/* ── batch_scan ── */

static void scan_walks_small_and_large_batches(void **state)
{
    struct batch_scan scan;
    struct batch b;
    struct bytes body;
    const uint8_t *header;
    int64_t times[60];
    uint32_t batches_n = 0;
    (void)state;
    for (int i = 0; i < 60; i++)
        times[i] = i;
    while (file_n < 200000)
        append(times, file_n % 3 == 0 ? 60 : 1, CODEC_NONE, 0, false);
    int64_t end = next_offset, expected = 0;
    segment_end(60, false);
    char path[DISK_PATH_MAX];
    segment_path(path, directory, 0, ".log");
    int fd = disk_open(&fault.disk, path, DISK_READ);
    assert_int_equal(batch_scan_init(&scan, &fault.disk, fd, job.segments[0].bytes, 0), 0);
    while (batch_scan_peek(&scan, &b, &header) == 0) {
        assert_int_equal(b.base_offset, expected);
        assert_int_equal(batch_scan_body(&scan, &b, &body), 0);
        assert_int_equal(batch_crc(body.ptr, body.n), b.crc);
        expected = batch_last_offset(&b) + 1;
        batch_scan_skip(&scan, &b);
        batches_n++;
    }
    assert_int_equal(batch_scan_peek(&scan, &b, &header), E_EOF);
    assert_int_equal(expected, end);
    assert_true(batches_n > 40);
    batch_scan_fini(&scan);
    disk_close(&fault.disk, fd);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(first_record_at_a_time_is_found_in_every_codec),
        FILE_TEST(unknown_largest_time_is_found_by_reading),
        FILE_TEST(records_below_the_log_start_are_passed_over),
        FILE_TEST(log_append_time_counts_for_all_records_of_a_batch),
        FILE_TEST(segment_gone_is_passed_over),
        FILE_TEST(no_segments_have_no_record),
        FILE_TEST(damaged_indexes_do_not_change_the_answer),
        FILE_TEST(search_may_begin_where_the_store_says),
        FILE_TEST(damage_is_an_error_and_no_answer),
        FILE_TEST(every_operation_failing_is_an_error),
        FILE_TEST(scan_walks_small_and_large_batches),
    };
    return TESTS_RUN(tests);
}
