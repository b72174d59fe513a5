/*
 * fetch_test.c - Fetch: what is read, when it is answered, what waits, what goes back.
 */
#include "kafka_bed.h"

enum { FETCH = 1 };

/* Appends n batches of one record to every partition. */
static void bed_fill(struct bed *bed, const struct view_topic *t, int n)
{
    for (int32_t i = 0; i < t->partitions_n; i++) {
        struct plog *log = bed_log(bed, t, i);
        for (int j = 0; j < n; j++) {
            struct slices batch = batch_of(bed, 1, 100 + j);
            struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
            assert_int_equal(plog_append(log, &a, bed->now), 0);
        }
    }
}

static void each_version_reads_what_is_there(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 3);
        struct client c = client_connect(bed);
        bed_fill(bed, t, 4);
        uint64_t bytes = bed_log(bed, t, 0)->batches[0].bytes;
        for (int16_t version = 4; version <= 18; version++) {
            const struct fetch_response *p = client_ask(&c, FETCH, version, fetch_of(bed, t, 3, 1));
            assert_int_equal(p->error_code, 0);
            assert_int_equal(p->session_id, 0);
            for (int i = 0; i < 3; i++) {
                assert_int_equal(fetched(p, i)->partition_index, i);
                assert_int_equal(fetched(p, i)->error_code, 0);
                assert_int_equal(fetched(p, i)->records.bytes, 3 * bytes);
                assert_int_equal(fetched(p, i)->high_watermark, 4);
                assert_int_equal(fetched(p, i)->last_stable_offset, 4);
                assert_int_equal(fetched(p, i)->log_start_offset, version >= 5 ? 0 : -1);
                assert_int_equal(fetched(p, i)->aborted_transactions_n,
                                 -1); /* null: read_uncommitted */
                assert_int_equal(fetched(p, i)->preferred_read_replica, -1);
                assert_memory_equal(fetched(p, i)->records.v[0].ptr,
                                    bed_log(bed, t, i)->batches[1].data, bytes);
            }
        }
        bed_turns(bed, 6);
        for (uint8_t i = 0; i < workers_n; i++)
            assert_int_equal(bed->workers[i].store->lent_n, 0); /* sent: the pages are back */
        assert_int_equal(bed_stat(bed, STAT_FETCH_BYTES), 15 * 9 * bytes);
        client_close(&c);
        bed_free(bed);
    }
}

static int16_t code_of(struct client *c, int16_t version, const struct fetch_request *q)
{
    const struct fetch_response *p = client_ask(c, FETCH, version, q);
    return fetched(p, 0)->error_code;
}

static void refusals_carry_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 4);
    bed_log(bed, t, 0)->o.start = 1;
    struct fetch_request *q = fetch_of(bed, t, 1, 5);
    q->max_wait_ms = 30000; /* every error is answered at once (trap 10) */
    assert_int_equal(code_of(&c, 12, q), 1);
    q->topics->partitions->fetch_offset = -1;
    assert_int_equal(code_of(&c, 12, q), 1);
    q->topics->partitions->fetch_offset = 0;
    const struct fetch_response *p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(fetched(p, 0)->error_code, 1);
    assert_int_equal(fetched(p, 0)->log_start_offset, -1);
    q->topics->partitions->fetch_offset = 1;
    q->topics->partitions->partition = 7;
    assert_int_equal(code_of(&c, 12, q), 3);
    q->topics->partitions->partition = 0;
    q->topics->topic = bytes_of_string("nosuch");
    assert_int_equal(code_of(&c, 12, q), 3);
    memset(q->topics->topic_id.b, 7, 16);
    assert_int_equal(code_of(&c, 16, q), 100);
    q = fetch_of(bed, t, 1, 1);
    q->topics->partitions->current_leader_epoch = 5;
    assert_int_equal(code_of(&c, 12, q), 75);
    q->topics->partitions->current_leader_epoch = 3;
    assert_int_equal(code_of(&c, 12, q), 74);
    p = client_ask(&c, FETCH, 16, q); /* KIP-951 */
    assert_int_equal(fetched(p, 0)->error_code, 74);
    assert_int_equal(fetched(p, 0)->current_leader.leader_epoch, 4);
    assert_int_equal(p->node_endpoints_n, 1);
    assert_true(bytes_equal_string(p->node_endpoints->host, "host-0.example"));
    q->topics->partitions->current_leader_epoch = 4;
    assert_int_equal(code_of(&c, 12, q), 0);
    q->replica_id = 5; /* a follower: there is none */
    assert_int_equal(code_of(&c, 12, q), 6);
    q->replica_id = -1;
    q->replica_state.replica_id = 5;
    assert_int_equal(code_of(&c, 17, q), 6);
    assert_int_equal(code_of(&c, 12, q), 0);
    client_close(&c);
    bed_free(bed);
}

