/*
 * kafka.c - the face of the folder: begin, end, the turn, the mail.
 *
 * Owner: worker.
 *
 * A turn: what came back first (it frees budgets), then appends that waited, then new frames, then
 * again what those finished at once - so a request that needs nobody else is answered in the turn
 * its frame came whole.
 */
#include "ledger.h"
#include "ops.h"
#include "session.h"

#include <stdlib.h>

static int kafka_times_init(struct kafka *k)
{
    uint64_t buckets_n = HISTOGRAM_BUCKETS(HISTOGRAM_COARSE_BITS);
    k->times = calloc(apis_n, sizeof *k->times);
    k->buckets = calloc((uint64_t)apis_n * (STAGES_N + 1) * buckets_n, sizeof *k->buckets);
    if (k->times == NULL || k->buckets == NULL)
        return E_NO_MEMORY;
    _Atomic uint64_t *at = k->buckets;
    for (uint8_t i = 0; i < apis_n; i++)
        for (int stage = 0; stage <= STAGES_N; stage++, at += buckets_n)
            histogram_init(&k->times[i].stages[stage], at, HISTOGRAM_COARSE_BITS);
    return 0;
}

static int kafka_requests_init(struct kafka *k)
{
    k->requests = calloc(k->config.requests_max, sizeof *k->requests);
    if (k->requests == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < k->config.requests_max; i++) {
        struct request *r = &k->requests[i];
        r->kafka = k;
        r->state = REQUEST_FREE;
        list_init(&r->conn_link);
        list_init(&r->lasting);
        timer_init(&r->timer, NULL);
        arena_init(&r->arena, k->pages, NULL, REQUEST_ARENA_MAX);
        list_append(&k->free, &r->run_link);
    }
    k->states_n[REQUEST_FREE] = k->config.requests_max;
    return 0;
}

static void kafka_lists_init(struct kafka *k)
{
    struct list *const lists[] = {
        &k->free,      &k->run,   &k->encode,     &k->sent,       &k->wait_answer, &k->wait_control,
        &k->wait_join, &k->conns, &k->conns_free, &k->conn_pages, &k->wait_small,  &k->wait_large,
        &k->appends,   &k->held,  &k->settling,   &k->reads,      &k->spare,       &k->crowd};
    for (size_t i = 0; i < array_n(lists); i++)
        list_init(lists[i]);
}

/* api.def and the schemas agree: our own mistake otherwise. */
static void kafka_check_table(void)
{
    for (uint8_t i = 0; i < apis_n; i++) {
        const struct proto_message *m = proto_request(apis[i].key);
        check(m != NULL && apis[i].start != NULL);
        check(apis[i].version_max <= m->version_max);
        check(apis[i].version_min >= m->version_min ||
              apis[i].key == proto_produce_request.api_key);
    }
}

int kafka_init(struct kafka **out, const struct kafka_config *config, struct conns *conns,
               struct store *store, struct pages *pages, struct timers *timers, struct post *post,
               struct prng *prng, struct stats *stats)
{
    check(config->requests_max > 0 && config->requests_per_turn > 0);
    check(config->control_requests_max > 0 && config->workers_n > 0);
    kafka_check_table();
    struct kafka *k = calloc(1, sizeof *k);
    if (k == NULL)
        return E_NO_MEMORY;
    k->config = *config;
    k->conns_of = conns;
    k->store = store;
    k->pages = pages;
    k->timers = timers;
    k->post = post;
    k->prng = prng;
    k->stats = stats;
    kafka_lists_init(k);
    k->sessions = calloc(1, sizeof *k->sessions);
    if (k->sessions == NULL || kafka_requests_init(k) != 0 || kafka_times_init(k) != 0 ||
        slow_init(k) != 0 ||
        sessions_init(k->sessions, config->sessions_max, config->session_parts_max, prng) != 0) {
        kafka_fini(k);
        return E_NO_MEMORY;
    }
    *out = k;
    return 0;
}

