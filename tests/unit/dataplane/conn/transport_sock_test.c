/*
 * transport_sock_test.c - connections over loopback sockets and io_uring: the shared cases, and
 * what only sockets do.
 */
#include "conn_cases.h"

#include <sys/resource.h>

static int case_setup(void **state)
{
    struct conns_config config = bed_config_default();
    *state = bed_make(true, &config, MIB(128));
    return 0;
}

static int case_teardown(void **state)
{
    bed_free(bed_of(state));
    return 0;
}

static void peer_half_closed_gets_its_answers(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t *f = frame_make(30000, i);
        assert_int_equal(client_write_some(&c, f, 30004), 30004);
        free(f);
    }
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    for (uint8_t i = 0; i < 3; i++)
        client_expect_frame(&c, 30000, i);
    client_expect_end(&c);
    bed_until_conns(bed, 0);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_PEER], 1);
    client_close(&c);
}

static void peer_reset_ends_the_connection(void **state)
{
    struct bed *bed = bed_of(state);
    struct linger now = {1, 0};
    struct client c = client_connect(bed), with_request = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&with_request, 100, 1);
    bed_until_held(bed, 1);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    assert_int_equal(setsockopt(with_request.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    client_close(&c);
    client_close(&with_request);
    bed_until_conns(bed, 0);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_RESET], 2);
    assert_int_equal(held_n(bed), 0);
}

static void long_frames_are_received_in_place(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(1 << 20, 3);
    for (int i = 0; i < 3; i++) { /* in small steps, as a network would deliver it */
        for (uint32_t at = 0; at < (1 << 20) + 4; at += 30000)
            client_write(&c, f + at, min_u64(30000, (1 << 20) + 4 - at));
        client_expect_frame(&c, 1 << 20, 3);
        client_write_frame(&c, 100, 4); /* and back to receive buffers */
        client_expect_frame(&c, 100, 4);
    }
    const struct conns_stats *stats = conns_stats(bed->conns);
    assert_true(stats->direct_bytes > 2 << 20);
    assert_true(stats->staged_bytes < 1 << 20);
    free(f);
    client_close(&c);
}

static void conn_close_while_a_frame_arrives_in_place(void **state)
{
    struct bed *bed = bed_of(state);
    uint8_t *f = frame_make(1 << 20, 3);
    for (int i = 0; i < 3;
         i++) { /* nothing more comes; more comes in the same turn; the peer goes */
        struct client c = client_connect(bed);
        client_write(&c, f, 100000);
        struct conn *conn = list_first(&bed->conns->open, struct conn, link);
        bed_until(bed, conn->room != NULL);
        if (i == 1)
            assert_int_equal(client_write_some(&c, f + 100000, 100000), 100000);
        if (i == 2)
            client_close(&c);
        else
            conn_close(conn, CONN_END_SLOW);
        app_turn(bed); /* its turn comes before what is under way has returned */
        conns_send_ready(bed->conns, bed->now);
        bed_until_conns(bed, 0);
        if (i != 2)
            client_close(&c);
    }
    free(f);
}

static void long_frame_without_memory_for_it_goes_on_when_there_is(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    struct list taken;
    uint8_t *f = frame_make(1 << 20, 3);
    list_init(&taken);
    client_write(&c, f, 100000);
    bed_until(bed, conns_stats(bed->conns)->rx_bytes == 100000);
    for (struct page *p; (p = pages_take(&bed->pages, PAGE_SMALL)) != NULL;)
        list_append(&taken, &p->link);
    uint64_t at = 100000;
    for (int i = 0; i < TURNS_MAX && conns_stats(bed->conns)->staging_refused_n == 0; i++) {
        int64_t rc = client_write_some(&c, f + at, (1 << 20) + 4 - at);
        assert_true(rc >= 0);
        at += (uint64_t)rc;
        bed_turn(bed);
    }
    assert_true(conns_stats(bed->conns)->staging_refused_n > 0);
    for (struct list *l; (l = list_pop(&taken)) != NULL;)
        page_put(list_entry(l, struct page, link));
    client_write(&c, f + at, (1 << 20) + 4 - at);
    client_expect_frame(&c, 1 << 20, 3);
    free(f);
    client_close(&c);
}

static void peer_gone_while_a_send_waits_ends_the_connection(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(250000, 1);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    uint64_t at = 0;
    for (uint32_t i = 0; i < TURNS_MAX && !client_is_stuck(&c, conn); i++) {
        (void)client_flood(&c, f, 250004, &at);
        bed_turn(bed);
    }
    assert_true(client_is_stuck(&c, conn));
    client_close(&c); /* with unread answers: a reset */
    bed_until_conns(bed, 0);
    assert_int_equal(bed->sent_n, bed->frames_n);
    free(f);
}

static void many_connections_are_served(void **state)
{
    enum { CLIENTS_N = 2000 };
    struct bed *bed = bed_of(state);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * CLIENTS_N + 100)
        skip();
    struct client *c = calloc(CLIENTS_N, sizeof *c);
    for (int i = 0; i < CLIENTS_N; i++) {
        assert_true(client_try(&c[i], bed));
        if (i % 100 == 99)
            bed_turns(bed, 2);
    }
    for (int i = 0; i < TURNS_MAX && conns_count(bed->conns) < CLIENTS_N; i++)
        bed_turn(bed);
    assert_int_equal(conns_count(bed->conns), CLIENTS_N);
    for (int round = 0; round < 3; round++) {
        uint8_t *f = frame_make(100, (uint8_t)round);
        for (int i = 0; i < CLIENTS_N; i++)
            assert_int_equal(client_write_some(&c[i], f, 104), 104);
        for (int i = 0; i < CLIENTS_N; i++)
            client_expect_frame(&c[i], 100, (uint8_t)round);
        free(f);
    }
    for (int i = 0; i < CLIENTS_N; i++)
        client_close(&c[i]);
    bed_until_conns(bed, 0);
    free(c);
}

