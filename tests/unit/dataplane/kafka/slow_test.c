/*
 * slow_test.c - a made-up delay at each place is found in the right stage of `millrace slow`, and
 * blamed on the right culprit; the stages sum to the time.
 */
#include "kafka_bed.h"

enum { PRODUCE = 0, FETCH = 1, METADATA = 3, INIT_PRODUCER_ID = 22, DELAY = 50 };

/* The slowest request of an API (own: beside its wait for records) since the start. */
static struct slow slowest(struct bed *bed, int16_t api_key, bool is_own)
{
    struct top_item items[TOP_KEEP];
    struct slow s = {.api_key = -1};
    for (uint32_t row = 0; row < kafka_slow_rows(); row++) {
        bool is_row_own;
        uint32_t n = 0;
        if (kafka_slow_row(row, &is_row_own) != api_key || is_row_own != is_own)
            continue;
        for (uint8_t i = 0; i < bed->workers_n; i++)
            n = kafka_slow(bed->workers[i].kafka, row, TOP_START, bed->now.ns, items, n);
        if (n > 0)
            memcpy(&s, items[0].w, sizeof s);
    }
    return s;
}

/* It was slow by DELAY turns of a millisecond, all of them in `stage`, for which `culprit` is
 * named. */
static void expect_blame(struct bed *bed, int16_t api_key, enum stage stage, enum culprit culprit)
{
    struct slow s = slowest(bed, api_key, false);
    uint64_t sum_ns = 0, took_ns = 0;
    assert_int_equal(s.api_key, api_key);
    for (int i = 0; i < STAGES_N; i++)
        sum_ns += s.stages_ns[i];
    assert_int_equal(sum_ns, s.total_ns);
    assert_in_range(s.stages_ns[stage], (DELAY - 2) * NS_PER_MS, (DELAY + 2) * NS_PER_MS);
    assert_in_range(s.total_ns, (DELAY - 2) * NS_PER_MS, (DELAY + 12) * NS_PER_MS);
    assert_int_equal(slow_culprit(&s, &took_ns), culprit);
    assert_in_range(took_ns, (DELAY - 2) * NS_PER_MS, (DELAY + 3) * NS_PER_MS);
}

/* A bed with one topic of a partition for each worker, and a client. Owner: the test. */
struct scene {
    struct bed *bed;
    struct view_topic *t;
    struct client c;
};

static struct scene scene_new(uint8_t workers_n)
{
    struct scene s = {.bed = bed_new(workers_n)};
    s.t = bed_topic(s.bed, "t", workers_n);
    s.c = client_connect(s.bed);
    return s;
}

static void scene_end(struct scene *s)
{
    client_close(&s->c);
    bed_free(s->bed);
}

static struct produce_request *one_batch(struct scene *s)
{
    return produce_to(s->bed, s->t, 0, 1, -1, batch_of(s->bed, 1, 1));
}

static void frame_in_two_halves_blames_the_sending_client(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    uint64_t n;
    uint8_t *p = request_bytes(PRODUCE, 9, ++s.c.next_id, one_batch(&s), &n);
    client_write(&s.c, p, n / 2);
    bed_turns(s.bed, DELAY);
    client_write(&s.c, p + n / 2, n - n / 2);
    free(p);
    client_answer(&s.c, PRODUCE, 9, s.c.next_id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, STAGE_COMPLETE, CULPRIT_CLIENT_SENDING);
    scene_end(&s);
}

static void full_pool_of_requests_blames_admission(void **state)
{
    (void)state;
    struct kafka_config config = bed_config();
    config.requests_max = 1;
    struct scene s = {.bed = bed_new_with(1, &config)};
    s.t = bed_topic(s.bed, "t", 1);
    s.c = client_connect(s.bed);
    struct client other = client_connect(s.bed);
    s.bed->workers[0].store->is_instant = false;
    int32_t first = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    bed_turn(s.bed);
    struct metadata_request q = {.topics_n = 0};
    int32_t second = client_send(&other, METADATA, 9, &q);
    bed_turns(s.bed, DELAY);
    fake_durable_all(s.bed->workers[0].store, s.bed->now);
    client_answer(&s.c, PRODUCE, 9, first);
    client_answer(&other, METADATA, 9, second);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, METADATA, STAGE_STARTED, CULPRIT_ADMISSION);
    client_close(&other);
    scene_end(&s);
}

static void fetch_without_enough_bytes_blames_min_bytes(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct fetch_request *q = fetch_of(s.bed, s.t, 1, 0);
    q->min_bytes = 1000000;
    q->max_wait_ms = DELAY;
    client_ask(&s.c, FETCH, 12, q);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, FETCH, STAGE_WOKEN, CULPRIT_MIN_BYTES);
    /* Beside its wait it was fast. */
    struct slow own = slowest(s.bed, FETCH, true);
    assert_int_equal(own.api_key, FETCH);
    assert_in_range(own.total_ns - own.stages_ns[STAGE_WOKEN], 0, 10 * NS_PER_MS);
    scene_end(&s);
}

