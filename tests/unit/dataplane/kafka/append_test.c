/* append_test.c - the queue of appends at a home: who passes whom. */
#include "kafka_bed.h"

enum { PRODUCE = 0 };

/* A critical batch is placed although more wait than are looked at; not past its own partition. */
static void critical_batch_passes_all_that_wait(void **state)
{
    enum { WAITING_N = 3 * 64 };
    (void)state;
    struct kafka_config config = bed_config();
    config.requests_max = WAITING_N + 8;
    struct bed *bed = bed_new_with(1, &config);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c[3];
    for (int i = 0; i < 3; i++)
        c[i] = client_connect(bed);
    bed_log(bed, t, 1)->is_critical = true;
    bed->workers[0].store->is_full = true;
    for (int i = 0; i < WAITING_N; i++) {
        (void)client_send(&c[0], PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
        bed_turns(bed, 1);
    }
    bed_log(bed, t, 1)->has_room = true;
    int32_t id = client_send(&c[1], PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 2, 1)));
    const struct produce_response *p = client_answer(&c[1], PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->base_offset, 0);
    bed_log(bed, t, 1)->has_room = false;
    id = client_send(&c[1], PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 3, 1)));
    bed_turns(bed, 2);
    bed_log(bed, t, 1)->has_room = true; /* who comes now stands behind the one that waits */
    int32_t last = client_send(&c[2], PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 4, 1)));
    p = client_answer(&c[1], PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->base_offset, 2);
    p = client_answer(&c[2], PRODUCE, 9, last);
    assert_int_equal(produced(p, 0)->base_offset, 5);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 0);
    bed->workers[0].store->is_full = false;
    bed_turns(bed, WAITING_N);
    assert_int_equal(bed_log(bed, t, 0)->o.end, WAITING_N);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(critical_batch_passes_all_that_wait),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
