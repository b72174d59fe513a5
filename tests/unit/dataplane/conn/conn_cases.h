/*
 * conn_cases.h - what every transport must do: one table of cases, run over memory and over kernel
 * sockets.
 *
 * Owner: the test program that includes it and gives each case a bed (conn_bed.h).
 */
#ifndef MILLRACE_CONN_CASES_H
#define MILLRACE_CONN_CASES_H

#include "conn_bed.h"

static const uint32_t frame_sizes[] = {0,     1,     96,    4091,  4092,   4093,
                                       16380, 16384, 65532, 65536, 100000, 262140};

/* ── frames and order ── */

static void echo_frames_of_every_size_come_back(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    for (uint8_t i = 0; i < array_n(frame_sizes); i++) {
        client_write_frame(&c, frame_sizes[i], i);
        client_expect_frame(&c, frame_sizes[i], i);
    }
    assert_int_equal(bed->frames_n, array_n(frame_sizes));
    bed_turns(bed, 2);
    assert_int_equal(bed->sent_n, array_n(frame_sizes));
    client_close(&c);
}

static void echo_byte_at_a_time_comes_back(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(96, 3);
    for (int i = 0; i < 100; i++) {
        client_write(&c, f + i, 1);
        bed_turn(bed);
        assert_int_equal(conns_stats(bed->conns)->recv_buffers_out_n, 0);
        assert_true(conns_stats(bed->conns)->staging_bytes <= PAGE_SMALL);
    }
    client_expect_frame(&c, 96, 3);
    free(f);
    client_close(&c);
}

static void frame_of_a_mebibyte_passes_the_receive_bound(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    static_assert((1 << 20) > 2 * CONN_RX_BYTES_MAX, "larger than what may wait");
    client_write_frame(&c, 1 << 20, 9);
    client_expect_frame(&c, 1 << 20, 9);
    assert_int_equal(bed->too_many_n, 0);
    client_close(&c);
}

static void answers_finished_in_reverse_leave_in_order(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint8_t i = 0; i < 3; i++)
        client_write_frame(&c, 100, i);
    bed_until_held(bed, 3);
    request_finish(held_at(bed, 2));
    request_finish(held_at(bed, 1));
    bed_turns(bed, 3);
    uint8_t byte;
    assert_int_equal(client_read_some(&c, &byte, 1), 0);
    request_finish(held_at(bed, 0));
    for (uint8_t i = 0; i < 3; i++)
        client_expect_frame(&c, 100, i);
    client_close(&c);
}

static void slot_skipped_is_told_once_and_holds_nobody_up(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint8_t i = 0; i < 3; i++)
        client_write_frame(&c, 100, i);
    bed_until_held(bed, 3);
    request_skip(held_at(bed, 1));
    assert_int_equal(bed->sent_n, 0); /* never from the call itself */
    bed_turn(bed);
    assert_int_equal(bed->sent_n, 1);
    request_finish(held_at(bed, 1));
    request_finish(held_at(bed, 0));
    client_expect_frame(&c, 100, 0);
    client_expect_frame(&c, 100, 2);
    bed_turns(bed, 2);
    assert_int_equal(bed->sent_n, 3);
    client_close(&c);
}

static void slot_first_skipped_lets_the_next_leave(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 10, 0);
    client_write_frame(&c, 10, 1);
    bed_until_held(bed, 2);
    request_finish(held_at(bed, 1));
    bed_turn(bed);
    request_skip(held_at(bed, 0));
    client_expect_frame(&c, 10, 1);
    client_close(&c);
}

static void answer_of_many_pieces_is_one_send(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint8_t i = 0; i < 40; i++)
        client_write_frame(&c, 50, i);
    bed_until_held(bed, 40);
    while (!list_is_empty(&bed->held))
        request_finish(held_at(bed, 0));
    uint64_t sends = conns_stats(bed->conns)->sends_n;
    for (uint8_t i = 0; i < 40; i++)
        client_expect_frame(&c, 50, i);
    bed_turns(bed, 2);
    assert_int_equal(conns_stats(bed->conns)->sends_n, sends + 1);
    client_close(&c);
}

static void reader_of_a_byte_at_a_time_gets_all(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint8_t i = 0; i < 12; i++)
        client_write_frame(&c, 20, i);
    bed_until_held(bed, 12);
    while (!list_is_empty(&bed->held))
        request_finish(held_at(bed, 0));
    for (uint8_t i = 0; i < 12; i++) {
        uint8_t got[24], *expected = frame_make(20, i);
        for (int at = 0; at < 24; at++)
            client_read(&c, got + at, 1);
        assert_memory_equal(got, expected, 24);
        free(expected);
    }
    client_close(&c);
}