static void without_a_cache_no_session_is_made_and_unknown_ones_are_refused(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 1);
    struct fetch_request *q = fetch_of(bed, t, 1, 0);
    q->session_epoch = 0; /* asks for one */
    const struct fetch_response *p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(p->error_code, 0);
    assert_int_equal(p->session_id, 0);
    assert_true(fetched(p, 0)->records.bytes > 0);
    q->session_id = 4711;
    q->session_epoch = 3;
    p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(p->error_code, 70);
    assert_int_equal(p->responses_n, 0);
    q->session_epoch = -1; /* closes one: answered in full, without */
    p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(p->error_code, 0);
    q->session_id = 0;
    q->session_epoch = 0;
    q->topics_n = 0;
    q->max_wait_ms = 30000;
    p = client_ask(&c, FETCH, 12, q); /* "fetch empty, new session": at once */
    assert_int_equal(p->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

/* Trap 8: whole batches, also for an offset inside one. */
static void trap_8_offset_inside_a_batch_gets_the_whole_batch(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct slices batch = batch_of(bed, 10, 1);
    struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
    assert_int_equal(plog_append(bed_log(bed, t, 0), &a, bed->now), 0);
    const struct fetch_response *p = client_ask(&c, FETCH, 12, fetch_of(bed, t, 1, 7));
    assert_int_equal(fetched(p, 0)->records.bytes, batch.bytes);
    client_close(&c);
    bed_free(bed);
}

/* Trap 9, KIP-74: the first batch comes whatever its size, but only of the first partition that has
 * one. */
static void trap_9_first_batch_comes_only_once(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 4);
        struct client c = client_connect(bed);
        bed_fill(bed, t, 3);
        bed_log(bed, t, 0)->o = (struct plog_offsets){0};
        while (bed_log(bed, t, 0)->batches_n > 0) /* the first partition is empty */
            free(bed_log(bed, t, 0)->batches[--bed_log(bed, t, 0)->batches_n].data);
        uint64_t bytes = bed_log(bed, t, 1)->batches[0].bytes;
        for (int i = 0; i < 2; i++) {
            struct fetch_request *q = fetch_of(bed, t, 4, 0);
            if (i == 0)
                q->max_bytes = 0;
            for (int j = 0; i == 1 && j < 4; j++)
                q->topics->partitions[j].partition_max_bytes = 1;
            const struct fetch_response *p = client_ask(&c, FETCH, 12, q);
            assert_int_equal(fetched(p, 0)->records.bytes, 0);
            assert_int_equal(fetched(p, 1)->records.bytes, bytes);
            uint64_t others = fetched(p, 2)->records.bytes + fetched(p, 3)->records.bytes;
            if (i == 0 || workers_n == 1)
                assert_int_equal(others, 0);
            assert_int_equal(fetched(p, 2)->error_code, 0);
        }
        client_close(&c);
        bed_free(bed);
    }
}

static void max_bytes_is_kept_over_partitions_and_homes(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 6);
        struct client c = client_connect(bed);
        bed_fill(bed, t, 20);
        uint64_t bytes = bed_log(bed, t, 1)->batches[0].bytes;
        struct fetch_request *q = fetch_of(bed, t, 6, 0);
        q->max_bytes = (int32_t)(bytes * 30);
        const struct fetch_response *p = client_ask(&c, FETCH, 12, q);
        uint64_t sum = 0;
        for (int i = 0; i < 6; i++)
            sum += fetched(p, i)->records.bytes;
        assert_in_range(sum, bytes * 20, bytes * 30);
        for (int i = 0; i < 6; i++)
            assert_int_equal(fetched(p, i)->high_watermark, 20);
        client_close(&c);
        bed_free(bed);
    }
}

