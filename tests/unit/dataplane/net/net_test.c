/*
 * net_test.c - Ethernet, ARP, IPv4, ICMP, opening, cookies and reassembly.
 */
#include "net_peer.h"

/* ── link and IP ── */

static void arp_answers_questions_and_ignores_unasked_replies(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    assert_int_equal(p->arps_n, 1); /* the announcement */
    peer_arp_reply(p);              /* nobody asked */
    assert_null(arp_find(p->net, PEER_IP));
    struct pkt *pkt = frame_make(p, ETHERTYPE_ARP);
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t *arp = pkt->data + ETH_BYTES;
    memset(arp, 0, 28);
    memcpy(arp, head, sizeof head);
    memcpy(arp + 8, peer_mac, 6);
    store_u32(arp + 14, PEER_IP);
    store_u32(arp + 24, OUR_IP);
    pkt->n += 28;
    net_input(p->net, pkt, peer_now(p));
    peer_turn(p);
    assert_int_equal(p->arps_n, 2);
    assert_memory_equal(arp_find(p->net, PEER_IP), peer_mac, 6);
    peer_free(p);
}

static struct pkt *syn_frame(struct peer *p)
{
    struct wire syn = {.flags = SYN, .wnd = 1000};
    return segment_make(p, &syn);
}

static void frame_with_vlan_tag_is_accepted_and_padding_cut(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    struct pkt *pkt = syn_frame(p);
    memmove(pkt->data + 16, pkt->data + 12, pkt->n - 12);
    store_u16(pkt->data + 12, ETHERTYPE_VLAN);
    store_u16(pkt->data + 14, 7);
    pkt->n += 4;
    memset(pkt->data + pkt->n, 0xee, 6);
    pkt->n += 6;
    net_input(p->net, pkt, peer_now(p));
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags, SYN | ACK);
    peer_free(p);
}

struct ip_fault {
    uint8_t at, value;
    enum net_stat why;
};

static void bug_28_every_drop_has_its_counter_and_no_packet_leaks(void **state)
{
    (void)state;
    static const struct ip_fault faults[] = {
        {0, 0x65, NET_DROP_IP_HEADER},          {0, 0x44, NET_DROP_IP_HEADER},
        {2, 0xff, NET_DROP_IP_HEADER},          {6, 0x20, NET_DROP_IP_FRAGMENT},
        {7, 1, NET_DROP_IP_FRAGMENT},           {9, 17, NET_DROP_IP_PROTOCOL},
        {12, 127, NET_DROP_IP_MARTIAN},         {12, 224, NET_DROP_IP_MARTIAN},
        {15, 255, NET_DROP_IP_MARTIAN},         {19, 9, NET_DROP_NOT_MINE},
        {20 + 12, 0x40, NET_DROP_TCP_HEADER},   {20 + 12, 0xf0, NET_DROP_TCP_HEADER},
        {20 + 16, 0x12, NET_DROP_TCP_CHECKSUM},
    };
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    for (size_t i = 0; i < array_n(faults); i++) {
        struct pkt *pkt = syn_frame(p);
        uint8_t *ip = pkt->data + ETH_BYTES;
        uint64_t before = net_stat(p->net, faults[i].why);
        ip[faults[i].at] = faults[i].value;
        if (faults[i].at < 20 && faults[i].at != 2) {
            store_u16(ip + 10, 0);
            sum_store(ip + 10, sum_finish(sum_bytes(0, ip, 20)));
        }
        net_input(p->net, pkt, peer_now(p));
        assert_int_equal(net_stat(p->net, faults[i].why), before + 1);
        peer_turn(p);
        assert_int_equal(p->out_n, 0);
        assert_int_equal(p->net->big.free_n, p->net->big.n);
    }
    peer_free(p);
}

