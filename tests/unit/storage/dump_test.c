/* dump_test.c - dump.c, dump_index.c, dump_row.c: Kafka's files, damage of every kind, disks that
 * fail. */
#include "dump.h"

#include <stdlib.h>

#include "batch.h"
#include "fault_disk.h"
#include "index.h"
#include "jobs.h"
#include "prng.h"
#include "samples.h"
#include "unit.h"

static char directory[DISK_PATH_MAX];
static struct fault_disk fault;
static struct dump_summary sum;
static char *out; /* what was printed */
static size_t out_n;

static int setup(void **state)
{
    (void)state;
    test_directory(directory);
    fault_disk_init(&fault, disk_posix());
    out = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(out);
    test_directory_remove(directory);
    assert_int_equal(fault.fds_n, 0);
    return 0;
}

static int dump(const char *name, struct dump_options options)
{
    char path[DISK_PATH_MAX];
    free(out);
    FILE *to = open_memstream(&out, &out_n);
    test_path(path, directory, name);
    int error = dump_file(&fault.disk, path, &options, to, &sum);
    fclose(to);
    return error;
}

static void has(const char *part)
{
    if (strstr(out, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, out);
}

static uint32_t lines(const char *begin)
{
    uint32_t n = 0;
    for (const char *p = out; (p = strstr(p, begin)) != NULL; p++)
        n += p == out || p[-1] == '\n';
    return n;
}

static const struct dump_options batches = {0}, records = {.with_records = true},
                                 json = {.with_records = true, .is_json = true};
static const char segment[] = "00000000000000000000.log";

/* Messages of format 0 at offsets 0 and 1, of format 1 at 2, and a gzip wrapper of format 1 with 3
 * and 4; made by a script that knows nothing of ours. */
static const uint8_t old_messages[] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x13, 0x99, 0x3d, 0xff, 0xee,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x6b, 0x00, 0x00, 0x00, 0x04, 0x7a, 0x65, 0x72, 0x6f, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x0e, 0x79, 0x57, 0x48, 0xe0, 0x00,
    0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0x1a, 0xd3, 0x31, 0xc2, 0x36, 0x01, 0x00, 0x00, 0x00, 0x01, 0x45, 0xf6,
    0x80, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x01, 0x61, 0x00, 0x00, 0x00, 0x03, 0x6f, 0x6e, 0x65, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x52, 0x6b, 0x7c, 0x46, 0x26, 0x01,
    0x01, 0x00, 0x00, 0x01, 0x45, 0xf6, 0x80, 0xb0, 0x02, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
    0x3c, 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x63, 0x60, 0x80, 0x03, 0xc9,
    0x23, 0xd7, 0x43, 0x6c, 0x19, 0x81, 0x0c, 0x46, 0xd7, 0x6f, 0x0d, 0x1b, 0x18, 0xff, 0x03, 0x01,
    0x90, 0xc3, 0x9c, 0x99, 0x67, 0x00, 0x55, 0xc0, 0x08, 0x56, 0xe4, 0xb7, 0x2d, 0x1a, 0xae, 0x88,
    0x09, 0xa1, 0xc8, 0x10, 0x00, 0xfa, 0xac, 0x09, 0x43, 0x4a, 0x00, 0x00, 0x00,
};
enum { OLD_ONE_AT = 57, OLD_WRAPPER_AT = 95 };

/* ── segments ── */

