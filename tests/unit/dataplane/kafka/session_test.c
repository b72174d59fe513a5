/*
 * session_test.c - fetch sessions (KIP-227): the cache by itself, and what clients see of it.
 */
#include "kafka_bed.h"
#include "session.h"

enum { FETCH = 1, SLOTS = 4, PARTS = 40 };

static struct bed *bed_with_sessions(uint8_t workers_n)
{
    struct kafka_config config = bed_config();
    config.sessions_max = SLOTS;
    config.session_parts_max = PARTS;
    return bed_new_with(workers_n, &config);
}

static void append(struct bed *bed, const struct view_topic *t, int32_t partition, int n)
{
    for (int i = 0; i < n; i++) {
        struct slices batch = batch_of(bed, 1, 100);
        struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
        assert_int_equal(plog_append(bed_log(bed, t, partition), &a, bed->now), 0);
    }
}

static const struct fetch_response *ask(struct client *c, int16_t version, struct fetch_request *q,
                                        int32_t id, int32_t epoch)
{
    q->session_id = id;
    q->session_epoch = epoch;
    return client_ask(c, FETCH, version, q);
}

/* A request that names nothing. */
static struct fetch_request *next_of(struct bed *bed)
{
    struct fetch_request *q = PROTO_NEW(&bed->arena, fetch_request, 1);
    q->max_bytes = 1 << 20;
    q->min_bytes = 1;
    return q;
}

static int32_t partitions_of(const struct fetch_response *p)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->responses_n; i++)
        n += p->responses[i].partitions_n;
    return n;
}

static void answers_carry_only_what_is_new(void **state)
{
    (void)state;
    for (int16_t version = 7; version <= 18; version++) {
        struct bed *bed = bed_with_sessions(2);
        struct view_topic *t = bed_topic(bed, "t", 4);
        struct client c = client_connect(bed);
        append(bed, t, 1, 2);
        const struct fetch_response *p = ask(&c, version, fetch_of(bed, t, 4, 0), 0, 0);
        int32_t id = p->session_id;
        assert_true(id > 0);
        assert_int_equal(partitions_of(p), 4);            /* the first answer is whole */
        struct fetch_request *q = fetch_of(bed, t, 2, 2); /* partition 1 goes on at 2 */
        q->topics->partitions[0].partition = 1;
        q->topics->partitions_n = 1;
        p = ask(&c, version, q, id, 1);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->session_id, id);
        assert_int_equal(partitions_of(p), 0);
        append(bed, t, 3, 1);
        p = ask(&c, version, next_of(bed), id, 2);
        assert_int_equal(partitions_of(p), 1);
        assert_int_equal(fetched(p, 0)->partition_index, 3);
        assert_true(fetched(p, 0)->records.bytes > 0);
        if (version < 13)
            assert_true(bytes_equal_string(p->responses->topic, "t"));
        else
            assert_true(uuid_equal(&p->responses->topic_id, &t->id));
        bed_log(bed, t, 0)->o.start = 0;
        bed_log(bed, t, 2)->o.high = bed_log(bed, t, 2)->o.start; /* nothing new */
        p = ask(&c, version, next_of(bed), id, 3);
        assert_int_equal(partitions_of(p), 1); /* 3 is still read from 0 */
        client_close(&c);
        bed_free(bed);
    }
}

static void moved_start_and_errors_are_told_and_the_end_of_errors_too(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    append(bed, t, 0, 3);
    struct fetch_request *q = fetch_of(bed, t, 2, 0);
    q->topics->partitions[0].fetch_offset = 3;
    int32_t id = ask(&c, 12, q, 0, 0)->session_id;
    assert_int_equal(partitions_of(ask(&c, 12, next_of(bed), id, 1)), 0);
    bed_log(bed, t, 0)->o.start = 2;
    const struct fetch_response *p = ask(&c, 12, next_of(bed), id, 2);
    assert_int_equal(partitions_of(p), 1);
    assert_int_equal(fetched(p, 0)->log_start_offset, 2);
    t->partitions[1].leader = -1;
    for (int32_t epoch = 3; epoch <= 4; epoch++) { /* an error is told every time */
        p = ask(&c, 12, next_of(bed), id, epoch);
        assert_int_equal(partitions_of(p), 1);
        assert_int_equal(fetched(p, 0)->error_code, 6);
    }
    t->partitions[1].leader = 1;
    p = ask(&c, 12, next_of(bed), id, 5);
    assert_int_equal(partitions_of(p), 1);
    assert_int_equal(fetched(p, 0)->error_code, 0);
    assert_int_equal(partitions_of(ask(&c, 12, next_of(bed), id, 6)), 0);
    client_close(&c);
    bed_free(bed);
}