static void source_route_is_dropped(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    struct pkt *pkt = syn_frame(p);
    uint8_t *ip = pkt->data + ETH_BYTES;
    memmove(ip + 24, ip + 20, pkt->n - ETH_BYTES - 20);
    ip[0] = 0x46;
    store_u16(ip + 2, (uint16_t)(load_u16(ip + 2) + 4));
    store_u32(ip + 20, 0x83030400);
    store_u16(ip + 10, 0);
    sum_store(ip + 10, sum_finish(sum_bytes(0, ip, 24)));
    pkt->n += 4;
    net_input(p->net, pkt, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_DROP_IP_OPTION), 1);
    peer_free(p);
}

static struct pkt *icmp_frame(struct peer *p, uint8_t type, uint8_t code, uint16_t mtu,
                              uint32_t quoted)
{
    struct pkt *pkt = frame_make(p, ETHERTYPE_IP4);
    uint8_t *ip = pkt->data + ETH_BYTES, *icmp = ip + IP4_BYTES, *q = icmp + 8;
    memset(icmp, 0, 36);
    icmp[0] = type;
    icmp[1] = code;
    store_u16(icmp + 6, mtu);
    q[0] = 0x45;
    q[9] = IP_TCP;
    store_u32(q + 12, OUR_IP);
    store_u32(q + 16, PEER_IP);
    store_u16(q + 20, OUR_PORT);
    store_u16(q + 22, p->port);
    store_u32(q + 24, p->iss + quoted);
    sum_store(icmp + 2, sum_finish(sum_bytes(0, icmp, 36)));
    ip_write(ip, IP_ICMP, 36);
    pkt->n += IP4_BYTES + 36;
    return pkt;
}

static void echo_is_answered_at_a_limited_rate(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    for (int i = 0; i < 150; i++)
        net_input(p->net, icmp_frame(p, 8, 0, 0, 0), peer_now(p));
    peer_turn(p);
    assert_int_equal(p->icmps_n, 100);
    assert_int_equal(net_stat(p->net, NET_DROP_ICMP_LIMIT), 50);
    peer_free(p);
}

static void fragmentation_needed_lowers_the_segment_only_when_it_quotes_flight(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 1400);
    net_input(p->net, icmp_frame(p, 3, 4, 1000, 5000), peer_now(p));
    assert_int_equal(p->tcb->mss, 1460);
    net_input(p->net, icmp_frame(p, 3, 3, 0, 1), peer_now(p)); /* soft when established */
    assert_int_equal(p->tcb->state, TCPS_ESTABLISHED);
    net_input(p->net, icmp_frame(p, 3, 4, 1000, 1), peer_now(p));
    assert_int_equal(p->tcb->mss, 960);
    peer_turn(p);
    assert_int_equal(p->out_n, 2);
    assert_int_equal(p->out[0].n, 960);
    assert_int_equal(p->out[1].n, 440);
    peer_free(p);
}

/* ── opening ── */

static void options_of_the_syn_are_answered_and_a_tiny_mss_is_clamped(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    struct wire syn = {.flags = SYN, .wnd = 1000};
    syn.opts = (struct tcp_opts){.has_mss = true, .mss = 8, .has_wscale = true, .wscale = 14};
    peer_send_wire(p, &syn);
    peer_turn(p);
    assert_true(out_at(p, 0)->opts.has_wscale);
    assert_false(out_at(p, 0)->opts.has_sack_ok);
    assert_false(out_at(p, 0)->opts.has_stamp);
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->mss, MSS_MIN);
    assert_int_equal(p->tcb->snd_ws, 14);
    peer_free(p);
}

static void bug_36_syn_ack_is_sent_again_with_the_same_numbers(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    peer_turn(p);
    peer_syn(p, true, false);
    peer_turn(p);
    uint32_t iss = p->iss;
    for (int i = 0; i < SYN_RETRIES; i++) {
        assert_true(peer_wait(p, 9000) > 0);
        assert_int_equal(p->iss, iss);
        assert_int_equal(p->out[0].ack, 1);
    }
    assert_int_equal(peer_wait(p, 20000), 0);
    assert_int_equal(p->net->syns_n, 0);
    peer_free(p);
}