/* Trap 10: parked, woken by the append, not by the timer. */
static void trap_10_append_wakes_a_parked_fetch(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 5);
        struct client c = client_connect(bed), producer = client_connect(bed);
        struct fetch_request *q = fetch_of(bed, t, 5, 0);
        q->max_wait_ms = 30000;
        int32_t id = client_send(&c, FETCH, 12, q);
        assert_false(client_waits(&c, 20));
        struct kafka *k = bed->workers[0].kafka;
        assert_int_equal(k->states_n[REQUEST_PARKED], 1);
        assert_int_equal(k->answer_bytes, 0);
        assert_int_equal(k->small_bytes, 0);
        client_ask(&producer, 0, 9, produce_to(bed, t, 4, 1, -1, batch_of(bed, 2, 1)));
        assert_true(client_waits(&c, 10));
        const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
        assert_int_equal(fetched(p, 4)->high_watermark, 2);
        assert_true(fetched(p, 4)->records.bytes > 0);
        assert_int_equal(fetched(p, 0)->records.bytes, 0);
        bed_turns(bed, 6);
        for (int i = 0; i < 5; i++)
            assert_true(list_is_empty(&bed_log(bed, t, i)->waits));
        client_close(&c);
        client_close(&producer);
        bed_free(bed);
    }
}

/* Design 2: what waits gives its memory back. */
static void parked_fetch_keeps_one_small_page(void **state)
{
    (void)state;
    enum { FETCHES = 40, PARTITIONS = 24 };
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", PARTITIONS);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 1);
    client_ask(&c, FETCH, 12, fetch_of(bed, t, PARTITIONS, 0));
    bed_turns(bed, 2);
    uint64_t before = bed->workers[0].pages.used_bytes;
    for (int i = 0; i < FETCHES; i++) {
        struct fetch_request *q = fetch_of(bed, t, PARTITIONS, i % 2);
        q->max_wait_ms = 30000;
        q->min_bytes = 1 << 20; /* every second one has read something, and gives it back */
        client_send(&c, FETCH, 12, q);
    }
    bed_turns(bed, 10);
    assert_int_equal(bed->workers[0].kafka->states_n[REQUEST_PARKED], FETCHES);
    assert_int_equal(bed->workers[0].store->lent_n, 0);
    assert_int_equal(bed->workers[0].pages.used_bytes - before, FETCHES * PAGE_SMALL);
    bed_reset_conns(bed, 0);
    bed_turns(bed, 3);
    assert_true(bed->workers[0].pages.used_bytes <= before);
    client_close(&c);
    bed_free(bed);
}

static void max_wait_is_honoured(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 3);
        struct client c = client_connect(bed);
        struct fetch_request *q = fetch_of(bed, t, 3, 0);
        q->max_wait_ms = 50;
        int32_t id = client_send(&c, FETCH, 12, q);
        assert_false(client_waits(&c, 48));
        assert_true(client_waits(&c, 12));
        const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
        assert_int_equal(fetched(p, 0)->error_code, 0);
        assert_non_null(fetched(p, 0)->records.v); /* empty, not null */
        assert_int_equal(fetched(p, 0)->records.bytes, 0);
        client_close(&c);
        bed_free(bed);
    }
}