/* The home worker does not turn. */
static void busy_home_worker_blames_mail(void **state)
{
    (void)state;
    struct scene s = scene_new(2);
    int32_t id =
        client_send(&s.c, PRODUCE, 9, produce_to(s.bed, s.t, 1, 1, -1, batch_of(s.bed, 1, 1)));
    for (int i = 0; i < DELAY; i++) {
        bed_worker_turn(s.bed, &s.bed->workers[0]);
        s.bed->now.ns += NS_PER_MS;
    }
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, STAGE_ARRIVED, CULPRIT_MAIL);
    scene_end(&s);
}

/* The flush at another worker is not taken for mail, although the answer came by mail. */
static void flush_at_another_worker_blames_the_flush(void **state)
{
    (void)state;
    struct scene s = scene_new(2);
    struct store *store = s.bed->workers[1].store;
    store->is_instant = false;
    int32_t id =
        client_send(&s.c, PRODUCE, 9, produce_to(s.bed, s.t, 1, 1, -1, batch_of(s.bed, 1, 1)));
    bed_turns(s.bed, 2);
    store->flush_began_ns = s.bed->now.ns;
    fake_written(bed_log(s.bed, s.t, 1), s.bed->now);
    bed_turns(s.bed, DELAY);
    fake_durable(bed_log(s.bed, s.t, 1), s.bed->now);
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, STAGE_FLUSHED, CULPRIT_DEVICE_FLUSH);
    scene_end(&s);
}

static void full_tail_blames_tail_room(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    s.bed->workers[0].store->is_full = true;
    int32_t id = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    bed_turns(s.bed, DELAY);
    s.bed->workers[0].store->is_full = false;
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, STAGE_PLACED, CULPRIT_PLACING);
    scene_end(&s);
}

static struct slow expect_stall(struct scene *s, int16_t api_key)
{
    struct slow found = slowest(s->bed, api_key, false);
    uint64_t took_ns = 0;
    assert_int_equal(found.api_key, api_key);
    assert_int_equal(slow_culprit(&found, &took_ns), CULPRIT_STALL);
    assert_in_range(took_ns, (DELAY - 6) * NS_PER_MS, (DELAY + 3) * NS_PER_MS);
    assert_int_equal(found.stall_took_ns, 2 * DELAY * NS_PER_MS);
    assert_int_equal(found.stall_dir, 3);
    return found;
}

/* The disk stood still for twice as long, also before the request had come. */
static void stall_now(struct store *store, struct now now)
{
    store->stall_from_ns = now.ns - 2 * DELAY * NS_PER_MS;
    store->stall_to_ns = now.ns;
}

static void flush_during_a_stall_blames_the_stall(void **state)
{
    (void)state;
    for (uint8_t at = 0; at < 2; at++) { /* at home here, and at another worker */
        struct scene s = scene_new(2);
        struct store *store = s.bed->workers[at].store;
        store->is_instant = false;
        int32_t id =
            client_send(&s.c, PRODUCE, 9, produce_to(s.bed, s.t, at, 1, -1, batch_of(s.bed, 1, 1)));
        bed_turns(s.bed, 2);
        store->flush_began_ns = s.bed->now.ns;
        fake_written(bed_log(s.bed, s.t, at), s.bed->now);
        bed_turns(s.bed, DELAY);
        stall_now(store, s.bed->now);
        fake_durable(bed_log(s.bed, s.t, at), s.bed->now);
        client_answer(&s.c, PRODUCE, 9, id);
        bed_turns(s.bed, 3);
        struct slow found = expect_stall(&s, PRODUCE);
        assert_in_range(found.stages_ns[STAGE_FLUSHED], (DELAY - 2) * NS_PER_MS,
                        (DELAY + 2) * NS_PER_MS);
        scene_end(&s);
    }
}

static void room_that_a_stall_kept_blames_the_stall(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct store *store = s.bed->workers[0].store;
    store->is_full = true;
    int32_t id = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    bed_turns(s.bed, DELAY);
    store->is_full = false;
    stall_now(store, s.bed->now);
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    (void)expect_stall(&s, PRODUCE);
    scene_end(&s);
}

static void read_during_a_stall_blames_the_stall(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct store *store = s.bed->workers[0].store;
    client_ask(&s.c, PRODUCE, 9, one_batch(&s));
    store->is_disk_slow = true;
    int32_t id = client_send(&s.c, FETCH, 12, fetch_of(s.bed, s.t, 1, 0));
    bed_turns(s.bed, DELAY);
    stall_now(store, s.bed->now);
    fake_disk(store, 0, s.bed->now);
    store->is_disk_slow = false;
    client_answer(&s.c, FETCH, 12, id);
    bed_turns(s.bed, 3);
    (void)expect_stall(&s, FETCH);
    scene_end(&s);
}