/* ── back-pressure ── */

static void bytes_left_alone_stop_the_reading(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    enum { FRAMES_N = 320, BYTES = 32764 };
    uint8_t *f = frame_make(BYTES, 5);
    uint64_t at = 0, all = (uint64_t)FRAMES_N * (BYTES + 4);
    bed->is_blind = true;
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    for (int i = 0; i < TURNS_MAX && !conn->is_paused; i++) {
        assert_true(client_flood(&c, f, BYTES + 4, &at) >= 0);
        bed_turn(bed);
    }
    bed_turns(bed, 20); /* what the cancelled receive still brings */
    assert_true(at < all);
    assert_true(conn_unread(conn) >= CONN_RX_BYTES_MAX);
    assert_true(conn_unread(conn) <= 2 * CONN_RX_BYTES_MAX + 64 * 16384);
    assert_true(conns_stats(bed->conns)->recv_buffers_out_n <= 64 / 4);
    bed->is_blind = false;
    uint8_t *got = malloc(BYTES + 4);
    for (uint32_t done = 0; done < FRAMES_N; done++) {
        for (uint64_t have = 0; have < BYTES + 4;) {
            if (at < all)
                assert_true(client_flood(&c, f, BYTES + 4, &at) >= 0);
            int64_t n = client_read_some(&c, got + have, BYTES + 4 - have);
            assert_true(n >= 0);
            have += (uint64_t)n;
            if (n == 0)
                bed_turn(bed);
        }
        assert_memory_equal(got, f, BYTES + 4);
    }
    free(got);
    free(f);
    client_close(&c);
}

static void slots_all_open_leave_frames_unread_until_one_is_free(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint32_t i = 0; i < CONN_SLOTS_MAX + 20; i++)
        client_write_frame(&c, 8, (uint8_t)i);
    bed_until_held(bed, CONN_SLOTS_MAX);
    bed_turns(bed, 3);
    assert_int_equal(held_n(bed), CONN_SLOTS_MAX);
    request_finish(held_at(bed, 0));
    client_expect_frame(&c, 8, 0);
    bed_turns(bed, 3);
    assert_int_equal(held_n(bed), CONN_SLOTS_MAX);
    bed->is_holding = false;
    while (!list_is_empty(&bed->held))
        request_finish(held_at(bed, 0));
    for (uint32_t i = 1; i < CONN_SLOTS_MAX + 20; i++)
        client_expect_frame(&c, 8, (uint8_t)i);
    client_close(&c);
}

static void conn_ready_again_comes_back_in_the_next_turn_only(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_blind = true; /* app_turn would never end if it came back in the same one */
    client_write_frame(&c, 10, 1);
    bed_turns(bed, 3);
    bed->is_blind = false;
    client_expect_frame(&c, 10, 1);
    client_close(&c);
}

/* ── ends ── */

static void peer_closing_an_idle_connection_ends_it(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    client_close(&c);
    bed_until_conns(bed, 0);
    assert_int_equal(bed->told_n, 1);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_PEER], 1);
}

static void peer_closing_after_a_frame_has_it_served(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(100, 1);
    assert_int_equal(client_write_some(&c, f, 104), 104); /* no turn in between */
    client_close(&c);
    bed_until_conns(bed, 0);
    assert_int_equal(bed->frames_n, 1);
    free(f);
}

static void peer_closing_with_requests_open_ends_them_in_time(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 100, 1);
    bed_until_held(bed, 1);
    client_close(&c);
    bed_turns(bed, 20);
    assert_int_equal(bed->told_n, 0); /* it might only have ended its sending side */
    bed_turns(bed, CONN_ENDED_NS_MAX / NS_PER_MS + 10);
    assert_int_equal(bed->told_n, 1);
    assert_int_equal(held_n(bed), 0);
    bed_until_conns(bed, 0);
}

static void conn_close_with_requests_open_tells_once(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    for (uint8_t i = 0; i < 4; i++)
        client_write_frame(&c, 100, i);
    bed_until_held(bed, 4);
    struct conn *conn = bed->last;
    request_finish(held_at(bed, 3)); /* finished, but not first: its `sent` comes all the same */
    conn_close(conn, CONN_END_PROTOCOL);
    conn_close(conn, CONN_END_IDLE);
    assert_true(conn_is_closing(conn));
    bed_until_conns(bed, 0);
    assert_int_equal(bed->told_n, 1);
    assert_int_equal(bed->sent_n, 1);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_PROTOCOL], 1);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_IDLE], 0);
    client_expect_end(&c);
    client_close(&c);
}

