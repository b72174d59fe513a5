/*
 * request.c - the life of a request: begin, wait, answer, send, end (request.h has the states and
 * the rules).
 *
 * Owner: worker.
 *
 * Three lists make the turn: `run` (what came back or woke), `encode` (answers not yet bytes) and
 * `sent` (answers the transport is done with). A request is in at most one list.
 */
#include "request.h"

#define S(state) (1u << REQUEST_##state)

/* Which arrows exist. */
static const uint16_t arrows[REQUEST_STATES_N] = {
    [REQUEST_FREE] = S(RUNNING),
    [REQUEST_RUNNING] = S(WAITING) | S(PARKED) | S(ENCODING) | S(SENDING) | S(RELEASING),
    [REQUEST_WAITING] = S(RUNNING) | S(RELEASING),
    [REQUEST_PARKED] = S(RUNNING) | S(RELEASING),
    [REQUEST_ENCODING] = S(SENDING) | S(RELEASING),
    [REQUEST_SENDING] = S(RELEASING),
    [REQUEST_RELEASING] = S(FREE),
};

/* Inside this file, where most changes are and `to` is a constant. */
static inline void state_set(struct request *r, enum request_state to)
{
    struct kafka *k = r->kafka;
    uint8_t from = r->state;
    check((arrows[from] & (1u << to)) && k->states_n[from] > 0);
    k->states_n[from]--;
    k->states_n[to]++;
    r->state = (uint8_t)to;
    if (to == REQUEST_PARKED || from == REQUEST_PARKED)
        stats_set(k->stats, STAT_REQUESTS_PARKED, k->states_n[REQUEST_PARKED]);
}

void request_state_set(struct request *r, enum request_state to)
{
    state_set(r, to);
}

void request_invariants(const struct request *r)
{
    check(r->state < REQUEST_STATES_N);
    switch ((enum request_state)r->state) {
    case REQUEST_FREE:
        check(r->ops_n == 0 && r->frame_bytes == 0 && r->answer_bytes == 0);
        check(r->conn == NULL && !list_is_linked(&r->conn_link) && !timer_is_set(&r->timer));
        check(r->arena.used_bytes == 0 && r->frame.n == 0);
        break;
    case REQUEST_RUNNING:
    case REQUEST_WAITING: check(r->conn != NULL && !r->slot.is_finished); break;
    case REQUEST_PARKED:
        check(r->conn != NULL && r->arena.used_bytes == 0 && r->frame.n == 0 &&
              r->frame_bytes == 0 && r->answer_bytes == 0);
        break;
    case REQUEST_ENCODING: check(r->conn != NULL && r->ops_n == 0); break;
    case REQUEST_SENDING: check(r->frame_bytes == 0 && r->ops_n == 0); break;
    case REQUEST_RELEASING: check(r->ops_n > 0); break;
    case REQUEST_STATES_N: check(false);
    }
}

static void request_timer_unset(struct timer *timer, struct now now)
{
    (void)timer, (void)now;
    check(false); /* a handler that sets the timer sets `fire` */
}

/* Nearly every request needs one small page: a few are passed on from one to the next. */
static void request_arena_begin(struct request *r)
{
    struct kafka *k = r->kafka;
    struct list *l = list_pop(&k->spare);
    arena_init(&r->arena, k->pages, k->owner, REQUEST_ARENA_MAX);
    if (l == NULL)
        return;
    arena_lend(&r->arena, list_entry(l, struct page, link));
    k->spare_n--;
}

static void request_arena_end(struct request *r)
{
    struct kafka *k = r->kafka;
    struct page *page = k->spare_n < SPARE_PAGES_MAX ? arena_reclaim(&r->arena) : NULL;
    if (page == NULL) {
        arena_fini(&r->arena);
        return;
    }
    list_push(&k->spare, &page->link);
    k->spare_n++;
}

static void request_reset(struct request *r, struct kafka_conn *conn)
{
    state_set(r, REQUEST_RUNNING);
    r->conn = conn;
    list_append(&conn->requests, &r->conn_link);
    r->api = NULL;
    r->is_large = r->is_unanswered = r->holds_control = r->is_crowd = false;
    r->version = 0;
    r->correlation_id = 0;
    r->client_id = (struct bytes){NULL, 0};
    r->ops_n = 0;
    r->frame_bytes = r->answer_bytes = 0;
    r->frame = (struct slices){NULL, 0, 0};
    r->body = r->work = NULL;
    r->forward = NULL;
    r->more = NULL;
    r->encoded = NULL;
    timer_init(&r->timer, request_timer_unset);
    request_arena_begin(r);
    list_init(&r->lasting);
    r->lasting_at = r->lasting_end = NULL;
    memset(r->stages, 0, sizeof r->stages);
    r->stall.us = 0;
    r->size = r->answer_size = 0;
}

