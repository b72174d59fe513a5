/*
 * tcp_input_test.c - RFC 9293 3.10.7 cell by cell, and the bugs of other stacks that concern input.
 */
#include "net_peer.h"

/* ── state x event ── */

enum event { EV_RST, EV_RST_NEAR, EV_SYN, EV_ACK_FUTURE, EV_DATA, EV_DATA_OUT, EV_FIN, EV_FIN_ACKS };
/* What must follow: the state, and the flags of the only answer (0: silence). */
struct cell {
    enum tcp_state state;
    enum event event;
    enum tcp_state then;
    uint8_t answer;
};

static const struct cell cells[] = {
    {TCP_ESTABLISHED, EV_RST, TCP_CLOSED, 0},
    {TCP_FIN_WAIT_1, EV_RST, TCP_CLOSED, 0},
    {TCP_FIN_WAIT_2, EV_RST, TCP_CLOSED, 0},
    {TCP_CLOSE_WAIT, EV_RST, TCP_CLOSED, 0},
    {TCP_CLOSING, EV_RST, TCP_CLOSED, 0},
    {TCP_LAST_ACK, EV_RST, TCP_CLOSED, 0},
    {TCP_ESTABLISHED, EV_RST_NEAR, TCP_ESTABLISHED, ACK},
    {TCP_FIN_WAIT_1, EV_RST_NEAR, TCP_FIN_WAIT_1, ACK},
    {TCP_FIN_WAIT_2, EV_RST_NEAR, TCP_FIN_WAIT_2, ACK},
    {TCP_CLOSE_WAIT, EV_RST_NEAR, TCP_CLOSE_WAIT, ACK},
    {TCP_ESTABLISHED, EV_SYN, TCP_ESTABLISHED, ACK},
    {TCP_FIN_WAIT_1, EV_SYN, TCP_FIN_WAIT_1, ACK},
    {TCP_FIN_WAIT_2, EV_SYN, TCP_FIN_WAIT_2, ACK},
    {TCP_CLOSE_WAIT, EV_SYN, TCP_CLOSE_WAIT, ACK},
    {TCP_ESTABLISHED, EV_ACK_FUTURE, TCP_ESTABLISHED, ACK},
    {TCP_FIN_WAIT_1, EV_ACK_FUTURE, TCP_FIN_WAIT_1, ACK},
    {TCP_FIN_WAIT_2, EV_ACK_FUTURE, TCP_FIN_WAIT_2, ACK},
    {TCP_CLOSE_WAIT, EV_ACK_FUTURE, TCP_CLOSE_WAIT, ACK},
    {TCP_CLOSING, EV_ACK_FUTURE, TCP_CLOSING, ACK},
    {TCP_LAST_ACK, EV_ACK_FUTURE, TCP_LAST_ACK, ACK},
    {TCP_ESTABLISHED, EV_DATA_OUT, TCP_ESTABLISHED, ACK},
    {TCP_FIN_WAIT_1, EV_DATA_OUT, TCP_FIN_WAIT_1, ACK},
    {TCP_FIN_WAIT_2, EV_DATA_OUT, TCP_FIN_WAIT_2, ACK},
    {TCP_CLOSE_WAIT, EV_DATA_OUT, TCP_CLOSE_WAIT, ACK},
    {TCP_ESTABLISHED, EV_FIN, TCP_CLOSE_WAIT, ACK},
    {TCP_FIN_WAIT_1, EV_FIN, TCP_CLOSING, ACK},
    {TCP_FIN_WAIT_2, EV_FIN, TCP_CLOSED, ACK},
    {TCP_FIN_WAIT_1, EV_FIN_ACKS, TCP_CLOSED, ACK},
    {TCP_CLOSE_WAIT, EV_DATA, TCP_CLOSE_WAIT, 0},
};

static void event_send(struct peer *p, enum event event, enum tcp_state state)
{
    bool has_fin = state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK;
    uint32_t seq = has_fin ? 2 : 1, ack = state == TCP_FIN_WAIT_2 ? 2 : 1;
    switch (event) {
    case EV_RST: peer_send(p, RST, seq, 0, 0); break;
    case EV_RST_NEAR: peer_send(p, RST, seq + 100, 0, 0); break;
    case EV_SYN: peer_send(p, SYN, seq + 10, 0, 0); break;
    case EV_ACK_FUTURE: peer_send(p, ACK, seq, 100000, 0); break;
    case EV_DATA: peer_send(p, ACK, seq, ack, 100); break;
    case EV_DATA_OUT: peer_send(p, ACK, seq + 10000000, ack, 100); break;
    case EV_FIN: peer_send(p, FIN | ACK, seq, ack, 0); break;
    case EV_FIN_ACKS: peer_send(p, FIN | ACK, seq, 2, 0); break;
    }
}