/* A stall that ended before it came, or that it did not wait through, is not its culprit. */
static void stall_of_others_is_no_culprit(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct store *store = s.bed->workers[0].store;
    store->stall_to_ns = s.bed->now.ns;
    store->is_full = true;
    int32_t id = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    bed_turns(s.bed, DELAY);
    store->is_full = false;
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, STAGE_PLACED, CULPRIT_PLACING);
    scene_end(&s);
}

static void slow_disk_read_blames_reading(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    client_ask(&s.c, PRODUCE, 9, one_batch(&s));
    s.bed->workers[0].store->is_disk_slow = true;
    int32_t id = client_send(&s.c, FETCH, 12, fetch_of(s.bed, s.t, 1, 0));
    bed_turns(s.bed, DELAY);
    fake_disk(s.bed->workers[0].store, 0, s.bed->now);
    s.bed->workers[0].store->is_disk_slow = false;
    client_answer(&s.c, FETCH, 12, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, FETCH, STAGE_PLACED, CULPRIT_READING);
    scene_end(&s);
}

/* written after `write` turns, its flush begins after `wait` more, and takes `flush`. */
static void produce_with_delays(int write, int wait, int flush, enum stage stage,
                                enum culprit culprit)
{
    struct scene s = scene_new(1);
    struct store *store = s.bed->workers[0].store;
    store->is_instant = false;
    int32_t id = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    bed_turns(s.bed, 1 + (uint32_t)write);
    fake_written(bed_log(s.bed, s.t, 0), s.bed->now);
    bed_turns(s.bed, (uint32_t)wait);
    store->flush_began_ns = s.bed->now.ns;
    bed_turns(s.bed, (uint32_t)flush);
    fake_durable(bed_log(s.bed, s.t, 0), s.bed->now);
    client_answer(&s.c, PRODUCE, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, PRODUCE, stage, culprit);
    scene_end(&s);
}

static void slow_write_blames_the_write(void **state)
{
    (void)state;
    produce_with_delays(DELAY, 1, 2, STAGE_WRITTEN, CULPRIT_WRITE);
}

static void flush_that_begins_late_blames_the_one_before(void **state)
{
    (void)state;
    produce_with_delays(1, DELAY, 2, STAGE_FLUSHING, CULPRIT_FLUSH_WAIT);
}

static void flush_that_takes_long_blames_the_device(void **state)
{
    (void)state;
    produce_with_delays(1, 2, DELAY, STAGE_FLUSHED, CULPRIT_DEVICE_FLUSH);
}

static void slow_control_blames_control(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct init_producer_id_request q = {
        .transactional_id = {NULL, 0}, .producer_id = -1, .producer_epoch = -1};
    s.bed->is_control_slow = true;
    int32_t id = client_send(&s.c, INIT_PRODUCER_ID, 4, &q);
    bed_turns(s.bed, DELAY);
    s.bed->is_control_slow = false;
    client_answer(&s.c, INIT_PRODUCER_ID, 4, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, INIT_PRODUCER_ID, STAGE_MAILED, CULPRIT_CONTROL);
    scene_end(&s);
}

static void answer_behind_a_slow_one_blames_the_order(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    s.bed->workers[0].store->is_instant = false;
    struct metadata_request q = {.topics_n = 0};
    int32_t first = client_send(&s.c, PRODUCE, 9, one_batch(&s));
    int32_t second = client_send(&s.c, METADATA, 9, &q);
    bed_turns(s.bed, DELAY);
    fake_durable_all(s.bed->workers[0].store, s.bed->now);
    client_answer(&s.c, PRODUCE, 9, first);
    client_answer(&s.c, METADATA, 9, second);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, METADATA, STAGE_SENDING, CULPRIT_ORDER);
    scene_end(&s);
}

static void client_that_does_not_read_is_blamed(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct metadata_request q = {.topics_n = 0};
    int32_t id = client_send(&s.c, METADATA, 9, &q);
    bed_turns(s.bed, DELAY);
    client_answer(&s.c, METADATA, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, METADATA, STAGE_SENT, CULPRIT_CLIENT_READING);
    scene_end(&s);
}

static uint64_t fake_ticks(void)
{
    return 1; /* never asked: the turn below is made up */
}