/* The frame's bytes, however many pieces they are in. */
static int request_take(struct request *r, uint64_t n)
{
    for (uint32_t max = (uint32_t)max_u64(16, n >> 14); max <= FRAME_SLICES_MAX; max *= 4) {
        struct slice *v = arena_alloc_raw(&r->arena, max * sizeof *v);
        if (v == NULL)
            return E_NO_MEMORY;
        int rc = conn_take(r->conn->conn, n, v, max);
        if (rc >= 0) {
            r->frame = (struct slices){v, (uint32_t)rc, n};
            return 0;
        }
    }
    return E_TOO_LARGE;
}

static void request_sent(struct conn_slot *slot);

bool request_begin(struct kafka *k, struct kafka_conn *conn, const struct view *view,
                   struct now now)
{
    struct request *r = list_first(&k->free, struct request, run_link);
    check(r != NULL && r->state == REQUEST_FREE && conn->frame_bytes > 0);
    if (!conn_slot_open(conn->conn, &r->slot))
        return false; /* the connection becomes ready again when a slot is free */
    list_del(&r->run_link);
    request_reset(r, conn);
    r->slot.sent = request_sent;
    r->frame_bytes = conn->frame_bytes;
    r->is_large = conn->frame_bytes > FRAME_SMALL_MAX;
    conn->is_admitted = false;
    r->stages[STAGE_FIRST_BYTE] = conn->first_ns;
    r->stages[STAGE_COMPLETE] = conn->whole_ns;
    r->stages[STAGE_STARTED] = now.ns;
    r->holes_n = conn->holes_n;
    r->size = (uint32_t)min_u64(conn->frame_bytes, UINT32_MAX);
    conn->frame_bytes = 0;
    k->begun_n++;
    stats_add(k->stats, STAT_REQUESTS, 1);
    stats_set(k->stats, STAT_REQUESTS_OPEN, stats_get(k->stats, STAT_REQUESTS_OPEN) + 1);
    if (request_take(r, r->frame_bytes) != 0) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return false;
    }
    request_dispatch(r, view, now);
    return true;
}

void request_free_frame(struct request *r)
{
    slices_put_all(&r->frame);
    r->frame.v = NULL;
    frame_budget_give(r->kafka, r);
    r->client_id = (struct bytes){NULL, 0};
}

void *request_lasting(struct request *r, uint32_t n)
{
    n = (uint32_t)align_up(n == 0 ? 1 : n, ARENA_ALIGN);
    if (n > (uint64_t)(r->lasting_end - r->lasting_at)) {
        struct page *page =
            n > PAGE_LARGE ? NULL
                           : pages_take(r->kafka->pages, n > PAGE_SMALL ? PAGE_LARGE : PAGE_SMALL);
        if (page == NULL)
            return NULL;
        list_push(&r->lasting, &page->link);
        r->lasting_at = page_data(page);
        r->lasting_end = r->lasting_at + page->size;
    }
    void *p = r->lasting_at;
    r->lasting_at += n;
    memset(p, 0, n);
    return p;
}

struct bytes request_keep(struct request *r, struct bytes text)
{
    if (text.ptr == NULL)
        return text;
    return (struct bytes){arena_copy(&r->arena, text.ptr, text.n), text.n};
}

void request_client_host(const struct request *r, char *to, size_t n)
{
    const char *peer = r->conn != NULL ? conn_peer(r->conn->conn) : "";
    const char *colon = strrchr(peer, ':');
    int length = colon != NULL ? (int)(colon - peer) : (int)strlen(peer);
    snprintf(to, n, "/%.*s", length, peer);
}

/* ── waiting ── */

void request_run(struct request *r)
{
    if (r->state == REQUEST_RELEASING || list_is_linked(&r->run_link))
        return;
    check(r->state == REQUEST_WAITING || r->state == REQUEST_PARKED);
    list_append(r->is_crowd ? &r->kafka->crowd : &r->kafka->run, &r->run_link);
}

static void request_end(struct request *r);

void request_op_end(struct request *r)
{
    check(r->ops_n > 0);
    r->ops_n--;
    if (r->ops_n == 0 && r->state == REQUEST_RELEASING)
        request_end(r);
    else if ((r->ops_n == 0 && r->state == REQUEST_WAITING) || r->state == REQUEST_PARKED)
        request_run(r);
}

void request_wait(struct request *r,
                  void (*more)(struct request *, const struct view *, struct now))
{
    r->more = more;
    state_set(r, REQUEST_WAITING);
    if (r->ops_n == 0)
        request_run(r);
}