static void batch_of_kafka_is_shown_with_its_records(void **state)
{
    (void)state;
    test_file(directory, segment, sample_plain, sizeof sample_plain);
    assert_int_equal(dump(segment, records), 0);
    has("batch pos 0 bytes 163 first 0 last 2 records 3 codec none leader_epoch 0 base_timestamp "
        "1700000000000 ");
    has(" transactional false control false crc 3462736870 valid true\n");
    has("record offset 1 timestamp 1700000000000 key_bytes 2 value_bytes 25 key \"k1\" "
        "value \"hello hello hello hello 1\"\n");
    has("summary bytes 163 batches 1 records 3 entries 0 first 0 last 2 damages 0 damaged_bytes "
        "0\n");
    assert_int_equal(dump(segment, batches), 0);
    assert_int_equal(lines("record "), 0);
    assert_int_equal(sum.records_n, 3);
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    test_file(directory, segment, sample_plain, sizeof sample_plain);
    assert_int_equal(dump(segment, json), 0);
    has("{\"row\":\"batch\",\"pos\":0,\"bytes\":163,\"first\":0,\"last\":2,\"records\":3,\"codec\":"
        "\"none\",");
    has("\"control\":false,\"crc\":3462736870,\"valid\":true}\n");
    has("{\"row\":\"record\",\"offset\":2,\"timestamp\":1700000000000,\"key_bytes\":2,\"value_"
        "bytes\":25,"
        "\"key\":\"k2\",\"value\":\"hello hello hello hello 2\"}\n");
    assert_int_equal(lines("{\"row\":"), 5);
}

static void transactions_and_markers_of_kafka_are_shown(void **state)
{
    static const char name[] = "00000000000000000002.log";
    (void)state;
    test_file(directory, name, sample_transactions, sizeof sample_transactions);
    assert_int_equal(dump(name, records), 0);
    assert_int_equal(sum.damages_n, 0);
    assert_int_equal(sum.batches_n, 6);
    assert_int_equal(sum.first_offset, 2);
    assert_int_equal(sum.last_offset, 8);
    has("record offset 2 timestamp 1795454916372 key_bytes 4 value_bytes 6 control commit "
        "coordinator_epoch 0\n");
    has("record offset 5 timestamp 1795454916484 key_bytes 4 value_bytes 6 control abort "
        "coordinator_epoch 0\n");
    has("record offset 4 timestamp 1700000000000 sequence 1 key_bytes 1 value_bytes 6 key \"b\" "
        "value \"abort2\"\n");
}

static void messages_of_formats_0_and_1_are_shown_as_such(void **state)
{
    uint8_t file[sizeof old_messages + sizeof sample_plain];
    (void)state;
    memcpy(file, old_messages, sizeof old_messages);
    memcpy(file + sizeof old_messages, sample_plain, sizeof sample_plain);
    file[sizeof old_messages + 7] = 5; /* its base offset; outside of the CRC */
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, records), 0);
    assert_int_equal(sum.damages_n, 0);
    assert_int_equal(sum.messages_n, 4);
    assert_int_equal(sum.records_n, 3 + 2 + 3);
    assert_int_equal(sum.batches_n, 1);
    assert_int_equal(sum.last_offset, 7);
    has("message pos 0 bytes 31 magic 0 offset 0 codec none timestamp -1 inner false key_bytes 1 "
        "value_bytes 4 key \"k\" value \"zero\" crc ");
    has(" magic 0 offset 1 codec none timestamp -1 inner false key_bytes -1 value_bytes 0 key null "
        "value \"\" ");
    has(" magic 1 offset 2 codec none timestamp 1400000000000 ");
    has(" magic 1 offset 4 codec gzip timestamp 1400000000002 inner false ");
    has(" magic 1 offset 3 codec none timestamp 1400000000001 inner true key_bytes -1 value_bytes "
        "3 key null value \"in0\" ");
    has("summary bytes ");
    assert_int_equal(lines("message "), 6);
}

/* One changed byte anywhere is damage and never a message with other content. */
static void changed_old_messages_are_damage(void **state)
{
    uint8_t file[sizeof old_messages];
    (void)state;
    for (uint32_t at = 8; at < OLD_ONE_AT; at++) {
        memcpy(file, old_messages, sizeof file);
        file[at] ^= 0x11;
        test_file(directory, segment, file, sizeof file);
        assert_int_equal(dump(segment, records), 0);
        assert_true(sum.damages_n > 0);
    }
    test_file(directory, segment, old_messages, OLD_WRAPPER_AT + 20); /* torn */
    assert_int_equal(dump(segment, records), 0);
    assert_int_equal(sum.messages_n, 3);
    assert_int_equal(sum.damages_n, 1);
}

