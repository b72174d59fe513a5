/*
 * assign_test.c - the assignors keep what assign.h promises, for many random groups, and stay
 * within their budget.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "assign.h"
#include "clock.h"
#include "prng.h"

enum { TOPICS = 12, MEMBERS = 24, PARTS = 2000 };

/* A group with its memory. */
struct group {
    struct assign assign;
    struct assign_topic topics[TOPICS];
    struct assign_member members[MEMBERS];
    uint32_t subscriptions[MEMBERS][TOPICS];
    uint32_t held[MEMBERS][PARTS];
};

static void group_make(struct group *g, struct prng *prng, bool is_homogeneous)
{
    uint32_t topics_n = 1 + (uint32_t)prng_below(prng, TOPICS),
             members_n = 1 + (uint32_t)prng_below(prng, MEMBERS);
    uint32_t first = 0;
    memset(g, 0, sizeof *g);
    for (uint32_t t = 0; t < topics_n; t++) {
        g->topics[t] = (struct assign_topic){first, (uint32_t)prng_below(prng, 30)};
        first += g->topics[t].partitions_n;
    }
    for (uint32_t m = 0; m < members_n; m++) {
        g->members[m].topics = g->subscriptions[m];
        g->members[m].held = g->held[m];
        for (uint32_t t = 0; t < topics_n; t++)
            if (is_homogeneous || prng_chance(prng, 60))
                g->subscriptions[m][g->members[m].topics_n++] = t;
    }
    g->assign.topics = g->topics;
    g->assign.members = g->members;
    g->assign.topics_n = topics_n;
    g->assign.members_n = members_n;
}

static bool subscribes(const struct group *g, uint32_t m, uint32_t p)
{
    for (uint32_t i = 0; i < g->members[m].topics_n; i++) {
        const struct assign_topic *t = &g->topics[g->members[m].topics[i]];
        if (p >= t->first && p < t->first + t->partitions_n)
            return true;
    }
    return false;
}

static void group_run(struct group *g, enum assignor assignor, uint64_t budget)
{
    g->assign.assignor = assignor;
    assert_int_equal(assign_begin(&g->assign), 0);
    while (assign_more(&g->assign, budget) == E_AGAIN)
        continue;
}

/* Every partition that somebody may have is somebody's who may have it, once. */
static void complete_check(const struct group *g)
{
    uint8_t seen[PARTS] = {0};
    for (uint32_t m = 0; m < g->assign.members_n; m++)
        for (uint32_t i = 0; i < g->members[m].parts_n; i++) {
            uint32_t p = g->members[m].parts[i];
            assert_true(subscribes(g, m, p));
            assert_int_equal(seen[p]++, 0);
            assert_true(i == 0 || g->members[m].parts[i - 1] < p);
        }
    for (uint32_t p = 0; p < g->assign.partitions_n; p++) {
        bool may = false;
        for (uint32_t m = 0; m < g->assign.members_n; m++)
            may |= subscribes(g, m, p);
        assert_int_equal(seen[p], may);
    }
}

/* No partition could go to a member with a load smaller by two. */
static void balance_check(const struct group *g)
{
    for (uint32_t m = 0; m < g->assign.members_n; m++)
        for (uint32_t i = 0; i < g->members[m].parts_n; i++)
            for (uint32_t o = 0; o < g->assign.members_n; o++)
                assert_false(subscribes(g, o, g->members[m].parts[i]) &&
                             g->members[m].parts_n > g->members[o].parts_n + 1);
}

/* What they have becomes what they held. */
static void hold(struct group *g)
{
    for (uint32_t m = 0; m < g->assign.members_n; m++) {
        memcpy(g->held[m], g->members[m].parts, g->members[m].parts_n * sizeof(uint32_t));
        g->members[m].held_n = g->members[m].parts_n;
    }
    assign_fini(&g->assign);
}

static uint32_t moved_n(const struct group *g)
{
    uint32_t kept = 0, held = 0;
    for (uint32_t m = 0; m < g->assign.members_n; m++) {
        held += g->members[m].held_n;
        for (uint32_t i = 0, k = 0; i < g->members[m].parts_n; i++) {
            while (k < g->members[m].held_n && g->members[m].held[k] < g->members[m].parts[i])
                k++;
            kept += k < g->members[m].held_n && g->members[m].held[k] == g->members[m].parts[i];
        }
    }
    return held - kept;
}