static void receives_outnumbering_the_buffers_all_arrive(void **state)
{
    enum { CLIENTS_N = 200 }; /* of 64 buffers */
    struct bed *bed = bed_of(state);
    struct client c[CLIENTS_N];
    uint8_t *f = frame_make(1000, 1);
    for (int i = 0; i < CLIENTS_N; i++)
        c[i] = client_connect(bed);
    for (int i = 0; i < CLIENTS_N; i++)
        assert_int_equal(client_write_some(&c[i], f, 1004), 1004); /* no turn in between */
    for (int i = 0; i < CLIENTS_N; i++)
        client_expect_frame(&c[i], 1000, 1);
    assert_true(conns_stats(bed->conns)->starved_n > 0);
    for (int i = 0; i < CLIENTS_N; i++)
        client_close(&c[i]);
    free(f);
}

static void idle_halves_of_frames_hold_no_receive_buffer(void **state)
{
    enum { CLIENTS_N = 200 };
    struct bed *bed = bed_of(state);
    struct client c[CLIENTS_N];
    uint8_t *f = frame_make(1000, 1);
    bed->has_want = false;
    for (int i = 0; i < CLIENTS_N; i++) {
        c[i] = client_connect(bed);
        client_write(&c[i], f, 1);
    }
    const struct conns_stats *stats = conns_stats(bed->conns);
    bed_until(bed, stats->staging_bytes == CLIENTS_N * PAGE_SMALL);
    assert_int_equal(stats->recv_buffers_out_n, 0);
    for (int i = 0; i < CLIENTS_N; i++)
        client_write(&c[i], f + 1, 1003);
    for (int i = 0; i < CLIENTS_N; i++)
        client_expect_frame(&c[i], 1000, 1);
    for (int i = 0; i < CLIENTS_N; i++)
        client_close(&c[i]);
    free(f);
}

static void accept_without_descriptors_pauses_and_goes_on(void **state)
{
    struct bed *bed = bed_of(state);
    struct client a, b;
    struct rlimit old, low;
    int probe;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(client_try(&a, bed)); /* its descriptor exists; the server's is refused */
    assert_true(client_try(&b, bed));
    probe = dup(0);
    assert_true(probe >= 0);
    close(probe);
    low = old;
    low.rlim_cur = (rlim_t)probe;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    bed_until(bed, conns_stats(bed->conns)->accept_paused_n >= 2);
    assert_int_equal(conns_count(bed->conns), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    bed_until_conns(bed, 2);
    client_write_frame(&a, 10, 1);
    client_expect_frame(&a, 10, 1);
    client_close(&a);
    client_close(&b);
}

static void listener_on_a_taken_port_is_refused(void **state)
{
    struct bed *bed = bed_of(state);
    struct listener l = bed->listener;
    int fd;
    uint16_t port = 0;
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(other, (struct sockaddr *)&at, sizeof at), 0); /* without SO_REUSEPORT */
    assert_int_equal(listen(other, 1), 0);
    assert_int_equal(getsockname(other, (struct sockaddr *)&at, &n), 0);
    port = ntohs(at.sin_port);
    assert_int_equal(listener_open(&l, &fd, &port), E_IN_USE);
    close(other);
    snprintf(l.host, sizeof l.host, "192.0.2.1"); /* not ours */
    port = 0;
    assert_int_equal(listener_open(&l, &fd, &port), E_INVALID);
}

static void listener_on_all_addresses_takes_both_families(void **state)
{
    struct bed *bed = bed_of(state);
    struct listener l = {.name = "ANY"};
    int fd = -1;
    uint16_t port = 0;
    assert_int_equal(listener_open(&l, &fd, &port), 0);
    assert_int_equal(conns_listen(bed->conns, &l, fd), 0);
    bed->port = port;
    struct client c = client_connect(bed); /* IPv4 */
    client_write_frame(&c, 10, 1);
    client_expect_frame(&c, 10, 1);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    assert_ptr_equal(conn_listener(conn), &l);
    assert_true(strncmp(conn_peer(conn), "127.0.0.1:", 10) == 0);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_CASES,
        CONN_CASE(peer_half_closed_gets_its_answers),
        CONN_CASE(peer_reset_ends_the_connection),
        CONN_CASE(peer_gone_while_a_send_waits_ends_the_connection),
        CONN_CASE(long_frames_are_received_in_place),
        CONN_CASE(conn_close_while_a_frame_arrives_in_place),
        CONN_CASE(long_frame_without_memory_for_it_goes_on_when_there_is),
        CONN_CASE(many_connections_are_served),
        CONN_CASE(receives_outnumbering_the_buffers_all_arrive),
        CONN_CASE(idle_halves_of_frames_hold_no_receive_buffer),
        CONN_CASE(accept_without_descriptors_pauses_and_goes_on),
        CONN_CASE(listener_on_a_taken_port_is_refused),
        CONN_CASE(listener_on_all_addresses_takes_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