static void leftovers_of_compaction_are_shown_against_their_own_log(void **state)
{
    static const char *const kinds[] = {".cleaned", ".swap", ".deleted"};
    uint8_t index[8], log[2 * sizeof sample_plain];
    char name[64];
    (void)state;
    memcpy(log, sample_plain, sizeof sample_plain);
    memcpy(log + sizeof sample_plain, sample_plain, sizeof sample_plain);
    log[sizeof sample_plain + 7] = 3; /* its base offset */
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "00000000000000000000.log%s", kinds[i]);
        test_file(directory, name, log, sizeof log);
        assert_int_equal(dump(name, batches), 0);
        assert_int_equal(sum.batches_n, 2);
        index_put(index, 5, sizeof sample_plain);
        snprintf(name, sizeof name, "00000000000000000000.index%s", kinds[i]);
        test_file(directory, name, index, sizeof index);
        assert_int_equal(dump(name, batches), 0);
        assert_int_equal(sum.entries_n, 1);
        assert_int_equal(sum.damages_n, 0);
        index_put(index, 5, sizeof sample_plain + 7);
        test_file(directory, name, index, sizeof index);
        assert_int_equal(dump(name, batches), 0);
        assert_int_equal(sum.damages_n, 1);
    }
}

static void text_files_of_a_directory_are_shown_and_checked(void **state)
{
    static const struct {
        const char *name, *good, *row, *bad;
    } files[] = {
        {"recovery-point-offset-checkpoint", "0\n2\na 0 7\nb-c 1 0\n",
         "checkpoint line \"b-c 1 0\"\n", "0\n3\na 0 7\n"},
        {"meta.properties", "version=1\nnode.id=4\n", "property key \"node.id\" value \"4\"\n",
         "a=\\uzz\n"},
        {"partition.metadata", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAg",
         "metadata line \"version: 0\"\n", "version: 0\ntopic_id: ?\n"},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        test_file(directory, files[i].name, files[i].good, (uint32_t)strlen(files[i].good));
        assert_int_equal(dump(files[i].name, batches), 0);
        assert_int_equal(sum.damages_n, 0);
        assert_int_equal(sum.entries_n, 2);
        has(files[i].row);
        test_file(directory, files[i].name, files[i].bad, (uint32_t)strlen(files[i].bad));
        assert_int_equal(dump(files[i].name, batches), 0);
        assert_int_equal(sum.damages_n, 1);
    }
}

static void output_of_compaction_is_sound(void **state)
{
    (void)state;
    test_file(directory, segment, sample_compacted, sizeof sample_compacted);
    assert_int_equal(dump(segment, records), 0);
    assert_int_equal(sum.damages_n, 0);
    assert_int_equal(sum.records_n, 3);
    has("delete_horizon ");
    has("key \"a\" value null\n");
}

static void metadata_log_is_shown(void **state)
{
    (void)state;
    test_file(directory, "bootstrap.checkpoint", sample_leader_change, sizeof sample_leader_change);
    assert_int_equal(dump("bootstrap.checkpoint", records), 0);
    assert_int_equal(sum.damages_n, 0);
    has("control leader_change\n");
}

/* A batch of one record with these bytes. Returns its size. */
static uint32_t batch_of(uint8_t *to, int64_t offset, struct bytes key, struct bytes value,
                         struct bytes headers)
{
    struct batch_builder b;
    batch_begin(&b, to, 1024);
    assert_int_equal(batch_add_headers(&b, 1000 + offset, key, value, headers), 0);
    uint32_t n = batch_end(&b, 0, 3);
    store_u64(to, (uint64_t)offset);
    return n;
}