static void turn_that_overran_is_blamed_with_its_step(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct turns turns = {.ticks = fake_ticks};
    struct metadata_request q = {.topics_n = 0};
    kafka_turns(s.bed->workers[0].kafka, &turns);
    int32_t id = client_send(&s.c, METADATA, 9, &q);
    bed_turn(s.bed);
    turns.overruns[0] =
        (struct turn_overrun){.begin_ns = s.bed->now.ns - NS_PER_MS, .took_ns = DELAY * NS_PER_MS};
    turns.overruns[0].steps_ns[STEP_FLUSH] = (DELAY - 1) * NS_PER_MS;
    turns.overruns[0].steps_ns[STEP_MAIL] = NS_PER_MS;
    turns.overruns_n = 1;
    s.bed->now.ns += (DELAY - 1) * NS_PER_MS;
    client_answer(&s.c, METADATA, 9, id);
    bed_turns(s.bed, 3);
    expect_blame(s.bed, METADATA, STAGE_SENT, CULPRIT_OVERRUN);
    struct slow slow = slowest(s.bed, METADATA, false);
    assert_int_equal(slow.overrun_step, STEP_FLUSH);
    assert_int_equal(slow.overrun_step_ns, (DELAY - 1) * NS_PER_MS);
    assert_int_equal(slow.overrun_turn_ns, DELAY * NS_PER_MS);
    scene_end(&s);
}

static void request_tells_who_asked_and_how_much(void **state)
{
    (void)state;
    struct scene s = scene_new(1);
    struct metadata_request q = {.topics_n = 0};
    client_ask(&s.c, METADATA, 9, &q);
    bed_turns(s.bed, 3);
    struct slow slow = slowest(s.bed, METADATA, false);
    assert_int_equal(slow.version, 9);
    assert_true(slow.frame_bytes > 8 && slow.answer_bytes > 8);
    assert_false(slow.has_left);
    assert_true(strchr(slow.peer, ':') != NULL);
    scene_end(&s);
}

/* A request whose `stage` took nearly all of its time. */
static struct slow slow_in(enum stage stage)
{
    uint64_t at[STAGES_N] = {0}, ns = NS_PER_S;
    struct slow s = {.is_own_tcp = true};
    for (int i = 0; i < STAGES_N; i++)
        at[i] = ns += i == (int)stage ? DELAY * NS_PER_MS : 1000;
    slow_measure(&s, at, NULL);
    return s;
}

static enum culprit blamed(const struct slow *s)
{
    uint64_t took_ns;
    return slow_culprit(s, &took_ns);
}

static void bytes_missing_from_a_request_blame_the_network(void **state)
{
    (void)state;
    struct slow s = slow_in(STAGE_COMPLETE);
    assert_int_equal(blamed(&s), CULPRIT_CLIENT_SENDING);
    s.holes_n = 1;
    assert_int_equal(blamed(&s), CULPRIT_NETWORK);
}

static void answer_sent_again_blames_the_network_unless_the_client_did_not_read(void **state)
{
    (void)state;
    struct slow s = slow_in(STAGE_SENT);
    assert_int_equal(blamed(&s), CULPRIT_CLIENT_READING);
    s.again_n = 1;
    assert_int_equal(blamed(&s), CULPRIT_NETWORK);
    s.was_window_shut = true;
    assert_int_equal(blamed(&s), CULPRIT_CLIENT_READING);
}

/* What was lost took no time of these. */
static void losses_do_not_blame_the_network_for_other_stages(void **state)
{
    (void)state;
    struct slow s = slow_in(STAGE_FLUSHED);
    s.again_n = s.holes_n = 3;
    assert_int_equal(blamed(&s), CULPRIT_DEVICE_FLUSH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frame_in_two_halves_blames_the_sending_client),
        TEST(full_pool_of_requests_blames_admission),
        TEST(fetch_without_enough_bytes_blames_min_bytes),
        TEST(busy_home_worker_blames_mail),
        TEST(flush_at_another_worker_blames_the_flush),
        TEST(full_tail_blames_tail_room),
        TEST(flush_during_a_stall_blames_the_stall),
        TEST(room_that_a_stall_kept_blames_the_stall),
        TEST(read_during_a_stall_blames_the_stall),
        TEST(stall_of_others_is_no_culprit),
        TEST(slow_disk_read_blames_reading),
        TEST(slow_write_blames_the_write),
        TEST(flush_that_begins_late_blames_the_one_before),
        TEST(flush_that_takes_long_blames_the_device),
        TEST(slow_control_blames_control),
        TEST(answer_behind_a_slow_one_blames_the_order),
        TEST(client_that_does_not_read_is_blamed),
        TEST(turn_that_overran_is_blamed_with_its_step),
        TEST(request_tells_who_asked_and_how_much),
        TEST(bytes_missing_from_a_request_blame_the_network),
        TEST(answer_sent_again_blames_the_network_unless_the_client_did_not_read),
        TEST(losses_do_not_blame_the_network_for_other_stages),
    };
    return TESTS_RUN(tests);
}
