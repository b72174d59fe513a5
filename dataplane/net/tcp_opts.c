/*
 * tcp_opts.c - TCP options in and out (RFC 9293 3.1, 7323, 2018).
 *
 * Owner: immutable (pure functions).
 *
 *   0 end | 1 nothing | 2,4 MSS | 3,3 window scale | 4,2 SACK permitted | 5,8n+2 SACK | 8,10
 * timestamps
 *
 * A list that breaks off (a length of 0 or 1, or beyond the header) ends the reading; what stood
 * before it counts. Options of a wrong length are skipped, unknown ones too (RFC 9293 MUST-6).
 */
#include "net_inside.h"

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_STAMP = 8
};

static void opt_read(const uint8_t *p, uint8_t n, struct tcp_opts *out)
{
    switch (p[0]) {
    case OPT_MSS:
        if (n == 4) {
            out->has_mss = true;
            out->mss = load_u16(p + 2);
        }
        break;
    case OPT_WSCALE:
        if (n == 3) {
            out->has_wscale = true;
            out->wscale = p[2] > WSCALE_MAX ? WSCALE_MAX : p[2]; /* RFC 7323 2.3 */
        }
        break;
    case OPT_SACK_OK: out->has_sack_ok |= n == 2; break;
    case OPT_SACK:
        if (n < 10 || (n - 2) % 8 != 0)
            break;
        for (int at = 2; at < n && out->sacks_n < SACK_BLOCKS_MAX; at += 8) {
            out->sacks[out->sacks_n].from = (struct seq){load_u32(p + at)};
            out->sacks[out->sacks_n++].to = (struct seq){load_u32(p + at + 4)};
        }
        break;
    case OPT_STAMP:
        if (n == 10) {
            out->has_stamp = true;
            out->stamp = load_u32(p + 2);
            out->echo = load_u32(p + 6);
        }
        break;
    default: break;
    }
}

void opts_parse(const uint8_t *p, uint32_t n, struct tcp_opts *out, bool *is_bad)
{
    out->has_mss = out->has_wscale = out->has_sack_ok = out->has_stamp = false;
    out->sacks_n = 0;
    *is_bad = false;
    /* What nearly every segment of an established connection carries (RFC 7323 appendix A). */
    if (n == 12 && load_u32(p) == 0x0101080a) {
        out->has_stamp = true;
        out->stamp = load_u32(p + 4);
        out->echo = load_u32(p + 8);
        return;
    }
    /* The SYN of Linux, and ours. */
    if (n == 20 && load_u16(p) == 0x0204 && load_u32(p + 4) == 0x0402080a &&
        load_u32(p + 16) >> 8 == 0x010303) {
        out->has_mss = out->has_sack_ok = out->has_stamp = out->has_wscale = true;
        out->mss = load_u16(p + 2);
        out->stamp = load_u32(p + 8);
        out->echo = load_u32(p + 12);
        out->wscale = p[19] > WSCALE_MAX ? WSCALE_MAX : p[19];
        return;
    }
    for (uint32_t at = 0; at < n && p[at] != OPT_END;) {
        if (p[at] == OPT_NOP) {
            at++;
            continue;
        }
        if (at + 1 >= n || p[at + 1] < 2 || p[at + 1] > n - at) {
            *is_bad = true;
            return;
        }
        opt_read(p + at, p[at + 1], out);
        at += p[at + 1];
    }
}

/* Writes what `opts` has, padded to 4 bytes; returns the length, at most 40. */
uint32_t opts_write(uint8_t *p, const struct tcp_opts *opts, bool is_syn)
{
    uint8_t *at = p;
    if (is_syn && opts->has_mss) {
        store_u32(at, 0x02040000u | opts->mss);
        at += 4;
    }
    if (opts->has_stamp) {
        store_u32(at, is_syn && opts->has_sack_ok ? 0x0402080au : 0x0101080au);
        store_u32(at + 4, opts->stamp);
        store_u32(at + 8, opts->echo);
        at += 12;
    } else if (is_syn && opts->has_sack_ok) {
        store_u32(at, 0x01010402);
        at += 4;
    }
    if (is_syn && opts->has_wscale) {
        store_u32(at, 0x01030300u | opts->wscale);
        at += 4;
    }
    if (!is_syn && opts->sacks_n > 0) {
        store_u32(at, 0x01010500u | (2u + 8u * opts->sacks_n));
        at += 4;
        for (int i = 0; i < opts->sacks_n; i++, at += 8) {
            store_u32(at, opts->sacks[i].from.v);
            store_u32(at + 4, opts->sacks[i].to.v);
        }
    }
    check(at - p <= 40);
    return (uint32_t)(at - p);
}
