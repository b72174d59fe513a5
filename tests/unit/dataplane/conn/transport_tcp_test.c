/*
 * transport_tcp_test.c - connections over the TCP engine: the cases every transport shares, with
 * clients on a second engine.
 */
#include "conn_cases.h"

static int case_setup(void **state)
{
    struct conns_config config = bed_config_default();
    *state = bed_make(BED_NET, &config, MIB(128));
    return 0;
}

static int case_teardown(void **state)
{
    bed_free(bed_of(state));
    return 0;
}

/* An answer longer than the peer's window: its memory comes back chunk by chunk. */
static void answer_longer_than_any_window_flows(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    client_write_frame(&c, 3 << 20, 2);
    client_expect_frame(&c, 3 << 20, 2);
    bed_turns(bed, 100);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    assert_int_equal(conn->tcp.chunks_n, 0);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_CASES,
        CONN_CASE(answer_longer_than_any_window_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
