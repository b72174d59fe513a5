/*
 * mail_test.c - mail between threads: there and back, full rings, fairness, and a sleeper that is
 * never missed.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "mail.h"

#ifdef __SANITIZE_THREAD__
enum { MANY_N = 100000, SLEEPS_N = 2000 }; /* every access costs twenty times as much */
#else
enum { MANY_N = 1000000, SLEEPS_N = 20000 };
#endif
enum { CAPACITY = 64, UNDER_WAY = 200 };

struct letter {
    struct mail mail; /* first */
    uint32_t number;
};

static void posts_make(struct post **posts, uint8_t n, uint32_t capacity)
{
    for (uint8_t i = 0; i < n; i++) {
        posts[i] = aligned_alloc(64, align_up(sizeof *posts[i], 64));
        assert_non_null(posts[i]);
        memset(posts[i], 0xa5, sizeof *posts[i]);
    }
    assert_int_equal(posts_connect(posts, n, capacity), 0);
}

static void posts_free(struct post **posts, uint8_t n)
{
    for (uint8_t i = 0; i < n; i++)
        post_event_close(posts[i]);
    posts_disconnect(posts, n);
    for (uint8_t i = 0; i < n; i++)
        free(posts[i]);
}

static void mail_goes_there_and_comes_back(void **state)
{
    struct post *posts[3];
    struct letter letter = {.number = 7};
    uint8_t at = 0;
    (void)state;
    posts_make(posts, 3, CAPACITY);
    mail_send(posts[0], 2, MAIL_APPEND, &letter.mail);
    assert_null(mail_read(posts[2], &at)); /* not before the flush */
    assert_true(mail_has_more(posts[0]));
    assert_int_equal(mail_flush(posts[0]), 1);
    assert_false(mail_has_more(posts[0]));
    assert_true(mail_has_more(posts[2]));
    assert_null(mail_read(posts[1], &at));
    struct mail *got = mail_read(posts[2], &at);
    assert_ptr_equal(got, &letter.mail);
    assert_int_equal(got->kind, MAIL_APPEND);
    assert_int_equal(got->from, 0);
    assert_false(got->is_answer);
    mail_answer(posts[2], got);
    assert_int_equal(mail_flush(posts[2]), 1);
    got = mail_read(posts[0], &at);
    assert_ptr_equal(got, &letter.mail);
    assert_true(got->is_answer);
    assert_int_equal(got->to, 2);
    posts_free(posts, 3);
}

static void mail_to_oneself_arrives(void **state)
{
    struct post *posts[1];
    struct letter letter = {.number = 7};
    uint8_t at = 0;
    (void)state;
    posts_make(posts, 1, CAPACITY);
    mail_send(posts[0], 0, MAIL_READ, &letter.mail);
    assert_int_equal(mail_flush(posts[0]), 1);
    assert_ptr_equal(mail_read(posts[0], &at), &letter.mail);
    mail_answer(posts[0], &letter.mail);
    assert_int_equal(mail_flush(posts[0]), 1);
    assert_ptr_equal(mail_read(posts[0], &at), &letter.mail);
    posts_free(posts, 1);
}

static void mail_beyond_a_full_ring_waits_in_order(void **state)
{
    enum { N = 100 };
    struct post *posts[2];
    struct letter letters[N];
    uint8_t at = 0;
    (void)state;
    posts_make(posts, 2, CAPACITY);
    for (uint32_t i = 0; i < N; i++)
        mail_send(posts[0], 1, MAIL_APPEND, &letters[i].mail);
    assert_int_equal(mail_flush(posts[0]), CAPACITY);
    assert_true(mail_has_more(posts[0]));
    assert_int_equal(mail_flush(posts[0]), 0);
    for (uint32_t i = 0; i < 10; i++)
        assert_ptr_equal(mail_read(posts[1], &at), &letters[i].mail);
    assert_int_equal(mail_flush(posts[0]), 10);
    for (uint32_t i = 10; i < CAPACITY + 10; i++)
        assert_ptr_equal(mail_read(posts[1], &at), &letters[i].mail);
    assert_int_equal(mail_flush(posts[0]), N - CAPACITY - 10);
    for (uint32_t i = CAPACITY + 10; i < N; i++)
        assert_ptr_equal(mail_read(posts[1], &at), &letters[i].mail);
    assert_null(mail_read(posts[1], &at));
    posts_free(posts, 2);
}

static void mail_of_all_senders_is_read_in_turn(void **state)
{
    struct post *posts[4];
    struct letter letters[4][3];
    uint8_t at = 0;
    (void)state;
    posts_make(posts, 4, CAPACITY);
    for (uint8_t from = 1; from < 4; from++) {
        for (int i = 0; i < 3; i++)
            mail_send(posts[from], 0, MAIL_APPEND, &letters[from][i].mail);
        mail_flush(posts[from]);
    }
    for (int i = 0; i < 3; i++)
        for (uint8_t from = 1; from < 4; from++)
            assert_ptr_equal(mail_read(posts[0], &at), &letters[from][i].mail);
    assert_null(mail_read(posts[0], &at));
    posts_free(posts, 4);
}

/* ── two threads ── */

