/* offsets_test.c - committed offsets of a group: against a plain list, in random order. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "offsets.h"
#include "prng.h"

enum { TOPICS = 7, PARTITIONS = 40, STEPS = 20000 };

static struct offset offset_of(const char *topic, int32_t partition, int64_t n,
                               const char *metadata)
{
    return (struct offset){.topic = bytes_of_string(topic),
                           .partition = partition,
                           .offset = n,
                           .metadata = bytes_of_string(metadata),
                           .leader_epoch = -1,
                           .expire_ms = -1};
}

static void random_changes_agree_with_a_plain_table(void **state)
{
    (void)state;
    static int64_t plain[TOPICS][PARTITIONS];
    struct offsets *o;
    struct prng p;
    uint32_t n = 0;
    prng_init(&p, 3);
    memset(plain, -1, sizeof plain);
    assert_int_equal(offsets_new(&o, 9), 0);
    uint64_t empty_bytes = offsets_bytes(o);
    for (int step = 0; step < STEPS; step++) {
        uint32_t t = (uint32_t)prng_below(&p, TOPICS), k = (uint32_t)prng_below(&p, PARTITIONS);
        char topic[16];
        snprintf(topic, sizeof topic, "topic-%u", t);
        const struct offset *found = offsets_find(o, bytes_of_string(topic), (int32_t)k);
        assert_true((found != NULL) == (plain[t][k] >= 0));
        if (found != NULL)
            assert_int_equal(found->offset, plain[t][k]);
        if (prng_chance(&p, 50)) {
            struct offset from =
                offset_of(topic, (int32_t)k, step, prng_chance(&p, 50) ? "" : "some note");
            assert_int_equal(offsets_set(o, &from), 0);
            n += found == NULL;
            plain[t][k] = step;
        } else {
            assert_true(offsets_remove(o, bytes_of_string(topic), (int32_t)k) ==
                        (plain[t][k] >= 0));
            n -= plain[t][k] >= 0;
            plain[t][k] = -1;
        }
        assert_int_equal(offsets_n(o), n);
    }
    for (uint32_t t = 0; t < TOPICS; t++)
        for (uint32_t k = 0; k < PARTITIONS; k++) {
            char topic[16];
            snprintf(topic, sizeof topic, "topic-%u", t);
            offsets_remove(o, bytes_of_string(topic), (int32_t)k);
        }
    assert_int_equal(offsets_n(o), 0);
    assert_true(offsets_bytes(o) >= empty_bytes); /* only the table is left */
    offsets_free(o);
}

static void sorted_by_topic_and_partition(void **state)
{
    (void)state;
    struct offsets *o;
    const struct offset *all[6];
    assert_int_equal(offsets_new(&o, 1), 0);
    static const struct {
        const char *topic;
        int32_t partition;
    } in[6] = {{"b", 2}, {"a", 10}, {"ab", 0}, {"a", 2}, {"b", 0}, {"a", 0}},
      out[6] = {{"a", 0}, {"a", 2}, {"a", 10}, {"ab", 0}, {"b", 0}, {"b", 2}};
    for (int i = 0; i < 6; i++) {
        struct offset from = offset_of(in[i].topic, in[i].partition, i, "m");
        assert_int_equal(offsets_set(o, &from), 0);
    }
    assert_int_equal(offsets_sorted(o, all), 0);
    for (int i = 0; i < 6; i++) {
        assert_true(bytes_equal_string(all[i]->topic, out[i].topic));
        assert_int_equal(all[i]->partition, out[i].partition);
        assert_true(bytes_equal_string(all[i]->metadata, "m"));
    }
    uint32_t at = 0, n = 0;
    while (offsets_next(o, &at) != NULL)
        n++;
    assert_int_equal(n, 6);
    offsets_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_changes_agree_with_a_plain_table),
        TEST(sorted_by_topic_and_partition),
    };
    return TESTS_RUN(tests);
}
