/*
 * logs_test.c - DeleteRecords, DescribeProducers, DescribeLogDirs at home workers;
 * DescribeTopicPartitions page by page.
 */
#include "kafka_bed.h"

enum { DELETE_RECORDS = 21, LOG_DIRS = 35, PRODUCERS = 61, TOPIC_PARTITIONS = 75 };

static void fill(struct bed *bed, const struct view_topic *t, int n)
{
    for (int32_t i = 0; i < t->partitions_n; i++)
        for (int j = 0; j < n; j++) {
            struct slices batch = batch_of(bed, 1, 100);
            struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
            assert_int_equal(plog_append(bed_log(bed, t, i), &a, bed->now), 0);
        }
}

/* ── DeleteRecords ── */

static struct delete_records_request *deletion(struct bed *bed, struct bytes topic, int32_t n,
                                               int64_t offset)
{
    struct delete_records_request *q = PROTO_NEW(&bed->arena, delete_records_request, 1);
    q->topics = PROTO_NEW(&bed->arena, delete_records_request_topics, 1);
    q->topics_n = 1;
    q->topics->name = topic;
    q->topics->partitions = PROTO_NEW(&bed->arena, delete_records_request_topics_partitions, n);
    q->topics->partitions_n = n;
    for (int32_t i = 0; i < n; i++) {
        q->topics->partitions[i].partition_index = i;
        q->topics->partitions[i].offset = offset;
    }
    return q;
}

static void expect_deleted(struct client *c, struct bytes topic, int64_t offset, int16_t code,
                           int64_t low)
{
    for (int16_t version = 0; version <= 2; version++) {
        const struct delete_records_response *p =
            client_ask(c, DELETE_RECORDS, version, deletion(c->bed, topic, 1, offset));
        assert_int_equal(p->topics->partitions->error_code, code);
        assert_int_equal(p->topics->partitions->low_watermark, low);
    }
}

static void start_moves_at_every_home(void **state)
{
    (void)state;
    struct bed *bed = bed_new(3);
    struct view_topic *t = bed_topic(bed, "t", 6);
    struct client c = client_connect(bed);
    fill(bed, t, 5);
    const struct delete_records_response *p =
        client_ask(&c, DELETE_RECORDS, 2, deletion(bed, t->name, 7, 3));
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(p->topics->partitions[i].error_code, 0);
        assert_int_equal(p->topics->partitions[i].low_watermark, 3);
        assert_int_equal(bed_log(bed, t, i)->o.start, 3);
    }
    assert_int_equal(p->topics->partitions[6].error_code, 3);
    client_close(&c);
    bed_free(bed);
}

static void deletion_gives_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1), *compacted = bed_topic(bed, "compacted", 1);
    struct view_topic *internal = bed_topic(bed, "internal", 1), *both = bed_topic(bed, "both", 1);
    struct client c = client_connect(bed);
    fill(bed, t, 5);
    fill(bed, both, 5);
    compacted->config.is_compacted = both->config.is_compacted = both->config.is_deleted = true;
    internal->is_internal = true;
    expect_deleted(&c, t->name, 2, 0, 2);
    expect_deleted(&c, t->name, 1, 0, 2);
    expect_deleted(&c, t->name, 6, 1, -1);
    expect_deleted(&c, t->name, -2, 1, -1);
    expect_deleted(&c, t->name, -1, 0, 5);
    expect_deleted(&c, compacted->name, 0, 44, -1);
    expect_deleted(&c, both->name, 1, 0, 1);
    expect_deleted(&c, internal->name, 0, 17, -1);
    expect_deleted(&c, bytes_of_string("nosuch"), 0, 3, -1);
    client_close(&c);
    bed_free(bed);
}