static void slot_finished_after_the_end_is_released(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 100, 0);
    client_write_frame(&c, 100, 1);
    bed_until_held(bed, 2);
    struct request *a = held_at(bed, 0), *b = held_at(bed, 1);
    list_del(&a->link); /* under way elsewhere: app_end does not find them */
    list_del(&b->link);
    conn_close(bed->last, CONN_END_PROTOCOL);
    bed_turns(bed, 5);
    assert_int_equal(bed->told_n, 1);
    assert_int_equal(conns_count(bed->conns), 1);
    request_finish(b);
    bed_turns(bed, 2);
    assert_int_equal(conns_count(bed->conns), 1);
    request_skip(a);
    bed_until_conns(bed, 0);
    assert_int_equal(bed->sent_n, 2);
    client_close(&c);
}

static void conn_close_with_a_send_under_way_releases_all(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(250000, 1);
    uint64_t at = 0;
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    for (int i = 0; i < TURNS_MAX && !client_is_stuck(&c, conn); i++) { /* answers back up */
        (void)client_flood(&c, f, 250004, &at);
        bed_turn(bed);
    }
    free(f);
    assert_true(client_is_stuck(&c, conn));
    conn_close(conn, CONN_END_SLOW);
    bed_until_conns(bed, 0);
    assert_int_equal(bed->sent_n, bed->frames_n);
    client_close(&c);
}

static void conn_close_in_the_turn_it_opened(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c;
    assert_true(client_try(&c, bed));
    for (int i = 0; i < TURNS_MAX && list_is_empty(&bed->conns->open); i++) {
        bed_arrive(bed, NS_PER_MS);
    }
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    assert_non_null(conn);
    conn_close(conn, CONN_END_STOPPING);
    bed_until_conns(bed, 0);
    assert_int_equal(bed->told_n, 1);
    client_close(&c);
}

static void frame_too_long_ends_the_connection(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    uint8_t head[4] = {0x7f, 0xff, 0xff, 0xff};
    assert_int_equal(client_write_some(&c, head, 4), 4);
    client_expect_end(&c);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_TOO_LARGE], 1);
    client_close(&c);
}

/* ── idle ── */

static void idle_connection_is_closed_in_time(void **state)
{
    struct bed *bed = bed_of(state);
    bed->conns->config.idle_ns_max = 500 * NS_PER_MS;
    struct client c = client_connect(bed);
    for (int i = 0; i < 6; i++) {
        bed_turns(bed, 300);
        client_write_frame(&c, 10, 1);
        client_expect_frame(&c, 10, 1);
    }
    assert_int_equal(bed->told_n, 0);
    bed_turns(bed, 490);
    assert_int_equal(bed->told_n, 0);
    bed_turns(bed, 20);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_IDLE], 1);
    client_expect_end(&c);
    client_close(&c);
}

static void connection_that_waits_for_us_is_not_idle(void **state)
{
    struct bed *bed = bed_of(state);
    bed->conns->config.idle_ns_max = 100 * NS_PER_MS;
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 10, 1);
    bed_until_held(bed, 1);
    bed_turns(bed, 500);
    assert_int_equal(bed->told_n, 0);
    request_finish(held_at(bed, 0));
    client_expect_frame(&c, 10, 1);
    bed_turns(bed, 250);
    assert_int_equal(bed->told_n, 1);
    client_close(&c);
}

static void reader_that_stopped_is_closed_in_time(void **state)
{
    struct bed *bed = bed_of(state);
    bed->conns->config.idle_ns_max = 300 * NS_PER_MS;
    struct client c = client_connect(bed);
    uint8_t *f = frame_make(250000, 1);
    uint64_t at = 0;
    /* It goes on sending; what does not move is what it should read. */
    for (uint32_t i = 0; i < TURNS_MAX && bed->told_n == 0; i++) {
        (void)client_flood(&c, f, 250004, &at);
        bed_turn(bed);
    }
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_IDLE], 1);
    bed_until_conns(bed, 0);
    free(f);
    client_close(&c);
}

/* ── limits ── */

static void limit_of_all_connections_holds(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c[4], over;
    bed->conns->config.conns_max = 4;
    for (int i = 0; i < 4; i++)
        c[i] = client_connect(bed);
    if (client_try(&over, bed) && bed->is_sock)
        client_expect_end(&over);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_LIMIT], 1);
    assert_int_equal(conns_count(bed->conns), 4);
    if (bed->is_sock)
        client_close(&over);
    client_close(&c[0]);
    bed_until_conns(bed, 3);
    c[0] = client_connect(bed);
    for (int i = 0; i < 4; i++)
        client_close(&c[i]);
}