static void bytes_are_escaped_and_cut(void **state)
{
    static const uint8_t headers[] = {4, 4, 'h', '1', 4, 'v', '"', 2, 0xfe, 1};
    uint8_t file[1024];
    (void)state;
    uint32_t n = batch_of(file, 0, bytes_of("\xc3\xa9\n\"\\\x01", 6), bytes_of("\xff\x00z", 3),
                          bytes_of(headers, sizeof headers));
    test_file(directory, segment, file, n);
    assert_int_equal(dump(segment, records), 0);
    has("key \"\xc3\xa9\\n\\\"\\\\\\x01\" value \"\\xff\\x00z\" headers \"h1\"=\"v\\\"\" "
        "\"\\xfe\"=null\n");
    assert_int_equal(dump(segment, json), 0);
    has("\"key\":\"\xc3\xa9\\n\\\"\\\\\\u0001\",\"value_hex\":\"ff007a\","
        "\"headers\":[[\"h1\",\"v\\\"\"],[{\"hex\":\"fe\"},null]]}\n");
    struct dump_options cut = records;
    cut.value_bytes_max = 1;
    assert_int_equal(dump(segment, cut), 0);
    has("key \"\" value \"\\xff\""); /* a character is not cut in two */
}

static void rows_are_limited_by_offset_and_number(void **state)
{
    uint8_t file[4096];
    uint32_t n = 0;
    (void)state;
    for (int64_t i = 0; i < 10; i++)
        n += batch_of(file + n, i, bytes_of_string("k"), bytes_of_string("v"),
                      (struct bytes){NULL, 0});
    test_file(directory, segment, file, n);
    assert_int_equal(dump(segment, (struct dump_options){.offset_min = 7}), 0);
    assert_int_equal(lines("batch "), 3);
    assert_int_equal(dump(segment, (struct dump_options){.offset_min = 2, .rows_max = 4}), 0);
    assert_int_equal(lines("batch "), 4);
    has("batch pos 140 ");
    assert_int_equal(sum.batches_n, 10);
}

/* ── damage ── */

static void zero_tail_is_told_apart_from_damage(void **state)
{
    uint8_t file[sizeof sample_plain + 4096] = {0};
    (void)state;
    memcpy(file, sample_plain, sizeof sample_plain);
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, batches), 0);
    assert_int_equal(sum.damages_n, 1);
    assert_int_equal(sum.damaged_bytes, 4096);
    has("damage pos 163 what \"4096 zero bytes up to the end (preallocated, or a crash)\"\n");
    test_file(directory, segment, file, sizeof sample_plain + 10);
    assert_int_equal(dump(segment, batches), 0);
    has("damage pos 163 what \"10 zero bytes up to the end");
}

static void torn_batch_is_told_at_every_length(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < sizeof sample_plain; n++) {
        test_file(directory, segment, sample_plain, n);
        assert_int_equal(dump(segment, batches), 0);
        assert_int_equal(sum.damages_n, 1);
        assert_int_equal(sum.damaged_bytes, n);
        assert_int_equal(sum.batches_n, 0);
    }
    has("a torn write?");
}

static void wrong_crc_is_told_and_the_next_batch_shown(void **state)
{
    uint8_t file[2 * sizeof sample_plain];
    (void)state;
    memcpy(file, sample_plain, sizeof sample_plain);
    memcpy(file + sizeof sample_plain, sample_plain, sizeof sample_plain);
    store_u64(file + sizeof sample_plain, 3);
    file[100] ^= 1;
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, records), 0);
    has("valid false\n");
    has("damage pos 0 what \"the batch's CRC-32C is ce652be6, its bytes have ");
    assert_int_equal(sum.damages_n, 1);
    assert_int_equal(sum.batches_n, 2);
    assert_int_equal(sum.records_n, 3);
}

static void lost_place_is_found_again_at_the_next_batch(void **state)
{
    uint8_t file[2 * sizeof sample_plain + 1000];
    (void)state;
    memset(file, 0x55, sizeof file);
    memcpy(file, sample_plain, sizeof sample_plain);
    uint8_t *second = file + sizeof sample_plain + 1000;
    memcpy(second, sample_plain, sizeof sample_plain);
    store_u64(second, 3);
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, batches), 0);
    has("damage pos 163 what \"the batch has 1431655777 bytes, the file ends ");
    has("1000 bytes are lost, the next good batch is at 1163\"\n");
    assert_int_equal(sum.batches_n, 2);
    assert_int_equal(sum.last_offset, 5);
    assert_int_equal(sum.damaged_bytes, 1000);
    /* A copy of the first batch is not taken for what follows it. */
    store_u64(second, 0);
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, batches), 0);
    assert_int_equal(sum.batches_n, 1);
    has("no good batch follows in 1163 bytes");
}

