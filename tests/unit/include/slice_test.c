/* slice_test.c - slice.h: references, and walking a run of slices like one string. */
#include "slice.h"

#include "prng.h"
#include "unit.h"

enum { TEXT_BYTES = 1000, SLICES_MAX = 40 };

/* Owner: the test. */
struct counted {
    struct slice_owner owner;
    int released_n;
};

static void counted_release(struct slice_owner *owner)
{
    container_of(owner, struct counted, owner)->released_n++;
}

/* Cuts the text at random places, empty pieces included. */
static void cut(struct prng *prng, const uint8_t *text, struct slices *s, struct slice *v)
{
    uint32_t at = 0;
    *s = (struct slices){.v = v};
    while (at < TEXT_BYTES) {
        uint32_t left = TEXT_BYTES - at;
        uint32_t n =
            s->n == SLICES_MAX - 1 ? left : (uint32_t)prng_below(prng, min_u64(left, 80) + 1);
        v[s->n++] = (struct slice){text + at, n, NULL};
        s->bytes += n;
        at += n;
    }
}

static void slices_random_cuts_read_like_the_whole(void **state)
{
    uint8_t text[TEXT_BYTES], out[TEXT_BYTES];
    struct slice v[SLICES_MAX];
    struct slices s;
    struct prng prng;
    (void)state;
    prng_init(&prng, 7);
    for (int i = 0; i < TEXT_BYTES; i++)
        text[i] = (uint8_t)prng_next(&prng);
    for (int round = 0; round < 500; round++) {
        struct slices_at p = {0, 0};
        uint32_t at = 0;
        cut(&prng, text, &s, v);
        assert_int_equal(s.bytes, TEXT_BYTES);
        while (at < TEXT_BYTES) {
            uint32_t n = (uint32_t)prng_below(&prng, TEXT_BYTES - at + 1);
            if (prng_chance(&prng, 50)) {
                slices_copy(&s, &p, out, n);
                assert_memory_equal(out, text + at, n);
            } else {
                slices_skip(&s, &p, n);
            }
            at += n;
        }
        assert_int_equal(p.at, 0);
    }
}

static void slice_last_put_releases_once(void **state)
{
    struct counted c = {.owner = {.refs = 1, .release = counted_release}};
    struct slice a = {(const uint8_t *)"abc", 3, &c.owner}, b = a;
    (void)state;
    slice_get(&b);
    assert_int_equal(c.owner.refs, 2);
    slice_put(&a);
    assert_int_equal(c.released_n, 0);
    assert_null(a.ptr);
    slice_put(&a); /* an emptied slice holds nothing */
    assert_int_equal(c.released_n, 0);
    slice_put(&b);
    assert_int_equal(c.released_n, 1);
}

static void slices_put_all_releases_each(void **state)
{
    struct counted c = {.owner = {.refs = 3, .release = counted_release}};
    struct slice piece = {(const uint8_t *)"abc", 3, &c.owner};
    struct slice v[4] = {piece, piece, {(const uint8_t *)"static", 6, NULL}, piece};
    struct slices s = {v, 4, 15};
    (void)state;
    slices_put_all(&s);
    assert_int_equal(c.released_n, 1);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slices_random_cuts_read_like_the_whole),
        TEST(slice_last_put_releases_once),
        TEST(slices_put_all_releases_each),
    };
    return TESTS_RUN(tests);
}