static void table_of_states_and_events_follows_rfc_9293(void **unused_state)
{
    (void)unused_state;
    for (size_t i = 0; i < array_n(cells); i++) {
        struct peer *p = in_state(cells[i].state);
        event_send(p, cells[i].event, cells[i].state);
        peer_turn(p);
        if (p->tcb->state != cells[i].then || p->out_n != (cells[i].answer != 0))
            print_message("cell %zu: %s, %u answers\n", i, tcp_state_text(p->tcb->state),
                          p->out_n);
        assert_int_equal(p->tcb->state, cells[i].then);
        assert_int_equal(p->out_n, cells[i].answer != 0);
        if (p->out_n > 0)
            assert_int_equal(p->out[0].flags & ~PSH, cells[i].answer);
        peer_free(p);
    }
}

static void closed_port_answers_syn_with_rst_and_never_a_rst(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    p->engine_port = 1;
    peer_send(p, SYN, 0, 0, 0);
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags, RST | ACK);
    assert_int_equal(p->out[0].ack, 1);
    p->engine_port = 1;
    peer_send(p, RST, 0, 0, 0);
    peer_send(p, RST | ACK, 0, 5, 0);
    peer_turn(p);
    assert_int_equal(p->out_n, 0);
    peer_free(p);
}

static void time_wait_ignores_rst_acks_fin_again_and_ends_after_its_time(void **state)
{
    (void)state;
    struct peer *p = in_state(TCP_FIN_WAIT_2);
    peer_send(p, FIN | ACK, 1, 2, 0);
    peer_turn(p);
    expect_one(p, ACK, 2, 2, 0);
    assert_int_equal(p->net->waits_n, 1);
    peer_send(p, RST, 2, 0, 0);
    peer_turn(p);
    assert_int_equal(p->net->waits_n, 1);
    peer_turn_ns(p, 30 * NS_PER_S);
    peer_send(p, FIN | ACK, 1, 2, 0);
    peer_turn(p);
    expect_one(p, ACK, 2, 2, 0);
    peer_turn_ns(p, 59 * NS_PER_S);
    assert_int_equal(p->net->waits_n, 1);
    peer_turn_ns(p, 2 * NS_PER_S);
    assert_int_equal(p->net->waits_n, 0);
    peer_free(p);
}

static void time_wait_gives_way_to_a_newer_syn(void **state)
{
    (void)state;
    struct peer *p = in_state(TCP_FIN_WAIT_2);
    peer_send(p, FIN | ACK, 1, 2, 0);
    peer_turn(p);
    struct wire syn = {.flags = SYN, .seq = 1, .wnd = 1000};
    peer_send_wire(p, &syn); /* not newer: answered with an ACK */
    peer_turn(p);
    assert_int_equal(p->out[0].flags, ACK);
    syn.seq = 5000;
    peer_send_wire(p, &syn);
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags, SYN | ACK);
    assert_int_equal(net_stat(p->net, NET_TIME_WAITS_REUSED), 1);
    peer_free(p);
}

/* ── catalogue of bugs ── */

static void bug_2_window_closing_with_data_queued_stops_nothing(void **state)
{
    (void)state;
    struct peer *p = established();
    struct wire w = {.flags = ACK, .seq = 1, .ack = 1, .wnd = 0};
    peer_send_wire(p, &w);
    engine_send(p, 5000);
    assert_int_equal(p->out_n, 0);
    w.wnd = 65535;
    peer_send_wire(p, &w);
    peer_turn(p);
    assert_int_equal(p->out_n, 4);
    peer_free(p);
}

static void bug_7_acks_that_do_not_advance_leave_the_timer_alone(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){0}, false, false);
    engine_send(p, 100);
    uint64_t due = p->tcb->due[TIMER_RTO];
    for (int i = 0; i < 5; i++) {
        p->now_ns += 10 * NS_PER_MS;
        peer_send(p, ACK, 1, 1, 0);
        peer_turn(p);
    }
    assert_int_equal(p->tcb->due[TIMER_RTO], due);
    peer_free(p);
}

static void bug_8_thousand_duplicate_acks_do_not_overflow(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){0}, false, false);
    engine_send(p, 1400);
    for (int i = 0; i < 1000; i++)
        peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->dupacks, UINT8_MAX);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void bug_9_window_that_shrinks_below_flight_is_survived(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 10 * 1460);
    struct wire w = {.flags = ACK, .seq = 1, .ack = 1 + 1460, .wnd = 10};
    peer_send_wire(p, &w);
    engine_send(p, 1000);
    assert_int_equal(p->out_n, 0);
    w.ack = 1 + 10 * 1460;
    w.wnd = 65535;
    peer_send_wire(p, &w);
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    peer_free(p);
}