static void wrong_ids_epochs_and_kinds_get_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    int32_t id = ask(&c, 12, fetch_of(bed, t, 1, 0), 0, 0)->session_id;
    assert_int_equal(ask(&c, 12, next_of(bed), id + SLOTS, 1)->error_code, 70);
    assert_int_equal(ask(&c, 12, next_of(bed), -id, 1)->error_code, 70);
    assert_int_equal(ask(&c, 12, next_of(bed), id, 2)->error_code, 71);
    assert_int_equal(ask(&c, 13, next_of(bed), id, 1)->error_code, 106); /* trap 26 */
    assert_int_equal(ask(&c, 12, next_of(bed), id, 1)->error_code, 0);
    assert_int_equal(ask(&c, 12, next_of(bed), id, 1)->error_code, 71); /* the epoch went on */
    assert_int_equal(ask(&c, 12, fetch_of(bed, t, 1, 0), id, -1)->session_id, 0);
    assert_int_equal(ask(&c, 12, next_of(bed), id, 2)->error_code, 70); /* closed */
    id = ask(&c, 13, fetch_of(bed, t, 1, 0), 0, 0)->session_id;
    assert_int_equal(ask(&c, 12, next_of(bed), id, 1)->error_code, 106);
    client_close(&c);
    bed_free(bed);
}

static void forgotten_partitions_are_not_read_and_the_last_one_ends_it(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", 3);
    struct client c = client_connect(bed);
    int32_t id = ask(&c, 12, fetch_of(bed, t, 3, 0), 0, 0)->session_id;
    int32_t gone[] = {1, 7, 0, 2};
    struct fetch_request_forgotten_topics_data forgotten = {t->name, t->id, gone, 2};
    struct fetch_request *q = next_of(bed);
    q->forgotten_topics_data = &forgotten;
    q->forgotten_topics_data_n = 1;
    append(bed, t, 0, 1);
    append(bed, t, 1, 1);
    const struct fetch_response *p = ask(&c, 12, q, id, 1);
    assert_int_equal(partitions_of(p), 1);
    assert_int_equal(fetched(p, 0)->partition_index, 0);
    forgotten.partitions_n = 4;
    p = ask(&c, 12, q, id, 2);
    assert_int_equal(p->error_code, 0);
    assert_int_equal(p->session_id, 0);
    assert_int_equal(ask(&c, 12, next_of(bed), id, 3)->error_code, 70);
    client_close(&c);
    bed_free(bed);
}

static void partitions_take_turns_at_the_front(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", 3);
    struct client c = client_connect(bed);
    bool seen[3] = {false};
    for (int32_t i = 0; i < 3; i++)
        append(bed, t, i, 5);
    struct fetch_request *q = fetch_of(bed, t, 3, 5);
    int32_t id = ask(&c, 12, q, 0, 0)->session_id;
    q = fetch_of(bed, t, 3, 0); /* now there is more than an answer holds */
    q->max_bytes = 1;
    for (int32_t epoch = 1; epoch <= 3; epoch++) {
        const struct fetch_response *p = ask(&c, 12, q, id, epoch);
        for (int32_t i = 0; i < p->responses->partitions_n; i++)
            if (fetched(p, i)->records.bytes > 0)
                seen[fetched(p, i)->partition_index] = true;
        q = next_of(bed);
        q->max_bytes = 1;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    client_close(&c);
    bed_free(bed);
}

static void session_in_use_is_not_touched_by_others(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(2);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed), other = client_connect(bed);
    int32_t id = ask(&c, 12, fetch_of(bed, t, 2, 0), 0, 0)->session_id;
    struct fetch_request *q = next_of(bed);
    q->max_wait_ms = 500;
    q->session_id = id;
    q->session_epoch = 1;
    int32_t waiting = client_send(&c, FETCH, 12, q);
    bed_turns(bed, 10); /* parked */
    assert_int_equal(ask(&other, 12, next_of(bed), id, 2)->error_code, 71);
    assert_int_equal(ask(&other, 12, fetch_of(bed, t, 1, 0), id, -1)->error_code, 0); /* closes */
    append(bed, t, 0, 1);
    const struct fetch_response *p = client_answer(&c, FETCH, 12, waiting);
    assert_int_equal(p->session_id, id);
    assert_int_equal(partitions_of(p), 1);
    assert_int_equal(ask(&c, 12, next_of(bed), id, 2)->error_code, 70);
    client_close(&c);
    client_close(&other);
    bed_free(bed);
}