/* ── answering ── */

void request_close(struct request *r, enum conn_end why, enum stat_at stat)
{
    stats_add(r->kafka->stats, stat, 1);
    /* The end comes back through the ready list and releases r. */
    if (r->conn != NULL && why == CONN_END_PROTOCOL)
        frames_end(r->conn, r, why);
    else if (r->conn != NULL)
        conn_close(r->conn->conn, why);
}

/* The bytes of the answer go to the connection; the frame's are not needed any more. */
static void request_finish(struct request *r, struct slices answer)
{
    r->slot.answer = answer;
    r->answer_size = (uint32_t)min_u64(answer.bytes, UINT32_MAX);
    request_drop_frame(r);
    state_set(r, REQUEST_SENDING);
    conn_slot_finish(&r->slot);
}

static void request_encoded(struct request *r)
{
    if (r->encoded != NULL)
        r->encoded(r);
    request_finish(r, r->out.out);
}

static void encode_pay(struct kafka *k, uint32_t units)
{
    k->encode_units -= (uint32_t)min_u64(k->encode_units, units);
}

/* Encodes a part of the answer: a quarter of what a turn may at most, so that a huge one does not
 * hold the others. True: it is whole, and the request goes on. */
static bool request_encode(struct request *r)
{
    struct kafka *k = r->kafka;
    uint32_t part = (uint32_t)min_u64(k->encode_units, ENCODE_UNITS_TURN / 4);
    int rc = proto_encode_more(&r->out, part);
    encode_pay(k, rc == E_AGAIN ? part : ENCODE_UNITS_ANSWER + part - r->out.budget);
    if (rc == E_AGAIN)
        return false;
    list_del(&r->run_link);
    if (rc == 0) {
        request_encoded(r);
        return true;
    }
    if (r->encoded != NULL)
        r->encoded(r);
    /* It stays ENCODING, in no list, until the end of its connection releases it. */
    request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
    return true;
}

/* Small answers become bytes here; what is beyond the turn's share waits in `encode`. */
void request_answer(struct request *r, void *response)
{
    struct kafka *k = r->kafka;
    uint32_t part = (uint32_t)min_u64(k->encode_units, ENCODE_UNITS_TURN / 4);
    int rc = E_NO_MEMORY;
    r->stages[STAGE_READY] = k->now.ns;
    if (likely(response != NULL && list_is_empty(&k->encode)) &&
        proto_encode_response_now(&r->out, &r->arena, r->api->key, r->version, r->correlation_id,
                                  response, part)) {
        encode_pay(k, ENCODE_UNITS_ANSWER + part - r->out.budget);
        request_encoded(r);
        return;
    }
    if (response != NULL)
        rc = proto_encode_response(&r->out, &r->arena, r->api->key, r->version, r->correlation_id,
                                   response);
    if (rc != 0) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    state_set(r, REQUEST_ENCODING);
    if (!list_is_empty(&k->encode) || k->encode_units == 0 || !request_encode(r))
        list_append(&k->encode, &r->run_link);
}

void request_answer_bytes(struct request *r, struct slices frame)
{
    r->stages[STAGE_READY] = r->kafka->now.ns;
    request_finish(r, frame);
}

void request_skip(struct request *r)
{
    r->stages[STAGE_READY] = r->kafka->now.ns;
    r->is_unanswered = true;
    request_drop_frame(r);
    state_set(r, REQUEST_SENDING);
    conn_slot_skip(&r->slot);
}

/* The transport is done with the answer, or the connection ended with it: the turn does the rest.
 */
static void request_sent(struct conn_slot *slot)
{
    struct request *r = container_of(slot, struct request, slot);
    check(r->state == REQUEST_SENDING);
    list_append(&r->kafka->sent, &r->run_link);
}

/* ── times ── */

/* Requests of one API, ended one after another, whose stages were at the same times: what came in
 * one turn mostly leaves in one. They are counted together. Owner: one requests_sent. */
struct times_run {
    const struct request *first;
    uint32_t n;
    bool is_slow;
};

static void times_run_end(const struct times_run *run)
{
    if (run->n == 0)
        return;
    const struct api *api = run->first->api;
    const uint64_t *stages = run->first->stages;
    struct api_times *times = &run->first->kafka->times[api - apis];
    uint64_t before = stages[STAGE_FIRST_BYTE];
    for (int i = STAGE_FIRST_BYTE + 1; i < STAGES_N; i++) {
        if (stages[i] == 0)
            continue;
        histogram_add_n(&times->stages[i], stages[i] > before ? stages[i] - before : 0, run->n);
        before = max_u64(before, stages[i]);
    }
    histogram_add_n(&times->stages[STAGES_N], stages[STAGE_SENT] - stages[STAGE_COMPLETE], run->n);
}