static void cookie_opens_a_connection_when_all_entries_are_used(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){.syns_max = 1});
    peer_turn(p);
    p->port = 1;
    peer_syn(p, true, true);
    p->port = PEER_PORT;
    peer_turn(p);
    struct wire syn = {.flags = SYN, .wnd = 1000};
    syn.opts = (struct tcp_opts){.has_mss = true,
                                 .mss = 1460,
                                 .has_wscale = true,
                                 .wscale = 7,
                                 .has_sack_ok = true,
                                 .has_stamp = true,
                                 .stamp = 100};
    p->has_stamp = true;
    p->stamp = 100;
    peer_send_wire(p, &syn);
    peer_turn(p);
    assert_int_equal(net_stat(p->net, NET_SYNS_COOKIE), 1);
    peer_send(p, ACK, 1, 77, 0); /* not a cookie of ours */
    peer_turn(p);
    assert_null(p->tcb);
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_non_null(p->tcb);
    assert_int_equal(p->tcb->state, TCPS_ESTABLISHED);
    assert_int_equal(p->tcb->snd_ws, 7);
    assert_true(p->tcb->has_sack);
    assert_int_equal(p->tcb->mss, 1460 - 12);
    peer_free(p);
}

static void cookie_is_too_old_after_two_minutes(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){.syns_max = 1});
    peer_turn(p);
    p->port = 1;
    peer_syn(p, false, false);
    p->port = PEER_PORT;
    peer_syn(p, false, false);
    peer_turn(p);
    p->now_ns += 121 * NS_PER_S;
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_null(p->tcb);
    assert_int_equal(net_stat(p->net, NET_DROP_COOKIE), 1);
    peer_free(p);
}

static void initial_numbers_differ_by_flow_and_grow_with_time(void **state)
{
    (void)state;
    struct peer *p = peer_make((struct net_config){0});
    struct seq a = isn_new(p->net, 1, 2, 3), b = isn_new(p->net, 1, 2, 4);
    assert_int_not_equal(a.v, b.v);
    p->net->now_ns += NS_PER_S;
    assert_int_equal(isn_new(p->net, 1, 2, 3).v - a.v, 250000);
    peer_free(p);
}

/* ── reassembly ── */

static void check_bytes(struct peer *p, uint32_t n)
{
    struct slice v[64];
    uint32_t at = 1;
    for (uint32_t got; (got = tcp_read(p->tcb, v, 64, UINT64_MAX)) > 0;)
        for (uint32_t i = 0; i < got; i++) {
            for (uint32_t k = 0; k < v[i].n; k++, at++)
                assert_int_equal(v[i].ptr[k], (uint8_t)at);
            slice_put(&v[i]);
        }
    assert_int_equal(at, n + 1);
}

static void bug_34_overlaps_of_every_kind_give_the_right_bytes(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 9);
    for (int round = 0; round < 300; round++) {
        struct peer *p = established();
        for (int i = 0; i < 60; i++) {
            uint32_t seq = 1 + (uint32_t)prng_below(&prng, 3000);
            uint32_t n = 1 + (uint32_t)prng_below(&prng, 400);
            peer_send(p, ACK, seq, 1, (uint32_t)min_u64(n, 3001 - seq));
            tcb_invariants(p->tcb);
        }
        for (uint32_t seq = 1; seq < 3001; seq += 300)
            peer_send(p, ACK, seq, 1, 300);
        check_bytes(p, 3000);
        assert_null(p->tcb->ooo);
        assert_int_equal(p->net->rx_held, 0);
        peer_free(p);
    }
}