static void offsets_that_do_not_rise_are_damage(void **state)
{
    uint8_t file[2 * sizeof sample_plain];
    (void)state;
    memcpy(file, sample_plain, sizeof sample_plain);
    memcpy(file + sizeof sample_plain, sample_plain, sizeof sample_plain);
    store_u64(file + sizeof sample_plain, 2);
    test_file(directory, segment, file, sizeof file);
    assert_int_equal(dump(segment, batches), 0);
    has("damage pos 163 what \"first offset 2 is not above 2, the last of the batch before\"\n");
    test_file(directory, "00000000000000000001.log", file, sizeof sample_plain);
    assert_int_equal(dump("00000000000000000001.log", batches), 0);
    has("first offset 0 is not above 0");
}

static void batch_that_contradicts_its_records_is_damage(void **state)
{
    uint8_t file[1024];
    (void)state;
    memcpy(file, sample_plain, sizeof sample_plain);
    store_u32(file + BATCH_RECORDS_AT, 2);
    batch_stamp_crc(file, sizeof sample_plain);
    test_file(directory, segment, file, sizeof sample_plain);
    assert_int_equal(dump(segment, batches), 0);
    has("the batch says 2 records and holds 3");
    memcpy(file, sample_plain, sizeof sample_plain);
    store_u32(file + BATCH_LAST_DELTA_AT, 1);
    batch_stamp_crc(file, sizeof sample_plain);
    test_file(directory, segment, file, sizeof sample_plain);
    assert_int_equal(dump(segment, batches), 0);
    has("3 records do not fit 2 offsets");
    has("record 2 has offset delta 2 behind 1, in a batch that ends with 1");
    memcpy(file, sample_plain, sizeof sample_plain);
    file[BATCH_HEADER] = 0x7e;
    batch_stamp_crc(file, sizeof sample_plain);
    test_file(directory, segment, file, sizeof sample_plain);
    assert_int_equal(dump(segment, batches), 0);
    has("record 0 does not follow the record format");
    store_u16(file + BATCH_ATTRIBUTES_AT, CODEC_GZIP);
    batch_stamp_crc(file, sizeof sample_plain);
    test_file(directory, segment, file, sizeof sample_plain);
    assert_int_equal(dump(segment, batches), 0);
    has("gzip payload cannot be decompressed: ");
}

static void changed_bytes_anywhere_are_noticed(void **state)
{
    uint8_t file[sizeof sample_transactions];
    (void)state;
    for (uint32_t i = 0; i < sizeof file; i++) {
        memcpy(file, sample_transactions, sizeof file);
        file[i] ^= 0x40;
        test_file(directory, "00000000000000000002.log", file, sizeof file);
        assert_int_equal(dump("00000000000000000002.log", records), 0);
        /* Outside the CRC only the leader epoch can be anything, and an offset may jump ahead. */
        uint32_t in_batch = i;
        for (uint32_t at = 0; at + BATCH_HEADER <= sizeof file;
             at += load_u32(sample_transactions + at + 8) + 12)
            in_batch = i >= at ? i - at : in_batch;
        bool is_free = (in_batch >= BATCH_EPOCH_AT && in_batch < BATCH_MAGIC_AT) || in_batch < 8;
        assert_true(sum.damages_n > 0 || is_free);
    }
}

/* ── the other files ── */