static void bug_11_at_most_two_segments_wait_for_an_ack(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t seq = 1;
    for (int i = 0; i < 12; i++, seq += 1460) {
        peer_send(p, ACK, seq, 1, 1460);
        peer_turn(p);
        engine_read(p);
        assert_int_equal(p->out_n, i % 2);
    }
    peer_send(p, ACK, seq, 1, 1460);
    peer_turn(p);
    assert_int_equal(peer_wait(p, 100), 40);
    peer_free(p);
}

static void bug_12_old_data_is_acknowledged_at_any_rate(void **state)
{
    (void)state;
    struct peer *p = established();
    peer_send(p, ACK, 1, 1, 1000);
    peer_turn(p);
    for (int i = 0; i < 20; i++) {
        peer_send(p, ACK, 1, 1, 1000);
        peer_turn(p);
        assert_int_equal(p->out_n, 1);
        assert_int_equal(p->out[0].ack, 1001);
        assert_int_equal(p->out[0].opts.sacks_n, 1); /* and reported as a duplicate */
    }
    peer_free(p);
}

static void bug_13_bare_acks_out_of_window_are_answered_at_a_limited_rate(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t answers = 0;
    for (int i = 0; i < 100; i++) {
        peer_send(p, ACK, 10000000, 1, 0);
        peer_turn(p);
        answers += p->out_n;
    }
    assert_int_equal(answers, 1);
    peer_free(p);
}

static void bug_14_fin_sent_again_in_closing_is_still_a_fin(void **state)
{
    (void)state;
    struct peer *p = in_state(TCP_CLOSING);
    assert_true(peer_wait(p, 3000) > 0);
    expect_one(p, FIN | ACK, 1, 2, 0);
    peer_send(p, ACK, 2, 2, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->state, TCP_CLOSED);
    assert_int_equal(p->net->waits_n, 1);
    peer_free(p);
}

static void bug_15_segments_of_two_connections_do_not_mix(void **state)
{
    (void)state;
    struct peer *p = established();
    struct tcb *first = p->tcb;
    uint32_t first_iss = p->iss;
    p->port++;
    p->tcb = NULL;
    peer_syn(p, false, false);
    peer_turn(p);
    struct wire w = {.flags = ACK, .seq = 1, .ack = 1, .wnd = 7};
    peer_send_wire(p, &w);
    peer_turn(p);
    assert_int_equal(p->tcb->snd_wnd, 7);
    assert_int_equal(first->snd_wnd, 65535);
    p->port--;
    p->iss = first_iss;
    w.wnd = 9;
    peer_send_wire(p, &w);
    assert_int_equal(first->snd_wnd, 9);
    assert_int_equal(p->tcb->snd_wnd, 7);
    peer_free(p);
}

static void bug_19_rst_to_a_listener_is_ignored(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    peer_send(p, RST, 0, 0, 0);
    peer_turn(p);
    assert_int_equal(p->out_n, 0);
    peer_syn(p, false, false);
    peer_turn(p);
    assert_int_equal(p->out[0].flags, SYN | ACK);
    peer_free(p);
}

static void bug_21_window_update_follows_wl1_and_wl2(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 3000);
    struct wire w = {.flags = ACK, .seq = 1, .ack = 2000, .wnd = 5000};
    peer_send_wire(p, &w);
    assert_int_equal(p->tcb->snd_wnd, 5000);
    w.ack = 1000; /* an older ACK that was overtaken */
    w.wnd = 100;
    peer_send_wire(p, &w);
    assert_int_equal(p->tcb->snd_wnd, 5000);
    peer_free(p);
}

static void bug_23_end_comes_once_and_after_the_last_byte(void **state)
{
    (void)state;
    struct peer *p = established();
    peer_send(p, FIN | ACK, 1001, 1, 0); /* overtook the data */
    peer_turn(p);
    assert_int_equal(p->news & TCP_NEWS_END, 0);
    peer_send(p, ACK, 1, 1, 1000);
    peer_turn(p);
    assert_int_equal(p->news & TCP_NEWS_END, TCP_NEWS_END);
    assert_int_equal(engine_read(p), 1000);
    assert_int_equal(p->out[p->out_n - 1].ack, 1002);
    p->news = 0;
    peer_send(p, FIN | ACK, 1001, 1, 0);
    peer_turn(p);
    assert_int_equal(p->news & TCP_NEWS_END, 0);
    peer_free(p);
}