static void sack_blocks_name_the_newest_range_first(void **state)
{
    (void)state;
    struct peer *p = established();
    static const uint32_t at[] = {1001, 3001, 5001, 7001, 9001};
    for (size_t i = 0; i < array_n(at); i++)
        peer_send(p, ACK, at[i], 1, 100);
    peer_turn(p);
    const struct tcp_opts *o = &p->out[p->out_n - 1].opts;
    assert_int_equal(o->sacks_n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(o->sacks[i].from.v, PEER_ISS + at[4 - i]);
    peer_free(p);
}

static void ranges_out_of_order_beyond_their_number_are_dropped_from_the_top(void **state)
{
    (void)state;
    struct peer *p = established();
    const uint32_t over_n = 6;
    for (uint32_t i = 0; i < OOO_RANGES_MAX + over_n; i++)
        peer_send(p, ACK, 101 + i * 200, 1, 100);
    assert_int_equal(p->tcb->ooo_ranges_n, OOO_RANGES_MAX);
    assert_int_equal(net_stat(p->net, NET_DROP_OOO_RANGES), over_n);
    assert_int_equal(net_stat(p->net, NET_DROP_OOO_RECLAIM), 0);
    assert_int_equal(p->tcb->ooo->rx.seq.v, PEER_ISS + 101); /* what is read first stays */
    peer_free(p);
}

static void bug_54_segment_beyond_the_window_is_cut_at_its_edge(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.rcv_bytes = 2000}, true, false);
    peer_send(p, ACK, 1501, 1, 1000);
    assert_int_equal(p->tcb->ooo->rx.range_end.v, PEER_ISS + 2001);
    peer_send(p, ACK, 1, 1, 1460);
    peer_send(p, ACK, 1461, 1, 1000);
    check_bytes(p, 2000);
    peer_free(p);
}

static void bug_53_tiny_segments_cost_what_they_carry(void **state)
{
    (void)state;
    struct peer *p = established();
    for (uint32_t i = 0; i < 10000; i++)
        peer_send(p, ACK, 1 + i, 1, 1);
    assert_int_equal(tcp_unread(p->tcb), 10000);
    assert_true(p->tcb->rx_true < 65536);
    check_bytes(p, 10000);
    peer_free(p);
}

static void bug_55_out_of_order_is_given_up_before_memory_ends(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.packets_max = 32}, true, false);
    for (uint32_t i = 0; i < 60; i++)
        peer_send(p, ACK, 1001 + i * 2000, 1, 1000);
    assert_true(p->net->rx_held <= p->net->config.rx_budget_bytes);
    assert_true(net_stat(p->net, NET_DROP_OOO_RECLAIM) + net_stat(p->net, NET_DROP_TCP_MEMORY) > 0);
    peer_send(p, ACK, 1, 1, 1000); /* in order still gets in */
    assert_true(tcp_unread(p->tcb) >= 2000);
    peer_free(p);
}

static void bug_10_window_opens_at_once_when_a_full_buffer_is_read(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.rcv_bytes = 2920}, true, false);
    peer_send(p, ACK, 1, 1, 1460);
    peer_send(p, ACK, 1461, 1, 1460);
    peer_turn(p);
    assert_int_equal(p->out[0].wnd, 0);
    engine_read(p);
    peer_turn(p);
    expect_one(p, ACK, 1, 2921, 0);
    assert_int_equal(p->out[0].wnd, 2920);
    peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arp_answers_questions_and_ignores_unasked_replies),
        TEST(frame_with_vlan_tag_is_accepted_and_padding_cut),
        TEST(bug_28_every_drop_has_its_counter_and_no_packet_leaks),
        TEST(source_route_is_dropped),
        TEST(echo_is_answered_at_a_limited_rate),
        TEST(fragmentation_needed_lowers_the_segment_only_when_it_quotes_flight),
        TEST(options_of_the_syn_are_answered_and_a_tiny_mss_is_clamped),
        TEST(bug_36_syn_ack_is_sent_again_with_the_same_numbers),
        TEST(cookie_opens_a_connection_when_all_entries_are_used),
        TEST(cookie_is_too_old_after_two_minutes),
        TEST(initial_numbers_differ_by_flow_and_grow_with_time),
        TEST(bug_34_overlaps_of_every_kind_give_the_right_bytes),
        TEST(sack_blocks_name_the_newest_range_first),
        TEST(ranges_out_of_order_beyond_their_number_are_dropped_from_the_top),
        TEST(bug_54_segment_beyond_the_window_is_cut_at_its_edge),
        TEST(bug_53_tiny_segments_cost_what_they_carry),
        TEST(bug_55_out_of_order_is_given_up_before_memory_ends),
        TEST(bug_10_window_opens_at_once_when_a_full_buffer_is_read),
    };
    return TESTS_RUN(tests);
}