static void small_files_of_kafka_are_shown(void **state)
{
    (void)state;
    test_file(directory, "00000000000000000000.index", sample_index, sizeof sample_index);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    has("index offset 31 pos 16285\n");
    assert_int_equal(sum.entries_n, 4);
    assert_int_equal(sum.damages_n, 0);
    test_file(directory, "00000000000000001500.timeindex", sample_time_index,
              sizeof sample_time_index);
    assert_int_equal(dump("00000000000000001500.timeindex", batches), 0);
    has("time_index timestamp 1795454922567 offset 1531\n");
    assert_int_equal(sum.damages_n, 0);
    test_file(directory, "00000000000000000002.txnindex", sample_txn_index,
              sizeof sample_txn_index);
    assert_int_equal(dump("00000000000000000002.txnindex", batches), 0);
    has("aborted version 0 producer 1 first 3 last 5 stable 6\n");
    assert_int_equal(sum.damages_n, 0);
    test_file(directory, "00000000000000000009.snapshot", sample_snapshot, sizeof sample_snapshot);
    assert_int_equal(dump("00000000000000000009.snapshot", json), 0);
    has("{\"row\":\"producer\",\"producer\":2,\"producer_epoch\":0,\"last_sequence\":0,\"last_"
        "offset\":8,"
        "\"offset_delta\":0,\"timestamp\":1700000000000,\"coordinator_epoch\":-1,\"txn_first_"
        "offset\":8}\n");
    assert_int_equal(sum.damages_n, 0);
    test_file(directory, "leader-epoch-checkpoint", sample_epoch_checkpoint,
              sizeof sample_epoch_checkpoint);
    assert_int_equal(dump("leader-epoch-checkpoint", batches), 0);
    has("epoch epoch 4 start 2600\n");
    assert_int_equal(sum.damages_n, 0);
}

static void indexes_are_checked_against_the_log(void **state)
{
    uint8_t file[4096], index[16], times[24];
    uint32_t n = 0, third = 0;
    (void)state;
    for (int64_t i = 0; i < 10; i++) {
        third = i == 3 ? n : third;
        n += batch_of(file + n, i, bytes_of_string("k"), bytes_of_string("v"),
                      (struct bytes){NULL, 0});
    }
    test_file(directory, segment, file, n);
    index_put(index, 3, third);
    index_put(index + 8, 4, third + 7);
    time_index_put(times, 1003, 3);
    time_index_put(times + 12, 1005, 4);
    test_file(directory, "00000000000000000000.index", index, 16);
    test_file(directory, "00000000000000000000.timeindex", times, 24);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    assert_int_equal(sum.damages_n, 1);
    has("damage pos 8 what \"no batch from which offset 4 can be found begins at ");
    assert_int_equal(dump("00000000000000000000.timeindex", batches), 0);
    assert_int_equal(sum.damages_n, 1);
    has("damage pos 12 what \"1005 is not the largest timestamp up to a batch that ends with "
        "offset 4\"");
    index_put(index + 8, 400, n + 7); /* behind the log's end */
    test_file(directory, "00000000000000000000.index", index, 16);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    assert_int_equal(sum.damages_n, 1);
}

static void damaged_small_files_are_told(void **state)
{
    uint8_t file[256] = {0};
    (void)state;
    memcpy(file, sample_index, sizeof sample_index);
    test_file(directory, "00000000000000000000.index", file, sizeof sample_index + 16);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    has("damage pos 32 what \"16 zero bytes up to the end");
    test_file(directory, "00000000000000000000.index", file, 30);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    has("6 bytes are less than an entry");
    memcpy(file + 24, sample_index, 8);
    test_file(directory, "00000000000000000000.index", file, 32);
    assert_int_equal(dump("00000000000000000000.index", batches), 0);
    has("entry 3 does not rise above the one before; 8 bytes are of no use");
    for (uint32_t i = 0; i < sizeof sample_snapshot; i++) {
        memcpy(file, sample_snapshot, sizeof sample_snapshot);
        file[i] ^= 4;
        test_file(directory, "00000000000000000009.snapshot", file, sizeof sample_snapshot);
        assert_int_equal(dump("00000000000000000009.snapshot", batches), 0);
        assert_true(sum.damages_n > 0);
        test_file(directory, "00000000000000000009.snapshot", sample_snapshot, i);
        assert_int_equal(dump("00000000000000000009.snapshot", batches), 0);
        assert_true(sum.damages_n > 0);
    }
    memset(file, 0, sizeof file);
    test_file(directory, "00000000000000000002.txnindex", file, 40);
    assert_int_equal(dump("00000000000000000002.txnindex", batches), 0);
    assert_int_equal(sum.damages_n, 2);
    test_file(directory, "leader-epoch-checkpoint", "0\n1\nx\n", 6);
    assert_int_equal(dump("leader-epoch-checkpoint", batches), 0);
    assert_int_equal(sum.damages_n, 1);
}