static void uniform_equal_subscriptions_balanced_and_minimal(void **state)
{
    struct prng prng;
    struct group *g = malloc(sizeof *g);
    (void)state;
    prng_init(&prng, 1);
    for (int round = 0; round < 400; round++) {
        group_make(g, &prng, true);
        group_run(g, ASSIGN_UNIFORM, 1 + prng_below(&prng, 50));
        complete_check(g);
        balance_check(g);
        hold(g);
        group_run(g, ASSIGN_UNIFORM, UINT64_MAX);
        assert_int_equal(moved_n(g), 0);
        hold(g);
        /* One goes: only what it had moves, or what the others have above the new share (nothing:
         * shares grow). */
        if (g->assign.members_n > 1) {
            g->assign.members_n--;
            group_run(g, ASSIGN_UNIFORM, UINT64_MAX);
            complete_check(g);
            balance_check(g);
            assert_int_equal(moved_n(g), 0);
            hold(g);
            /* One comes: it gets its share, and nothing else moves. */
            uint32_t new = g->assign.members_n++;
            g->members[new].held_n = 0;
            group_run(g, ASSIGN_UNIFORM, UINT64_MAX);
            complete_check(g);
            balance_check(g);
            assert_int_equal(moved_n(g), g->members[new].parts_n);
            hold(g);
        }
    }
    free(g);
}

static void uniform_different_subscriptions_balanced_and_sticky(void **state)
{
    struct prng prng;
    struct group *g = malloc(sizeof *g);
    (void)state;
    prng_init(&prng, 2);
    for (int round = 0; round < 400; round++) {
        group_make(g, &prng, false);
        group_run(g, ASSIGN_UNIFORM, 1 + prng_below(&prng, 50));
        complete_check(g);
        balance_check(g);
        assert_true(g->assign.pass < ASSIGN_PASSES_MAX);
        hold(g);
        group_run(g, ASSIGN_UNIFORM, UINT64_MAX);
        assert_int_equal(moved_n(g), 0);
        hold(g);
    }
    free(g);
}

static void uniform_one_topic_too_much_gives_up_only_the_excess(void **state)
{
    static const uint32_t one[] = {0}, both[] = {0, 1}, held[] = {0, 1, 2, 3};
    struct assign_topic topics[] = {{0, 4}, {4, 2}};
    struct assign_member members[] = {{.topics = one, .topics_n = 1, .held = held, .held_n = 4},
                                      {.topics = both, .topics_n = 2}};
    struct assign a = {.topics = topics, .members = members, .topics_n = 2, .members_n = 2};
    (void)state;
    assert_int_equal(assign_begin(&a), 0);
    assert_int_equal(assign_more(&a, UINT64_MAX), 0);
    assert_int_equal(members[0].parts_n, 3); /* the example at the head of assign.c */
    assert_int_equal(members[1].parts_n, 3);
    assign_fini(&a);
}

static void held_of_others_or_out_of_range_is_passed_over(void **state)
{
    static const uint32_t t0[] = {0}, held[] = {0, 1, 7, 9}, all[] = {0, 1};
    struct assign_topic topics[] = {{0, 2}, {2, 2}};
    struct assign_member members[] = {{.topics = t0, .topics_n = 1, .held = held, .held_n = 4},
                                      {.topics = all, .topics_n = 2, .held = held, .held_n = 4}};
    struct assign a = {.topics = topics, .members = members, .topics_n = 2, .members_n = 2};
    (void)state;
    assert_int_equal(assign_begin(&a), 0);
    assert_int_equal(assign_more(&a, UINT64_MAX), 0);
    assert_int_equal(members[0].parts_n, 2);
    assert_int_equal(members[0].parts[1], 1);
    assert_int_equal(members[1].parts_n, 2);
    assert_int_equal(members[1].parts[0], 2);
    assign_fini(&a);
}

static void range_is_contiguous_even_and_copartitioned(void **state)
{
    struct prng prng;
    struct group *g = malloc(sizeof *g);
    (void)state;
    prng_init(&prng, 3);
    for (int round = 0; round < 300; round++) {
        group_make(g, &prng, round % 2 == 0);
        group_run(g, ASSIGN_RANGE, 1 + prng_below(&prng, 50));
        complete_check(g);
        uint32_t begin[MEMBERS][TOPICS], n[MEMBERS][TOPICS] = {0};
        for (uint32_t m = 0; m < g->assign.members_n; m++)
            for (uint32_t i = 0; i < g->members[m].parts_n; i++) {
                uint32_t p = g->members[m].parts[i], t = 0;
                while (p >= g->topics[t].first + g->topics[t].partitions_n)
                    t++;
                p -= g->topics[t].first;
                if (n[m][t]++ == 0)
                    begin[m][t] = p;
                assert_int_equal(begin[m][t] + n[m][t] - 1, p);
            }
        for (uint32_t t = 0; t < g->assign.topics_n; t++) {
            uint32_t subs_n = 0, least = UINT32_MAX, most = 0;
            for (uint32_t m = 0; m < g->assign.members_n; m++)
                for (uint32_t i = 0; i < g->members[m].topics_n; i++)
                    if (g->members[m].topics[i] == t) {
                        subs_n++;
                        least = n[m][t] < least ? n[m][t] : least;
                        most = n[m][t] > most ? n[m][t] : most;
                    }
            assert_true(subs_n == 0 || most - least <= 1);
            for (uint32_t o = 0; round % 2 == 0 && o < t; o++) /* all subscribe to all */
                for (uint32_t m = 0; g->topics[o].partitions_n == g->topics[t].partitions_n &&
                                     m < g->assign.members_n;
                     m++)
                    assert_true(n[m][o] == n[m][t] && (n[m][o] == 0 || begin[m][o] == begin[m][t]));
        }
        assign_fini(&g->assign);
    }
    free(g);
}