void kafka_fini(struct kafka *k)
{
    struct list *l;
    for (uint32_t i = 0; k->requests != NULL && i < k->config.requests_max; i++)
        forward_fini(&k->requests[i]);
    while ((l = list_pop(&k->conn_pages)) != NULL)
        page_put(list_entry(l, struct page, link));
    while ((l = list_pop(&k->spare)) != NULL)
        page_put(list_entry(l, struct page, link));
    if (k->sessions != NULL)
        sessions_fini(k->sessions);
    free(k->sessions);
    free(k->requests);
    free(k->times);
    free((void *)k->buckets);
    free(k->slow);
    free(k);
}

void kafka_ledger(const struct kafka *k, struct ledger *ledger)
{
    uint64_t cells_n = (uint64_t)apis_n * (STAGES_N + 1) * HISTOGRAM_BUCKETS(HISTOGRAM_COARSE_BITS);
    ledger_add(ledger, LEDGER_REQUESTS, k->requests, k->config.requests_max * sizeof *k->requests);
    ledger_add(ledger, LEDGER_REQUESTS, k->times, apis_n * sizeof *k->times);
    ledger_add(ledger, LEDGER_REQUESTS, (const void *)k->buckets, cells_n * sizeof *k->buckets);
    ledger_add(ledger, LEDGER_REQUESTS, k->slow, (apis_n + 1u) * sizeof *k->slow);
    sessions_ledger(k->sessions, ledger);
}

bool kafka_is_quiet(const struct kafka *k)
{
    return k->states_n[REQUEST_FREE] == k->config.requests_max && k->home_ops_n == 0 &&
           list_is_empty(&k->appends) && list_is_empty(&k->held) && list_is_empty(&k->reads);
}

static void kafka_enter(struct kafka *k, struct now now)
{
    if (k->owner == NULL)
        k->owner = thread_self;
    own(k->owner);
    k->now = now;
}

int kafka_turn(struct kafka *k, const struct view *view, struct now now)
{
    kafka_enter(k, now);
    k->begun_n = 0;
    k->append_bytes = 0;
    k->begin_left = BEGIN_UNITS_TURN;
    k->reads_left = READ_PARTS_TURN;
    k->settle_left = SETTLE_PARTS_TURN;
    k->encode_units = ENCODE_UNITS_TURN;
    k->crowd_left = max_i64(k->config.requests_per_turn / 2, 1);
    int done = turns_step_of(k->turns, STEP_READS, reads_turn(k, now));
    done += turns_step_of(k->turns, STEP_APPENDS, appends_turn(k, now));
    done += turns_step_of(k->turns, STEP_ANSWERS, requests_turn(k, view, now));
    done += turns_step_of(k->turns, STEP_READS, fetch_budget_turn(k, view, now));
    if (view != NULL)
        done += turns_step_of(k->turns, STEP_FRAMES, frames_turn(k, view, now));
    done += turns_step_of(k->turns, STEP_ANSWERS, requests_turn(k, view, now));
    return done;
}

void kafka_mail(struct kafka *k, const struct view *view, struct mail *mail, struct now now)
{
    (void)view; /* nothing acts inside an arrival: requests read the view in kafka_turn */
    kafka_enter(k, now);
    switch ((enum mail_kind)mail->kind) {
    case MAIL_APPEND:
        mail->is_answer ? append_mail_back(mail, now) : append_mail_arrive(k, mail, now);
        break;
    case MAIL_READ:
        mail->is_answer ? read_mail_back(mail, now) : read_mail_arrive(k, mail, now);
        break;
    case MAIL_RELEASE:
        mail->is_answer ? release_mail_back(mail) : release_mail_arrive(k, mail);
        break;
    case MAIL_QUERY:
        mail->is_answer ? query_mail_back(mail, now) : query_mail_arrive(k, mail, now);
        break;
    case MAIL_REQUEST:
        check(mail->is_answer);
        forward_back(mail);
        break;
    case MAIL_CANCEL:
        check(mail->is_answer);
        forward_cancelled(mail);
        break;
    default: check(false); /* worker_turn sends us no other kind */
    }
}