static void min_bytes_is_summed_over_partitions(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 3);
        struct client c = client_connect(bed);
        bed_fill(bed, t, 1);
        uint64_t bytes = bed_log(bed, t, 0)->batches[0].bytes;
        struct fetch_request *q = fetch_of(bed, t, 3, 0);
        q->max_wait_ms = 30000;
        q->min_bytes = (int32_t)(bytes * 9); /* three are there */
        int32_t id = client_send(&c, FETCH, 12, q);
        for (int i = 0; i < 5; i++) {
            assert_false(client_waits(&c, 10));
            struct slices batch = batch_of(bed, 1, 1);
            struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
            assert_int_equal(plog_append(bed_log(bed, t, i % 3), &a, bed->now), 0);
        }
        assert_false(client_waits(&c, 10)); /* eight */
        struct slices batch = batch_of(bed, 1, 1);
        struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
        assert_int_equal(plog_append(bed_log(bed, t, 2), &a, bed->now), 0);
        assert_true(client_waits(&c, 10));
        const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
        uint64_t sum = 0;
        for (int i = 0; i < 3; i++)
            sum += fetched(p, i)->records.bytes;
        assert_int_equal(sum, bytes * 9);
        client_close(&c);
        bed_free(bed);
    }
}

static void consumers_see_only_what_is_durable(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_instant = false;
    bed_fill(bed, t, 2);
    const struct fetch_response *p = client_ask(&c, FETCH, 12, fetch_of(bed, t, 1, 0));
    assert_int_equal(fetched(p, 0)->records.bytes, 0);
    assert_int_equal(fetched(p, 0)->high_watermark, 0);
    p = client_ask(&c, FETCH, 12,
                   fetch_of(bed, t, 1, 2)); /* behind the watermark, not beyond the end */
    assert_int_equal(fetched(p, 0)->error_code, 0);
    fake_durable(bed_log(bed, t, 0), bed->now);
    p = client_ask(&c, FETCH, 12, fetch_of(bed, t, 1, 0));
    assert_true(fetched(p, 0)->records.bytes > 0);
    client_close(&c);
    bed_free(bed);
}

/* Trap 7: read_committed ends at the last stable offset and carries the aborted transactions. */
static void trap_7_read_committed_has_the_aborted_in_order(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 5);
    struct plog *log = bed_log(bed, t, 0);
    log->o.stable = 3;
    log->aborted[0] = (struct aborted){11, 0};
    log->aborted[1] = (struct aborted){12, 2};
    log->aborted_n = 2;
    struct fetch_request *q = fetch_of(bed, t, 1, 0);
    q->isolation_level = 1;
    const struct fetch_response *p = client_ask(&c, FETCH, 11, q);
    assert_int_equal(fetched(p, 0)->records.bytes, 3 * log->batches[0].bytes);
    assert_int_equal(fetched(p, 0)->last_stable_offset, 3);
    assert_int_equal(fetched(p, 0)->aborted_transactions_n, 2);
    assert_int_equal(fetched(p, 0)->aborted_transactions[0].producer_id, 11);
    assert_int_equal(fetched(p, 0)->aborted_transactions[1].first_offset, 2);
    q->topics->partitions->fetch_offset = 3; /* nothing stable: empty, and an empty list */
    p = client_ask(&c, FETCH, 11, q);
    assert_int_equal(fetched(p, 0)->aborted_transactions_n, 0);
    client_close(&c);
    bed_free(bed);
}

static void diverging_epoch_is_told_from_v12_on(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 5);
    struct plog *log = bed_log(bed, t, 0);
    log->epochs[0].epoch = 2;
    log->epochs[1].epoch = 4;
    log->epochs[1].start = 3;
    log->epochs_n = 2;
    struct fetch_request *q = fetch_of(bed, t, 1, 4);
    q->max_wait_ms = 30000;
    q->topics->partitions->last_fetched_epoch = 2; /* epoch 2 ended at 3, the client is at 4 */
    const struct fetch_response *p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(fetched(p, 0)->error_code, 0);
    assert_int_equal(fetched(p, 0)->diverging_epoch.epoch, 2);
    assert_int_equal(fetched(p, 0)->diverging_epoch.end_offset, 3);
    assert_int_equal(fetched(p, 0)->records.bytes, 0);
    q->topics->partitions->last_fetched_epoch = 3; /* never was: the largest below it is 2 */
    p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(fetched(p, 0)->diverging_epoch.epoch, 2);
    q->topics->partitions->last_fetched_epoch = 4;
    p = client_ask(&c, FETCH, 12, q);
    assert_int_equal(fetched(p, 0)->diverging_epoch.epoch, -1);
    assert_true(fetched(p, 0)->records.bytes > 0);
    q->topics->partitions->last_fetched_epoch = 50;
    assert_int_equal(code_of(&c, 12, q), 1);
    client_close(&c);
    bed_free(bed);
}