static void limit_per_address_holds(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c[3], over;
    bed->conns->limits.per_ip_max = 3;
    for (int i = 0; i < 3; i++)
        c[i] = client_connect(bed);
    if (client_try(&over, bed) && bed->is_sock)
        client_expect_end(&over);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_LIMIT], 1);
    if (bed->is_sock)
        client_close(&over);
    client_close(&c[1]);
    bed_until_conns(bed, 2);
    c[1] = client_connect(bed);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
}

/* Four that spoke one after the other; with a limit of two the first two to fall silent go, and the
 * others do not notice. */
static void limit_that_is_lowered_closes_the_most_silent(void **state)
{
    struct bed *bed = bed_of(state);
    static const int order[] = {2, 0, 3, 1};
    struct client c[4];
    for (int i = 0; i < 4; i++)
        c[i] = client_connect(bed);
    for (int i = 0; i < 4; i++) {
        client_write_frame(&c[order[i]], 100, (uint8_t)i);
        client_expect_frame(&c[order[i]], 100, (uint8_t)i);
        bed_turns(bed, 20);
    }
    const struct conn_limits two = {.open_max = 2, .per_ip_max = UINT32_MAX};
    conns_limit(bed->conns, &two);
    bed_until_conns(bed, 2);
    bed->shed_n = 2;
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_LIMIT], 2);
    client_expect_end(&c[2]);
    client_expect_end(&c[0]);
    for (int i = 1; i < 4; i += 2) {
        client_write_frame(&c[i], 100, 9);
        client_expect_frame(&c[i], 100, 9);
    }
    for (int i = 0; i < 4; i++)
        client_close(&c[i]);
}

/* An address with a limit of its own has that one, whatever all others have; it counts from the
 * next connection on. */
static void limit_of_one_address_stands_over_that_of_all(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c[3], over;
    struct conn_limits limits = {.open_max = 100, .per_ip_max = 1, .overrides_n = 2};
    c[0] = client_connect(bed);
    memset(limits.overrides[0].ip, 7, 16);
    memcpy(limits.overrides[1].ip, list_first(&bed->conns->open, struct conn, link)->ip, 16);
    limits.overrides[1].n_max = 2;
    conns_limit(bed->conns, &limits);
    c[1] = client_connect(bed);
    if (client_try(&over, bed) && bed->is_sock)
        client_expect_end(&over);
    if (bed->is_sock)
        client_close(&over);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_LIMIT], 1);
    limits.overrides[1].n_max = 3;
    conns_limit(bed->conns, &limits);
    c[2] = client_connect(bed);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
}

/* ── memory ── */

static void staging_refused_stops_reading_until_there_is_memory(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    struct list taken;
    list_init(&taken);
    for (struct page *p; (p = pages_take(&bed->pages, PAGE_SMALL)) != NULL;)
        list_append(&taken, &p->link);
    uint8_t *f = frame_make(1000, 4);
    (void)client_write_some(&c, f, 500);
    bed_turns(bed, 5);
    assert_true(conns_stats(bed->conns)->staging_refused_n > 0);
    for (struct list *l; (l = list_pop(&taken)) != NULL;)
        page_put(list_entry(l, struct page, link));
    bed_turns(bed, 2);
    client_write(&c, f + (bed->is_sock ? 500 : 0), bed->is_sock ? 504 : 1004);
    client_expect_frame(&c, 1000, 4);
    free(f);
    client_close(&c);
}

static void slices_outlive_the_connection(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 70000, 4);
    bed_until_held(bed, 1);
    struct request *r = held_at(bed, 0);
    list_del(&r->link);
    conn_close(bed->last, CONN_END_PROTOCOL);
    bed_turns(bed, 5);
    struct slices all = {r->v, r->pieces_n, r->bytes};
    struct slices_at at = {0, 0};
    uint8_t *got = malloc(70004), *expected = frame_make(70000, 4);
    slices_copy(&all, &at, got, 70004);
    assert_memory_equal(got, expected, 70004);
    free(got);
    free(expected);
    conn_slot_drop(&r->slot);
    request_free(r);
    bed_until_conns(bed, 0);
    client_close(&c);
}

/* ── stopping ── */

