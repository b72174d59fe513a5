/*
 * conn_test.c - connections over the memory transport: the cases every transport shares, and
 * peers.c.
 */
#include "conn_cases.h"

#include "prng.h"

static int case_setup(void **state)
{
    struct conns_config config = bed_config_default();
    *state = bed_make(BED_MEMORY, &config, MIB(128));
    return 0;
}

static int case_teardown(void **state)
{
    bed_free(bed_of(state));
    return 0;
}

static void peers_counts_match_a_plain_table(void **state)
{
    enum { IPS_N = 300, CONNS_N = 600 };
    static uint32_t counts[IPS_N];
    struct peers peers;
    struct prng prng;
    uint32_t all = 0;
    (void)state;
    memset(counts, 0, sizeof counts);
    prng_init(&prng, 11);
    assert_int_equal(peers_init(&peers, CONNS_N, 5), 0);
    for (int i = 0; i < 200000; i++) {
        uint32_t at = (uint32_t)prng_below(&prng, IPS_N);
        uint8_t ip[16] = {0};
        memcpy(ip, &at, sizeof at);
        if (prng_chance(&prng, 50) && all < CONNS_N) {
            bool is_added = peers_add(&peers, ip, 4);
            assert_int_equal(is_added, counts[at] < 4);
            counts[at] += is_added;
            all += is_added;
        } else if (counts[at] > 0) {
            peers_remove(&peers, ip);
            counts[at]--;
            all--;
        }
    }
    for (uint32_t at = 0; at < IPS_N; at++) {
        uint8_t ip[16] = {0};
        memcpy(ip, &at, sizeof at);
        for (; counts[at] > 0; counts[at]--)
            peers_remove(&peers, ip);
    }
    for (uint64_t i = 0; i <= peers.mask; i++)
        assert_int_equal(peers.v[i].n, 0);
    peers_fini(&peers);
}

static void memory_write_takes_no_more_than_the_bound(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *bytes = calloc(1, 2 * CONN_RX_BYTES_MAX);
    bed->is_blind = true;
    assert_int_equal(client_write_some(&c, bytes, 2 * CONN_RX_BYTES_MAX), CONN_RX_BYTES_MAX);
    assert_int_equal(client_write_some(&c, bytes, 1), 0);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    conn_want(conn, 1000);
    assert_int_equal(client_write_some(&c, bytes, 2000), 1000);
    free(bytes);
    client_close(&c);
}

static void conn_take_in_too_many_pieces_takes_nothing(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    enum { BYTES = 3 * PAGE_SMALL };
    uint8_t *bytes = calloc(1, BYTES);
    struct slice v[4];
    bed->is_blind = true;
    for (uint32_t i = 0; i < 3; i++) /* one small page each time */
        assert_int_equal(client_write_some(&c, bytes, PAGE_SMALL), PAGE_SMALL);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    assert_int_equal(conn_take(conn, BYTES, v, 2), E_TOO_LARGE);
    assert_int_equal(conn_unread(conn), BYTES);
    assert_int_equal(conn_take(conn, PAGE_SMALL + 1, v, 2), 2);
    assert_int_equal(v[0].n, PAGE_SMALL);
    assert_int_equal(v[1].n, 1);
    assert_int_equal(conn_take(conn, 2 * PAGE_SMALL - 1, v + 2, 2), 2);
    conn_invariants(conn);
    for (int i = 0; i < 4; i++)
        slice_put(&v[i]);
    free(bytes);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_CASES,
        cmocka_unit_test(peers_counts_match_a_plain_table),
        CONN_CASE(memory_write_takes_no_more_than_the_bound),
        CONN_CASE(conn_take_in_too_many_pieces_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