static void nobody_or_nothing_is_done_at_once(void **state)
{
    static const uint32_t t0[] = {0};
    struct assign_topic topics[] = {{0, 3}, {3, 0}};
    struct assign_member member = {0};
    (void)state;
    struct assign nobody = {.topics = topics, .topics_n = 2};
    assert_int_equal(assign_begin(&nobody), 0);
    assert_int_equal(assign_more(&nobody, UINT64_MAX), 0);
    assign_fini(&nobody);
    struct assign nothing = {.members = &member, .members_n = 1};
    assert_int_equal(assign_begin(&nothing), 0);
    assert_int_equal(assign_more(&nothing, UINT64_MAX), 0);
    assert_int_equal(member.parts_n, 0);
    assign_fini(&nothing);
    member.topics = t0;
    member.topics_n = 1;
    struct assign all = {.topics = topics, .topics_n = 2, .members = &member, .members_n = 1};
    assert_int_equal(assign_begin(&all), 0);
    assert_int_equal(assign_more(&all, UINT64_MAX), 0);
    assert_int_equal(member.parts_n, 3);
    assign_fini(&all);
}

/* 1,000 members, 100 topics of 100 partitions. The longest piece, by units: one step may overshoot
 * the budget. */
static void large_group_is_cut_into_pieces(void **state)
{
    enum { MANY = 1000, MANY_TOPICS = 100, EACH = 100, BUDGET = 20000 };
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct assign_topic *topics = calloc(MANY_TOPICS, sizeof *topics);
        struct assign_member *members = calloc(MANY, sizeof *members);
        uint32_t(*subs)[MANY_TOPICS] = calloc(MANY, sizeof *subs);
        for (uint32_t t = 0; t < MANY_TOPICS; t++)
            topics[t] = (struct assign_topic){t * EACH, EACH};
        for (uint32_t m = 0; m < MANY; m++) {
            members[m].topics = subs[m];
            for (uint32_t t = 0; t < MANY_TOPICS; t++)
                if (kind != 2 || (m * 7 + t * 13) % 10 < 5)
                    subs[m][members[m].topics_n++] = t;
        }
        struct assign a = {.assignor = kind == 1 ? ASSIGN_RANGE : ASSIGN_UNIFORM,
                           .topics = topics,
                           .members = members,
                           .topics_n = MANY_TOPICS,
                           .members_n = MANY};
        uint64_t begin = clock_read_ns(), longest = 0, pieces_n = 0;
        assert_int_equal(assign_begin(&a), 0);
        uint64_t all = begin, now;
        longest = clock_read_ns() - begin;
        int e;
        do {
            begin = clock_read_ns();
            e = assign_more(&a, BUDGET);
            now = clock_read_ns();
            longest = now - begin > longest ? now - begin : longest;
            pieces_n++;
        } while (e == E_AGAIN);
        print_message("%s: %llu pieces, longest %llu us, all %llu us\n",
                      kind == 0   ? "uniform"
                      : kind == 1 ? "range"
                                  : "uniform, different",
                      (unsigned long long)pieces_n, (unsigned long long)longest / 1000,
                      (unsigned long long)(now - all) / 1000);
        assert_true(kind == 1 || pieces_n > 1);
        uint32_t n = 0;
        for (uint32_t m = 0; m < MANY; m++) {
            n += members[m].parts_n;
            assert_true(kind == 1 || (members[m].parts_n >= 9 && members[m].parts_n <= 11));
        }
        assert_int_equal(n, MANY_TOPICS * EACH);
        assign_fini(&a);
        free(topics);
        free(members);
        free(subs);
    }
}

static void names_known_and_unknown(void **state)
{
    enum assignor a;
    (void)state;
    assert_true(assignor_by_name("range", 5, &a) && a == ASSIGN_RANGE);
    assert_true(assignor_by_name("uniform", 7, &a) && a == ASSIGN_UNIFORM);
    assert_false(assignor_by_name("unifor", 6, &a));
    assert_false(assignor_by_name("", 0, &a));
    assert_string_equal(assignor_name(ASSIGN_RANGE), "range");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(uniform_equal_subscriptions_balanced_and_minimal),
        TEST(uniform_different_subscriptions_balanced_and_sticky),
        TEST(uniform_one_topic_too_much_gives_up_only_the_excess),
        TEST(held_of_others_or_out_of_range_is_passed_over),
        TEST(range_is_contiguous_even_and_copartitioned),
        TEST(nobody_or_nothing_is_done_at_once),
        TEST(large_group_is_cut_into_pieces),
        TEST(names_known_and_unknown),
    };
    return TESTS_RUN(tests);
}