static void stop_waits_for_answers_then_ends(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed), quiet = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 100, 1);
    bed_until_held(bed, 1);
    conns_stop(bed->conns, bed->now.ns + 2000 * NS_PER_MS);
    bed_turns(bed, 20);
    assert_int_equal(conns_count(bed->conns), 1);
    client_expect_end(&quiet);
    request_finish(held_at(bed, 0));
    client_expect_frame(&c, 100, 1);
    bed_until_conns(bed, 0);
    assert_int_equal(conns_stats(bed->conns)->ends[CONN_END_STOPPING], 2);
    client_close(&c);
    client_close(&quiet);
}

static void stop_ends_all_at_its_deadline(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    bed->is_holding = true;
    client_write_frame(&c, 100, 1);
    bed_until_held(bed, 1);
    conns_stop(bed->conns, bed->now.ns + 50 * NS_PER_MS);
    bed_turns(bed, 40);
    assert_int_equal(conns_count(bed->conns), 1);
    bed_turns(bed, 30);
    assert_int_equal(conns_count(bed->conns), 0);
    assert_int_equal(bed->told_n, 1);
    client_close(&c);
}

/* ── the face ── */

static void conn_face_tells_what_it_is(void **state)
{
    struct bed *bed = bed_of(state);
    struct client c = client_connect(bed);
    struct conn *conn = list_first(&bed->conns->open, struct conn, link);
    int mine;
    assert_ptr_equal(conn_listener(conn), &bed->listener);
    const char *ip = bed->is_net ? "10.0.0.2:" : "127.0.0.1:";
    assert_true(strncmp(conn_peer(conn), ip, strlen(ip)) == 0);
    assert_true(conn_id(conn) > 0);
    assert_null(conn_user(conn));
    conn_set_user(conn, &mine);
    assert_ptr_equal(conn_user(conn), &mine);
    bed_turns(bed, 10);
    uint64_t before = conn_last_rx_ns(conn);
    client_write_frame(&c, 1, 1);
    client_expect_frame(&c, 1, 1);
    assert_true(conn_last_rx_ns(conn) > before);
    client_close(&c);
}

#define CONN_CASE(f) cmocka_unit_test_setup_teardown(f, case_setup, case_teardown)
#define CONN_CASES                                                                             \
    CONN_CASE(echo_frames_of_every_size_come_back), CONN_CASE(echo_byte_at_a_time_comes_back), \
        CONN_CASE(frame_of_a_mebibyte_passes_the_receive_bound),                               \
        CONN_CASE(answers_finished_in_reverse_leave_in_order),                                 \
        CONN_CASE(slot_skipped_is_told_once_and_holds_nobody_up),                              \
        CONN_CASE(slot_first_skipped_lets_the_next_leave),                                     \
        CONN_CASE(answer_of_many_pieces_is_one_send),                                          \
        CONN_CASE(reader_of_a_byte_at_a_time_gets_all),                                        \
        CONN_CASE(bytes_left_alone_stop_the_reading),                                          \
        CONN_CASE(slots_all_open_leave_frames_unread_until_one_is_free),                       \
        CONN_CASE(conn_ready_again_comes_back_in_the_next_turn_only),                          \
        CONN_CASE(peer_closing_an_idle_connection_ends_it),                                    \
        CONN_CASE(peer_closing_after_a_frame_has_it_served),                                   \
        CONN_CASE(peer_closing_with_requests_open_ends_them_in_time),                          \
        CONN_CASE(conn_close_with_requests_open_tells_once),                                   \
        CONN_CASE(slot_finished_after_the_end_is_released),                                    \
        CONN_CASE(conn_close_with_a_send_under_way_releases_all),                              \
        CONN_CASE(conn_close_in_the_turn_it_opened),                                           \
        CONN_CASE(frame_too_long_ends_the_connection),                                         \
        CONN_CASE(idle_connection_is_closed_in_time),                                          \
        CONN_CASE(connection_that_waits_for_us_is_not_idle),                                   \
        CONN_CASE(reader_that_stopped_is_closed_in_time),                                      \
        CONN_CASE(limit_of_all_connections_holds), CONN_CASE(limit_per_address_holds),         \
        CONN_CASE(limit_that_is_lowered_closes_the_most_silent),                               \
        CONN_CASE(limit_of_one_address_stands_over_that_of_all),                               \
        CONN_CASE(staging_refused_stops_reading_until_there_is_memory),                        \
        CONN_CASE(slices_outlive_the_connection), CONN_CASE(stop_waits_for_answers_then_ends), \
        CONN_CASE(stop_ends_all_at_its_deadline), CONN_CASE(conn_face_tells_what_it_is)

#endif