static void offset_in_a_file_of_ours_is_shown_and_judged(void **state)
{
    (void)state;
    test_file(directory, "log-start-offset", "0\n42\n", 5);
    assert_int_equal(dump("log-start-offset", batches), 0);
    has("mark offset 42\n");
    assert_int_equal(sum.damages_n, 0);
    test_file(directory, "compacted-offset", "0\n42", 4); /* ends early */
    assert_int_equal(dump("compacted-offset", batches), 0);
    assert_int_equal(sum.damages_n, 1);
}

static void what_is_no_file_of_a_partition_is_unsupported(void **state)
{
    (void)state;
    test_file(directory, "README.txt", "x", 1);
    assert_int_equal(dump("README.txt", batches), E_UNSUPPORTED);
    assert_int_equal(dump("no", batches), E_NOT_FOUND);
    assert_int_equal(dump("", batches), E_INVALID);
}

static void empty_segment_is_sound(void **state)
{
    (void)state;
    test_file(directory, segment, "", 0);
    assert_int_equal(dump(segment, batches), 0);
    assert_int_equal(sum.damages_n, 0);
    assert_int_equal(sum.last_offset, -1);
}

static void every_failing_operation_is_an_error(void **state)
{
    static const char *const names[] = {"00000000000000000000.log",
                                        "00000000000000000000.timeindex"};
    uint8_t file[sizeof sample_plain + 4096];
    (void)state;
    memset(file, 7, sizeof file);
    memcpy(file, sample_plain, sizeof sample_plain);
    test_file(directory, names[0], file, sizeof file);
    test_file(directory, names[1], sample_time_index, sizeof sample_time_index);
    for (size_t i = 0; i < array_n(names); i++) {
        for (uint64_t n = 1;; n++) {
            fault_disk_arm(&fault, n, E_IO, true);
            int error = dump(names[i], records);
            assert_int_equal(fault.fds_n, 0);
            if (!fault.is_fired)
                break;
            /* The .log beside an index is an extra: without it the entries are shown all the same.
             */
            assert_true(error == E_IO || (i == 1 && error == 0 && sum.entries_n == 3));
        }
        fault_disk_arm(&fault, 0, 0, false);
    }
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(batch_of_kafka_is_shown_with_its_records),
        FILE_TEST(json_is_one_object_a_line),
        FILE_TEST(transactions_and_markers_of_kafka_are_shown),
        FILE_TEST(messages_of_formats_0_and_1_are_shown_as_such),
        FILE_TEST(changed_old_messages_are_damage),
        FILE_TEST(leftovers_of_compaction_are_shown_against_their_own_log),
        FILE_TEST(text_files_of_a_directory_are_shown_and_checked),
        FILE_TEST(output_of_compaction_is_sound),
        FILE_TEST(metadata_log_is_shown),
        FILE_TEST(bytes_are_escaped_and_cut),
        FILE_TEST(rows_are_limited_by_offset_and_number),
        FILE_TEST(zero_tail_is_told_apart_from_damage),
        FILE_TEST(torn_batch_is_told_at_every_length),
        FILE_TEST(wrong_crc_is_told_and_the_next_batch_shown),
        FILE_TEST(lost_place_is_found_again_at_the_next_batch),
        FILE_TEST(offsets_that_do_not_rise_are_damage),
        FILE_TEST(batch_that_contradicts_its_records_is_damage),
        FILE_TEST(changed_bytes_anywhere_are_noticed),
        FILE_TEST(small_files_of_kafka_are_shown),
        FILE_TEST(indexes_are_checked_against_the_log),
        FILE_TEST(damaged_small_files_are_told),
        FILE_TEST(offset_in_a_file_of_ours_is_shown_and_judged),
        FILE_TEST(what_is_no_file_of_a_partition_is_unsupported),
        FILE_TEST(empty_segment_is_sound),
        FILE_TEST(every_failing_operation_is_an_error),
    };
    return TESTS_RUN(tests);
}