static void deletion_is_answered_when_it_is_safe(void **state)
{
    (void)state;
    struct bed *bed = bed_new(2);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    fill(bed, t, 5);
    for (int i = 0; i < 2; i++)
        bed->workers[i].store->is_files_slow = true;
    client_send(&c, DELETE_RECORDS, 2, deletion(bed, t->name, 2, 3));
    bed_turns(bed, 20);
    assert_false(client_has_answer(&c));
    fake_moves_end(bed->workers[0].store, 0, bed->now);
    bed_turns(bed, 20);
    assert_false(client_has_answer(&c)); /* the other home is not done */
    fake_moves_end(bed->workers[1].store, E_STORAGE, bed->now);
    bed_turns(bed, 20);
    const struct delete_records_response *p = client_answer(&c, DELETE_RECORDS, 2, c.next_id);
    assert_int_equal(p->topics->partitions[0].error_code, 0);
    assert_int_equal(p->topics->partitions[1].error_code, 56);
    assert_int_equal(p->topics->partitions[1].low_watermark, -1);
    client_close(&c);
    bed_free(bed);
}

static void connection_that_goes_leaves_nothing(void **state)
{
    (void)state;
    struct bed *bed = bed_new(2);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    fill(bed, t, 5);
    for (int i = 0; i < 2; i++)
        bed->workers[i].store->is_files_slow = true;
    client_send(&c, DELETE_RECORDS, 2, deletion(bed, t->name, 2, 3));
    bed_turns(bed, 10);
    client_close(&c);
    bed_turns(bed, 10);
    for (int i = 0; i < 2; i++)
        fake_moves_end(bed->workers[i].store, 0, bed->now);
    bed_free(bed);
}

/* ── DescribeProducers ── */

static void all_producers_are_listed_however_many(void **state)
{
    (void)state;
    struct bed *bed = bed_new(2);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    int32_t partitions[] = {0, 1, 9};
    struct describe_producers_request_topics topics[] = {{t->name, partitions, 3},
                                                         {bytes_of_string("nosuch"), partitions, 1},
                                                         {bytes_of_string("a b"), partitions, 1}};
    struct describe_producers_request q = {topics, 3};
    bed_log(bed, t, 0)->producers_n = 3;
    bed_log(bed, t, 1)->producers_n = 500;
    const struct describe_producers_response *p = client_ask(&c, PRODUCERS, 0, &q);
    assert_int_equal(p->topics[0].partitions[0].active_producers_n, 3);
    assert_int_equal(p->topics[0].partitions[1].active_producers_n, 500);
    assert_int_equal(p->topics[0].partitions[1].active_producers[499].producer_id, 5499);
    assert_int_equal(p->topics[0].partitions[2].error_code, 3);
    assert_int_equal(p->topics[1].partitions[0].error_code, 3);
    assert_true(bytes_equal_string(p->topics[1].partitions[0].error_message,
                                   "This server does not host this topic-partition."));
    assert_int_equal(p->topics[2].partitions[0].error_code, 17);
    client_close(&c);
    bed_free(bed);
}

/* ── DescribeLogDirs ── */

static void log_dirs_tell_sizes_and_room(void **state)
{
    (void)state;
    struct bed *bed = bed_new(2);
    struct view_topic *t = bed_topic(bed, "t", 3);
    struct client c = client_connect(bed);
    int32_t partitions[] = {2, 7};
    struct describe_log_dirs_request_topics topics[] = {{t->name, partitions, 2},
                                                        {bytes_of_string("nosuch"), partitions, 1}};
    struct describe_log_dirs_request q = {topics, 2};
    bed_topic(bed, "empty", 1);
    fill(bed, t, 2);
    bed->view.dirs_n = 2;
    bed->view.dirs_offline = 1 << 1;
    for (int16_t version = 1; version <= 5; version++) {
        const struct describe_log_dirs_response *p = client_ask(&c, LOG_DIRS, version, &q);
        assert_int_equal(p->results_n, 2);
        assert_true(bytes_equal_string(p->results->log_dir, "/data"));
        assert_int_equal(p->results->error_code, 0);
        assert_true(bytes_equal_string(p->results[1].log_dir, "/gone"));
        assert_int_equal(p->results[1].error_code, KAFKA_KAFKA_STORAGE_ERROR);
        assert_int_equal(p->results[1].topics_n, 0);
        assert_int_equal(p->results[1].total_bytes, -1);
        assert_int_equal(p->results->topics_n, 1);
        assert_int_equal(p->results->topics->partitions_n, 1);
        assert_int_equal(p->results->topics->partitions->partition_index, 2);
        assert_int_equal(p->results->topics->partitions->partition_size,
                         plog_bytes(bed_log(bed, t, 2)));
        assert_int_equal(p->results->total_bytes, version >= 4 ? 1000 : -1);
        assert_int_equal(p->results->usable_bytes, version >= 4 ? 400 : -1);
    }
    q.topics_n = -1;
    const struct describe_log_dirs_response *p = client_ask(&c, LOG_DIRS, 4, &q);
    assert_int_equal(p->results->topics_n, 2);
    bed->workers[0].store->is_busy = true; /* the files helper has no place */
    p = client_ask(&c, LOG_DIRS, 4, &q);
    assert_int_equal(p->results->total_bytes, -1);
    client_close(&c);
    bed_free(bed);
}