/* Waits as a worker does, but with poll(2) in place of io_wait. */
static void thread_sleep(struct post *post, uint64_t *sleeps)
{
    struct pollfd p = {.fd = post->event_fd, .events = POLLIN};
    if (!mail_sleep_begin(post))
        return;
    (*sleeps)++;
    /* A lost wake would leave both sides waiting: ten seconds say so instead of hanging for ever.
     */
    if (poll(&p, 1, 10000) == 0)
        abort();
    mail_event_clear(post);
    mail_sleep_end(post);
}

struct echo {
    struct post *post;
    uint64_t sleeps;
    uint32_t n, out_of_order;
};

static void *echo_thread(void *arg)
{
    struct echo *e = arg;
    uint8_t at = 0;
    for (uint32_t expected = 0; expected < e->n;) {
        struct mail *mail = mail_read(e->post, &at);
        if (mail == NULL) {
            mail_flush(e->post);
            if (!mail_has_more(e->post))
                thread_sleep(e->post, &e->sleeps);
            continue;
        }
        e->out_of_order += ((struct letter *)(void *)mail)->number != expected;
        expected++;
        mail_answer(e->post, mail);
    }
    while (mail_has_more(e->post)) {
        mail_flush(e->post);
        sched_yield();
    }
    return NULL;
}

/* Sends n letters, at most `under_way` at once, each back before it is used again. */
static void ping(struct post *post, uint32_t n, uint32_t under_way, uint64_t *sleeps)
{
    struct letter *letters = calloc(under_way, sizeof *letters);
    uint8_t at = 0;
    uint32_t sent = 0, back = 0;
    assert_non_null(letters);
    while (back < n) {
        for (; sent < n && sent - back < under_way; sent++) {
            letters[sent % under_way].number = sent;
            mail_send(post, 1, MAIL_APPEND, &letters[sent % under_way].mail);
        }
        mail_flush(post);
        struct mail *mail = mail_read(post, &at);
        if (mail == NULL) {
            if (!mail_has_more(post))
                thread_sleep(post, sleeps);
            continue;
        }
        for (; mail != NULL; mail = mail_read(post, &at)) {
            if (((struct letter *)(void *)mail)->number != back)
                fail_msg("letter %u came back as %u", back,
                         ((struct letter *)(void *)mail)->number);
            back++;
        }
    }
    free(letters);
}

static void two_threads(uint32_t n, uint32_t under_way, uint64_t sleeps_min)
{
    struct post *posts[2];
    struct echo e = {.n = n};
    pthread_t thread;
    uint64_t sleeps = 0;
    posts_make(posts, 2, CAPACITY);
    for (int i = 0; i < 2; i++)
        assert_int_equal(post_event_open(posts[i]), 0);
    e.post = posts[1];
    assert_int_equal(pthread_create(&thread, NULL, echo_thread, &e), 0);
    ping(posts[0], n, under_way, &sleeps);
    pthread_join(thread, NULL);
    assert_int_equal(e.out_of_order, 0);
    assert_true(sleeps + e.sleeps >= sleeps_min);
    assert_false(mail_has_more(posts[0]));
    posts_free(posts, 2);
}

static void mail_of_a_million_keeps_its_order(void **state)
{
    (void)state;
    two_threads(MANY_N, UNDER_WAY, 0); /* more under way than a ring has places */
}

static void mail_one_at_a_time_never_misses_a_sleeper(void **state)
{
    (void)state;
    two_threads(SLEEPS_N, 1, SLEEPS_N / 100); /* most of them do sleep on a quiet machine */
}

static void sleep_does_not_begin_when_mail_is_there(void **state)
{
    struct post *posts[2];
    struct letter letter = {.number = 1};
    uint8_t at = 0;
    uint64_t n;
    (void)state;
    posts_make(posts, 2, CAPACITY);
    assert_int_equal(post_event_open(posts[1]), 0);
    mail_send(posts[0], 1, MAIL_APPEND, &letter.mail);
    mail_flush(posts[0]);
    assert_false(mail_sleep_begin(posts[1]));
    assert_int_equal(read(posts[1]->event_fd, &n, sizeof n), -1); /* it was awake: no wake */
    assert_non_null(mail_read(posts[1], &at));
    assert_true(mail_sleep_begin(posts[1]));
    mail_answer(posts[1], &letter.mail); /* whatever: something for the other direction */
    mail_flush(posts[1]);
    assert_non_null(mail_read(posts[0], &at));
    mail_send(posts[0], 1, MAIL_APPEND, &letter.mail);
    mail_flush(posts[0]);
    mail_flush(posts[0]);
    assert_int_equal(read(posts[1]->event_fd, &n, sizeof n), sizeof n);
    assert_int_equal(n, 1);
    mail_sleep_end(posts[1]);
    assert_non_null(mail_read(posts[1], &at));
    posts_free(posts, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_goes_there_and_comes_back),
        cmocka_unit_test(mail_to_oneself_arrives),
        cmocka_unit_test(mail_beyond_a_full_ring_waits_in_order),
        cmocka_unit_test(mail_of_all_senders_is_read_in_turn),
        cmocka_unit_test(mail_of_a_million_keeps_its_order),
        cmocka_unit_test(mail_one_at_a_time_never_misses_a_sleeper),
        cmocka_unit_test(sleep_does_not_begin_when_mail_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