static void connection_that_goes_lets_its_session_go_on(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(2);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed), again;
    int32_t id = ask(&c, 12, fetch_of(bed, t, 2, 0), 0, 0)->session_id;
    struct fetch_request *q = next_of(bed);
    q->max_wait_ms = 30000;
    q->session_id = id;
    q->session_epoch = 1;
    client_send(&c, FETCH, 12, q);
    bed_turns(bed, 10);
    bed_reset_conns(bed, 0);
    bed_turns(bed, 10);
    client_close(&c);
    again = client_connect(bed);
    int16_t code = ask(&again, 12, next_of(bed), id, 2)->error_code;
    assert_int_equal(code, 0);
    client_close(&again);
    bed_free(bed);
}

static void full_cache_answers_without_a_session(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", PARTS + 1);
    struct client c = client_connect(bed);
    assert_int_equal(ask(&c, 12, fetch_of(bed, t, PARTS + 1, 0), 0, 0)->session_id, 0);
    for (int i = 0; i < SLOTS; i++)
        assert_true(ask(&c, 12, fetch_of(bed, t, 2, 0), 0, 0)->session_id > 0);
    const struct fetch_response *p = ask(&c, 12, fetch_of(bed, t, 3, 0), 0, 0);
    assert_int_equal(p->session_id, 0);
    assert_int_equal(partitions_of(p), 3);
    client_close(&c);
    bed_free(bed);
}

static void update_that_finds_no_room_ends_the_session(void **state)
{
    (void)state;
    struct bed *bed = bed_with_sessions(1);
    struct view_topic *t = bed_topic(bed, "t", PARTS + 1);
    struct client c = client_connect(bed);
    int32_t id = ask(&c, 12, fetch_of(bed, t, PARTS, 0), 0, 0)->session_id;
    assert_true(id > 0);
    assert_int_equal(ask(&c, 12, fetch_of(bed, t, PARTS + 1, 0), id, 1)->error_code, 70);
    assert_true(ask(&c, 12, fetch_of(bed, t, PARTS, 0), 0, 0)->session_id > 0); /* all free again */
    client_close(&c);
    bed_free(bed);
}

/* ── the cache by itself ── */

static struct sessions cache;
static struct prng prng;

static struct session *made(uint32_t parts_n, uint64_t at_ms)
{
    struct uuid id = {{1}};
    struct session *s = session_new(&cache, parts_n, true, (struct now){at_ms * NS_PER_MS, 0});
    for (uint32_t i = 0; s != NULL && i < parts_n; i++)
        assert_non_null(session_add(&cache, s, bytes_of("", 0), &id, (int32_t)i));
    return s;
}

static void eviction_follows_kafkas_rules(void **state)
{
    (void)state;
    prng_init(&prng, 1);
    assert_int_equal(sessions_init(&cache, 3, 100, &prng), 0);
    struct session *a = made(5, 1000), *b = made(2, 2000), *c = made(9, 3000);
    assert_true(a != NULL && b != NULL && c != NULL && cache.n == 3);
    assert_null(made(50, 4000)); /* nobody is old enough, whatever the size */
    a->used_ns = b->used_ns = c->used_ns = 200000 * NS_PER_MS;
    assert_null(made(2, 200000)); /* old, but in use, and none is smaller */
    struct session *d = made(3, 200001);
    assert_ptr_equal(d, b); /* the smallest one went */
    assert_int_equal(d->parts_n, 3);
    a->is_busy = true;
    struct session *e = made(1, 400000); /* now all are unused: the oldest that is not busy */
    assert_non_null(e);
    assert_ptr_not_equal(e, a);
    a->is_busy = false;
    sessions_fini(&cache);
}

static void removed_sessions_give_everything_back(void **state)
{
    (void)state;
    prng_init(&prng, 2);
    assert_int_equal(sessions_init(&cache, 3, 100, &prng), 0);
    for (int i = 0; i < 1000; i++) {
        struct session *a = made(60, 1), *b = made(40, 1);
        assert_true(a != NULL && b != NULL);
        session_remove(&cache, a);
        session_remove(&cache, b);
    }
    assert_int_equal(cache.n, 0);
    assert_int_equal(cache.parts_used_n, 100);
    sessions_fini(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_carry_only_what_is_new),
        cmocka_unit_test(moved_start_and_errors_are_told_and_the_end_of_errors_too),
        cmocka_unit_test(wrong_ids_epochs_and_kinds_get_kafkas_codes),
        cmocka_unit_test(forgotten_partitions_are_not_read_and_the_last_one_ends_it),
        cmocka_unit_test(partitions_take_turns_at_the_front),
        cmocka_unit_test(session_in_use_is_not_touched_by_others),
        cmocka_unit_test(connection_that_goes_lets_its_session_go_on),
        cmocka_unit_test(full_cache_answers_without_a_session),
        cmocka_unit_test(update_that_finds_no_room_ends_the_session),
        cmocka_unit_test(eviction_follows_kafkas_rules),
        cmocka_unit_test(removed_sessions_give_everything_back),
    };
    return TESTS_RUN(tests);
}
