/*
 * checksum_test.c - when a wrong TCP checksum may be believed: only when the field holds the pseudo
 * header's sum, of a frame that is whole.
 */
#include "unit.h"

#include <string.h>

#include "checksum.h"

enum { PAYLOAD = 100, IP_AT = 14, FRAME = IP_AT + 20 + 20 + PAYLOAD, SUM_AT = IP_AT + 20 + 16 };

static uint8_t frame[FRAME + 4];

/* A segment whose sum was left to the device. */
static void frame_make(uint16_t payload_n)
{
    uint8_t *ip = frame + IP_AT;

    for (uint32_t i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)(i * 7);
    store_u16(frame + 12, 0x0800);
    ip[0] = 0x45;
    store_u16(ip + 2, (uint16_t)(40 + payload_n));
    ip[9] = 6;
    store_u32(ip + 12, 0x0a4f0001);
    store_u32(ip + 16, 0x0a4f0002);
    sum_store(frame + SUM_AT, sum_fold(sum_pseudo(0x0a4f0001, 0x0a4f0002, 6, 20u + payload_n)));
}

/* As a sender does that adds all of it. */
static void sum_complete(void)
{
    sum_store(frame + SUM_AT, sum_finish(sum_bytes(0, frame + IP_AT + 20, 20 + PAYLOAD)));
}

static void open_sum_field_with_the_pseudo_header_is_open(void **state)
{
    (void)state;
    frame_make(PAYLOAD);
    assert_true(sum_tcp_is_open(frame, FRAME));
    frame_make(PAYLOAD - 3); /* Ethernet's padding behind it */
    assert_true(sum_tcp_is_open(frame, FRAME));
}

static void open_sum_behind_a_tag_is_open(void **state)
{
    (void)state;
    frame_make(PAYLOAD);
    memmove(frame + 16, frame + 12, FRAME - 12);
    store_u32(frame + 12, 0x81000005);
    assert_true(sum_tcp_is_open(frame, FRAME + 4));
    assert_false(sum_tcp_is_open(frame, FRAME + 3));
}

static void complete_sum_is_left_to_whoever_verifies(void **state)
{
    (void)state;
    frame_make(PAYLOAD);
    sum_complete();
    assert_false(sum_tcp_is_open(frame, FRAME));
}

/* A packet with a whole checksum that a wire has broken: no single byte of it, changed to any
 * value, makes the driver's word believed. */
static void broken_packet_is_not_taken_for_an_open_one(void **state)
{
    uint32_t believed = 0;

    (void)state;
    for (uint32_t at = 0; at < FRAME; at++)
        for (uint32_t change = 1; change < 256; change++) {
            frame_make(PAYLOAD);
            sum_complete();
            frame[at] ^= (uint8_t)change;
            believed += sum_tcp_is_open(frame, FRAME);
        }
    assert_int_equal(believed, 0);
}

static void changed_addresses_length_or_protocol_are_seen(void **state)
{
    static const uint8_t places[] = {12,        13,         IP_AT,      IP_AT + 2,
                                     IP_AT + 9, IP_AT + 15, IP_AT + 19, SUM_AT};

    (void)state;
    for (uint32_t i = 0; i < sizeof places; i++) {
        frame_make(PAYLOAD);
        frame[places[i]] ^= 0x40;
        assert_false(sum_tcp_is_open(frame, FRAME));
    }
}

static void short_frames_are_not_read_past_their_end(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < FRAME; n++) {
        uint8_t short_frame[FRAME];
        frame_make(PAYLOAD);
        memcpy(short_frame, frame, n);
        assert_false(sum_tcp_is_open(short_frame, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_sum_field_with_the_pseudo_header_is_open),
        TEST(open_sum_behind_a_tag_is_open),
        TEST(complete_sum_is_left_to_whoever_verifies),
        TEST(broken_packet_is_not_taken_for_an_open_one),
        TEST(changed_addresses_length_or_protocol_are_seen),
        TEST(short_frames_are_not_read_past_their_end),
    };
    return TESTS_RUN(tests);
}