/* ── DescribeTopicPartitions ── */

static const struct describe_topic_partitions_response *page_of(struct client *c,
                                                                const char *const *names, int32_t n,
                                                                int32_t limit, const char *cursor,
                                                                int32_t partition)
{
    struct describe_topic_partitions_request_topics topics[4];
    struct describe_topic_partitions_request_cursor at = {bytes_of_string(cursor), partition};
    struct describe_topic_partitions_request q = {topics, n, limit, cursor != NULL ? &at : NULL};
    for (int32_t i = 0; i < n; i++)
        topics[i].name = bytes_of_string(names[i]);
    return client_ask(c, TOPIC_PARTITIONS, 0, &q);
}

static void partitions_come_in_pages(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    static const char *const names[] = {"c", "a", "nosuch", "a"};
    struct client c = client_connect(bed);
    bed_topic(bed, "a", 2);
    bed_topic(bed, "b", 3);
    bed_topic(bed, "c", 1);
    const struct describe_topic_partitions_response *p = page_of(&c, NULL, 0, 3, NULL, 0);
    assert_int_equal(p->topics_n, 2);
    assert_true(bytes_equal_string(p->next_cursor->topic_name, "b"));
    assert_int_equal(p->next_cursor->partition_index, 1);
    p = page_of(&c, NULL, 0, 2, "b", 1);
    assert_int_equal(p->topics_n, 1);
    assert_int_equal(p->topics->partitions[0].partition_index, 1);
    assert_true(bytes_equal_string(p->next_cursor->topic_name, "c"));
    p = page_of(&c, NULL, 0, 2, "c", 0);
    assert_null(p->next_cursor);
    p = page_of(&c, names, 4, 100, NULL, 0);
    assert_int_equal(p->topics_n, 3); /* sorted, each once, the unknown one too */
    assert_true(bytes_equal_string(p->topics[0].name, "a"));
    assert_int_equal(p->topics[2].error_code, 3);
    p = page_of(&c, names, 2, -5, NULL, 0); /* at least one */
    assert_int_equal(p->topics[0].partitions_n, 1);
    client_close(&c);
    bed_free(bed);
}

static void cursor_must_be_one_of_the_topics(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    static const char *const names[] = {"a", "b"};
    struct client c = client_connect(bed);
    bed_topic(bed, "a", 2);
    bed_topic(bed, "b", 2);
    const struct describe_topic_partitions_response *p = page_of(&c, names, 2, 9, "aa", 0);
    assert_int_equal(p->topics_n, 2);
    assert_int_equal(p->topics[0].error_code, 42);
    p = page_of(&c, names, 2, 9, "a", -1);
    assert_int_equal(p->topics[1].error_code, 42);
    p = page_of(&c, names, 2, 9, "b", 9);
    assert_int_equal(p->topics_n, 1);
    assert_int_equal(p->topics->partitions_n, 0);
    p = page_of(&c, NULL, 0, 9, "aa", 1); /* any place will do when no topic is named */
    assert_int_equal(p->topics_n, 1);
    assert_int_equal(p->topics->partitions_n, 2);
    client_close(&c);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_moves_at_every_home),
        cmocka_unit_test(deletion_gives_kafkas_codes),
        cmocka_unit_test(deletion_is_answered_when_it_is_safe),
        cmocka_unit_test(connection_that_goes_leaves_nothing),
        cmocka_unit_test(all_producers_are_listed_however_many),
        cmocka_unit_test(log_dirs_tell_sizes_and_room),
        cmocka_unit_test(partitions_come_in_pages),
        cmocka_unit_test(cursor_must_be_one_of_the_topics),
    };
    return TESTS_RUN(tests);
}
