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

/* A connection of its own, and the frame it asked for and got while the next long frame of one
 * side is lost: what the network did to it. */
static struct conn_path path_with_loss(struct bed *bed, int losing)
{
    struct client c = client_connect(bed);
    struct conn_path path;
    bed->is_next_long_lost[losing] = true;
    client_write_frame(&c, 40000, 2);
    client_expect_frame(&c, 40000, 2);
    assert_false(bed->is_next_long_lost[losing]);
    bed_turns(bed, 100);
    conn_path(list_first(&bed->conns->open, struct conn, link), &path);
    client_close(&c);
    return path;
}

static void path_tells_what_was_missing_of_a_request(void **state)
{
    struct conn_path path = path_with_loss(bed_of(state), 1);
    assert_true(path.is_known);
    assert_int_equal(path.holes_n, 1);
    assert_int_equal(path.again_n, 0);
    assert_int_equal(path.shut_n, 0);
}

static void path_tells_what_was_sent_again_of_an_answer(void **state)
{
    struct conn_path path = path_with_loss(bed_of(state), 0);
    assert_true(path.is_known);
    assert_int_equal(path.holes_n, 0);
    assert_true(path.again_n >= 1);
    assert_int_equal(path.shut_n, 0);
}

/* The peer's window stays closed for seconds; nothing was lost. */
static void path_tells_that_the_client_did_not_read(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    struct conn_path path;
    client_write_frame(&c, 3 << 20, 2);
    bed_turns(bed, 4000);
    conn_path(list_first(&bed->conns->open, struct conn, link), &path);
    assert_true(path.is_known && path.shut_n > 0);
    client_expect_frame(&c, 3 << 20, 2);
    client_close(&c);
}

static void line_of_a_connection_has_what_tcp_knows(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    char text[1024] = "";
    client_write_frame(&c, 40000, 2);
    client_expect_frame(&c, 40000, 2);
    uint64_t n = conns_list(bed->conns, 0, bed->now.ns, text, sizeof text - 1);
    assert_int_equal(n, strlen(text));
    assert_non_null(strstr(text, "\town TCP\t"));
    assert_non_null(strstr(text, "\tESTABLISHED rtt="));
    assert_non_null(strstr(text, " retransmits=0 holes=0 window_probes=0\n"));
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_CASES,
        CONN_CASE(answer_longer_than_any_window_flows),
        CONN_CASE(path_tells_what_was_missing_of_a_request),
        CONN_CASE(path_tells_what_was_sent_again_of_an_answer),
        CONN_CASE(path_tells_that_the_client_did_not_read),
        CONN_CASE(line_of_a_connection_has_what_tcp_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