static void bug_24_ack_within_a_segment_keeps_the_rest(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 1000);
    peer_send(p, ACK, 1, 401, 0);
    peer_turn(p);
    tcb_invariants(p->tcb);
    assert_int_equal(p->tcb->queued, 600);
    assert_true(peer_wait(p, 3000) > 0);
    expect_one(p, ACK, 401, 1, 600);
    peer_free(p);
}

static void bug_45_third_ack_without_timestamp_is_taken(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    peer_syn(p, true, true);
    peer_turn(p);
    p->has_stamp = false;
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_non_null(p->tcb);
    assert_int_equal(p->tcb->state, TCP_ESTABLISHED);
    peer_send(p, ACK, 1, 1, 10); /* later ones are not */
    assert_int_equal(net_stat(p->net, NET_DROP_TCP_NO_STAMP), 1);
    peer_free(p);
}

static void bug_52_half_closed_peer_still_gets_all_answers(void **state)
{
    (void)state;
    struct peer *p = in_state(TCP_CLOSE_WAIT);
    engine_send(p, 5000);
    assert_int_equal(p->out_n, 4);
    peer_send(p, ACK, 2, 5001, 0);
    tcp_shutdown(p->tcb);
    peer_turn(p);
    expect_one(p, FIN | ACK, 5001, 2, 0);
    peer_send(p, ACK, 2, 5002, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->state, TCP_CLOSED);
    assert_int_equal(tcp_error(p->tcb), 0);
    peer_free(p);
}

static void paws_drops_an_old_timestamp_and_answers(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){0}, true, true);
    p->stamp = 50;
    peer_send(p, ACK, 1, 1, 100);
    peer_turn(p);
    assert_int_equal(net_stat(p->net, NET_DROP_TCP_PAWS), 1);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].ack, 1);
    peer_free(p);
}

static void blind_ack_far_below_una_is_challenged(void **state)
{
    (void)state;
    struct peer *p = established();
    peer_send(p, ACK, 1, 0u - 200000u, 100);
    peer_turn(p);
    assert_int_equal(net_stat(p->net, NET_DROP_TCP_BAD_ACK), 1);
    assert_int_equal(tcp_unread(p->tcb), 0);
    peer_free(p);
}

static void active_open_sends_syn_and_both_sides_meet(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    p->tcb = tcp_connect(p->net, PEER_IP, PEER_PORT, NULL, peer_now(p));
    assert_non_null(p->tcb);
    peer_turn(p);
    assert_int_equal(p->arps_n, 2); /* the announcement, and the question */
    peer_arp_reply(p);
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags, SYN);
    struct wire w = {.flags = SYN, .seq = 0, .wnd = 1000}; /* simultaneous: no ACK */
    peer_send_wire(p, &w);
    peer_turn(p);
    assert_int_equal(p->tcb->state, TCP_SYN_RCVD);
    assert_int_equal(p->out[0].flags, SYN | ACK);
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->state, TCP_ESTABLISHED);
    peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(table_of_states_and_events_follows_rfc_9293),
        TEST(closed_port_answers_syn_with_rst_and_never_a_rst),
        TEST(time_wait_ignores_rst_acks_fin_again_and_ends_after_its_time),
        TEST(time_wait_gives_way_to_a_newer_syn),
        TEST(bug_2_window_closing_with_data_queued_stops_nothing),
        TEST(bug_7_acks_that_do_not_advance_leave_the_timer_alone),
        TEST(bug_8_thousand_duplicate_acks_do_not_overflow),
        TEST(bug_9_window_that_shrinks_below_flight_is_survived),
        TEST(bug_11_at_most_two_segments_wait_for_an_ack),
        TEST(bug_12_old_data_is_acknowledged_at_any_rate),
        TEST(bug_13_bare_acks_out_of_window_are_answered_at_a_limited_rate),
        TEST(bug_14_fin_sent_again_in_closing_is_still_a_fin),
        TEST(bug_15_segments_of_two_connections_do_not_mix),
        TEST(bug_19_rst_to_a_listener_is_ignored),
        TEST(bug_21_window_update_follows_wl1_and_wl2),
        TEST(bug_23_end_comes_once_and_after_the_last_byte),
        TEST(bug_24_ack_within_a_segment_keeps_the_rest),
        TEST(bug_45_third_ack_without_timestamp_is_taken),
        TEST(bug_52_half_closed_peer_still_gets_all_answers),
        TEST(paws_drops_an_old_timestamp_and_answers),
        TEST(blind_ack_far_below_una_is_challenged),
        TEST(active_open_sends_syn_and_both_sides_meet),
    };
    return TESTS_RUN(tests);
}