static void reads_from_the_disk_come_later(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 6);
        struct client c = client_connect(bed);
        bed_fill(bed, t, 3);
        for (uint8_t i = 0; i < workers_n; i++)
            bed->workers[i].store->is_disk_slow = true;
        int32_t id = client_send(&c, FETCH, 12, fetch_of(bed, t, 6, 0));
        for (int round = 0; round < 6; round++) {
            bed_turns(bed, 3);
            for (uint8_t i = 0; i < workers_n; i++)
                fake_disk(bed->workers[i].store, round == 1 && i == 0 ? E_STORAGE : 0, bed->now);
        }
        const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
        int failed = 0;
        for (int i = 0; i < 6; i++) {
            failed += fetched(p, i)->error_code == 56;
            assert_true(fetched(p, i)->error_code != 0 || fetched(p, i)->records.bytes > 0);
        }
        assert_int_equal(failed, 1);
        client_close(&c);
        bed_free(bed);
    }
}

static void answer_budget_makes_fetches_wait_in_order(void **state)
{
    (void)state;
    struct kafka_config config = bed_config();
    config.answer_budget_bytes = 100000;
    struct bed *bed = bed_new_with(1, &config);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c[4];
    struct slices batch = batch_of_bytes(bed, 80000);
    struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
    assert_int_equal(plog_append(bed_log(bed, t, 0), &a, bed->now), 0);
    int32_t ids[4];
    for (int i = 0; i < 4; i++) {
        c[i] = client_connect(bed);
        ids[i] = client_send(&c[i], FETCH, 12, fetch_of(bed, t, 1, 0));
    }
    bed_turns(bed, 1); /* nobody reads yet: one answer under way, the others wait */
    assert_int_equal(bed->workers[0].kafka->states_n[REQUEST_WAITING], 3);
    assert_true(bed->workers[0].kafka->answer_bytes < 2 * batch.bytes);
    for (int i = 0; i < 4; i++) {
        const struct fetch_response *p = client_answer(&c[i], FETCH, 12, ids[i]);
        assert_int_equal(fetched(p, 0)->records.bytes, batch.bytes);
    }
    for (int i = 0; i < 4; i++)
        client_close(&c[i]);
    bed_free(bed);
}

static void log_dropped_while_parked_ends_the_fetch(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct fetch_request *q = fetch_of(bed, t, 1, 0);
    q->max_wait_ms = 30000;
    int32_t id = client_send(&c, FETCH, 12, q);
    bed_turns(bed, 5);
    fake_log_drop(bed_log(bed, t, 0), bed->now);
    const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
    assert_int_equal(fetched(p, 0)->error_code, 3);
    client_close(&c);
    bed_free(bed);
}

/* The connection closes after any number of turns of a fetch in any stage: every page and wait goes
 * back. */
static void closing_at_any_turn_releases_everything(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        for (uint32_t turns = 0; turns < 10; turns++) {
            for (int mode = 0; mode < 4; mode++) { /* disk, data, parked, woken */
                struct bed *bed = bed_new(workers_n);
                struct view_topic *t = bed_topic(bed, "t", 6);
                struct client c = client_connect(bed);
                if (mode < 2)
                    bed_fill(bed, t, 3);
                for (uint8_t i = 0; i < workers_n; i++)
                    bed->workers[i].store->is_disk_slow = mode == 0;
                for (int i = 0; i < 3; i++) {
                    struct fetch_request *q = fetch_of(bed, t, 6, 0);
                    q->max_wait_ms = 30000;
                    q->min_bytes = mode == 1 ? 1 << 20 : 1;
                    client_send(&c, FETCH, 12, q);
                }
                bed_turns(bed, turns);
                if (mode == 3)
                    bed_fill(bed, t, 1);
                if (mode == 0 && turns > 4)
                    fake_disk(bed->workers[0].store, 0, bed->now);
                bed_reset_conns(bed, 0);
                bed_turns(bed, 6);
                for (uint8_t i = 0; i < workers_n; i++) {
                    bed->workers[i].store->is_disk_slow = false;
                    fake_disk(bed->workers[i].store, 0, bed->now);
                }
                bed_turns(bed, 8);
                for (int i = 0; i < 6; i++)
                    assert_true(list_is_empty(&bed_log(bed, t, i)->waits));
                for (uint8_t i = 0; i < workers_n; i++)
                    assert_true(kafka_is_quiet(bed->workers[i].kafka));
                client_close(&c);
                bed_free(bed);
            }
        }
    }
}