/* The first of a run stays in memory as it was: no request begins while others end. */
static void times_run_add(struct times_run *run, struct request *r, struct now now)
{
    if (run->n == 0 || run->first->api != r->api ||
        memcmp(run->first->stages, r->stages, sizeof r->stages) != 0) {
        times_run_end(run);
        *run = (struct times_run){.first = r, .is_slow = slow_note(r, now)};
    } else if (run->is_slow) {
        slow_note(r, now);
    }
    run->n++;
}

const struct histogram *kafka_histogram(const struct kafka *k, int16_t api_key, int to)
{
    const struct api *api = api_find(api_key);
    check(to >= 0 && to <= STAGES_N);
    if (api == NULL)
        return NULL;
    const struct api_times *times = &k->times[api - apis];
    if (atomic_load_explicit(&times->stages[STAGES_N].n, memory_order_relaxed) == 0)
        return NULL;
    return &times->stages[to];
}

/* ── the end ── */

static void request_end(struct request *r)
{
    struct kafka *k = r->kafka;
    check(r->ops_n == 0 && r->state == REQUEST_RELEASING && r->conn == NULL);
    check(r->answer_bytes == 0 && !r->holds_control);
    request_drop_frame(r);
    timer_stop(k->timers, &r->timer);
    list_del(&r->run_link);
    request_arena_end(r);
    for (struct list *l; (l = list_pop(&r->lasting)) != NULL;)
        page_put(list_entry(l, struct page, link));
    state_set(r, REQUEST_FREE);
    list_push(&k->free, &r->run_link);
    stats_set(k->stats, STAT_REQUESTS_OPEN, stats_get(k->stats, STAT_REQUESTS_OPEN) - 1);
}

void request_release(struct request *r, struct now now)
{
    struct kafka *k = r->kafka;
    list_del(&r->run_link);
    list_del(&r->conn_link);
    timer_stop(k->timers, &r->timer);
    r->conn = NULL;
    state_set(r, REQUEST_RELEASING);
    r->ops_n++; /* held here, so that what `release` ends cannot end the request under it */
    if (r->api != NULL && r->api->release != NULL)
        r->api->release(r, now);
    check(k->answer_bytes >= r->answer_bytes);
    k->answer_bytes -= r->answer_bytes;
    r->answer_bytes = 0;
    request_op_end(r);
}

/* ── the turn ── */

static int requests_sent(struct kafka *k, struct now now)
{
    int done = 0;
    struct times_run run = {.n = 0};
    for (struct list *l; (l = list_pop(&k->sent)) != NULL; done++) {
        struct request *r = list_entry(l, struct request, run_link);
        r->stages[STAGE_SENDING] = r->slot.sending_ns;
        r->stages[STAGE_SENT] = now.ns;
        times_run_add(&run, r, now);
        struct kafka_conn *c = r->conn;
        request_release(r, now);
        if (c != NULL)
            frames_end_more(c);
    }
    times_run_end(&run);
    return done;
}

/* So many of a crowd as may go on in this turn. */
static void crowd_run(struct kafka *k)
{
    struct list *told;
    for (; k->crowd_left > 0 && (told = list_pop(&k->crowd)) != NULL; k->crowd_left--)
        list_append(&k->run, told);
}

static int requests_run(struct kafka *k, const struct view *view, struct now now)
{
    int done = 0;
    uint32_t budget =
        k->config.requests_max; /* what runs now may put itself back for the next turn */
    struct list now_list;
    if (unlikely(!list_is_empty(&k->crowd)))
        crowd_run(k);
    list_init(&now_list);
    list_splice(&now_list, &k->run);
    for (struct list *l; budget-- > 0 && (l = list_pop(&now_list)) != NULL; done++) {
        struct request *r = list_entry(l, struct request, run_link);
        state_set(r, REQUEST_RUNNING);
        check(r->more != NULL);
        r->more(r, view, now);
    }
    check(list_is_empty(&now_list));
    return done;
}

static int requests_encode(struct kafka *k)
{
    int done = 0;
    for (; k->encode_units > 0 && !list_is_empty(&k->encode); done++) {
        struct request *r = list_first(&k->encode, struct request, run_link);
        if (!request_encode(r)) {
            list_del(&r->run_link);
            list_append(&k->encode, &r->run_link);
        }
    }
    return done;
}

int requests_turn(struct kafka *k, const struct view *view, struct now now)
{
    int done = requests_sent(k, now);
    done += requests_run(k, view, now);
    done += requests_encode(k);
    return done;
}