enum { MANY = 3 * BEGIN_UNITS_TURN };

/* Planned, made room for and read over several turns; all is answered, and others are meanwhile. */
static void fetch_of_many_partitions_takes_turns(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 2);
        struct client c = client_connect(bed), other = client_connect(bed);
        struct kafka *k = bed->workers[0].kafka;
        struct fetch_request *q = fetch_of(bed, t, MANY, 0);
        for (int32_t i = 0; i < MANY; i++) /* the same two logs again and again */
            q->topics->partitions[i].partition = i % 2;
        bed_fill(bed, t, 1);
        int32_t id = client_send(&c, FETCH, 12, q);
        for (int i = 0; i < 20 && k->states_n[REQUEST_WAITING] == 0; i++)
            bed_turn(bed);
        assert_int_equal(k->states_n[REQUEST_WAITING], 1);
        client_ask(&other, FETCH, 12, fetch_of(bed, t, 1, 0));
        assert_false(client_has_answer(&c));
        const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
        uint32_t with = 0;
        for (int32_t i = 0; i < MANY; i++) {
            assert_int_equal(fetched(p, i)->partition_index, i % 2);
            assert_int_equal(fetched(p, i)->error_code, 0);
            assert_int_equal(fetched(p, i)->high_watermark, 1);
            with += fetched(p, i)->records.bytes > 0;
        }
        assert_true(with >= 2);
        client_close(&c);
        client_close(&other);
        bed_free(bed);
    }
}

static void closing_while_a_fetch_takes_turns_releases_everything(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        for (uint32_t turns = 0; turns < 20; turns++) {
            struct bed *bed = bed_new(workers_n);
            struct view_topic *t = bed_topic(bed, "t", 2);
            struct client c = client_connect(bed);
            struct fetch_request *q = fetch_of(bed, t, MANY, 0);
            for (int32_t i = 0; i < MANY; i++)
                q->topics->partitions[i].partition = i % 2;
            bed_fill(bed, t, 1);
            client_send(&c, FETCH, 12, q);
            bed_turns(bed, turns);
            bed_reset_conns(bed, 0);
            bed_turns(bed, 20);
            for (uint8_t i = 0; i < workers_n; i++)
                assert_true(kafka_is_quiet(bed->workers[i].kafka));
            client_close(&c);
            bed_free(bed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_version_reads_what_is_there),
        TEST(refusals_carry_kafkas_codes),
        TEST(without_a_cache_no_session_is_made_and_unknown_ones_are_refused),
        TEST(trap_8_offset_inside_a_batch_gets_the_whole_batch),
        TEST(trap_9_first_batch_comes_only_once),
        TEST(max_bytes_is_kept_over_partitions_and_homes),
        TEST(trap_10_append_wakes_a_parked_fetch),
        TEST(parked_fetch_keeps_one_small_page),
        TEST(max_wait_is_honoured),
        TEST(min_bytes_is_summed_over_partitions),
        TEST(consumers_see_only_what_is_durable),
        TEST(trap_7_read_committed_has_the_aborted_in_order),
        TEST(diverging_epoch_is_told_from_v12_on),
        TEST(reads_from_the_disk_come_later),
        TEST(answer_budget_makes_fetches_wait_in_order),
        TEST(log_dropped_while_parked_ends_the_fetch),
        TEST(closing_at_any_turn_releases_everything),
        TEST(fetch_of_many_partitions_takes_turns),
        TEST(closing_while_a_fetch_takes_turns_releases_everything),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
