/*
 * admin.c - `sim --admin`: every request that changes something, cut off at every disk operation.
 *
 * Owner: the simulator. Nothing is left to chance but what a power cut leaves of unflushed writes.
 *
 * For each request of admin_cases.c, twice without a cut: a broker with some state is killed before
 * the request, and after its answer; what clients see after the restart is "before" and "after".
 * Then, for n = 1, 2 ..: the same broker, in the same state; the request is sent; at the n-th disk
 * operation from there the disk is dead (a write under way may have happened in part); the process
 * is killed or the power fails; restart. Checked:
 *
 *   1. what is seen is "before" or "after": of the whole request, or of each thing it names where
 *      Apache Kafka does not promise more (enum admin_unit)
 *   2. once the answer was read it is "after" (what the answer only promises to begin comes to
 *      be so after the restart)
 *   3. a producer id that was given is not given again
 *
 * n ends when a cut comes so late that the broker has nothing to do any more.
 */
#include "admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "messages.h"
#include "proto.h"

enum {
    ADMIN_STEPS_MAX = 40000,
    ADMIN_AFTER_STEPS = 40, /* the broker goes on behind its answer: cuts fall there, too */
    ADMIN_CUTS_MAX = 400,
    ADMIN_TRIES_MAX = 2000,
};
#define ADMIN_LATER_NS (1000 * NS_PER_MS)

/* ── asking ── */

static bool frame_read(struct sim *s, void *context, const uint8_t *frame, uint32_t n)
{
    struct admin *a = context;
    struct slice *slice = arena_alloc(&a->arena, sizeof *slice);
    uint8_t *copy = arena_copy(&a->arena, frame, n);
    struct slices *slices = arena_alloc(&a->arena, sizeof *slices);
    const struct proto_message *m = proto_response(a->api_key);
    struct proto_in in;
    int32_t id = 0;
    check(slice != NULL && copy != NULL && slices != NULL);
    *slice = (struct slice){copy, n, NULL};
    *slices = (struct slices){slice, 1, n};
    proto_in_init(&in, slices, &a->arena);
    a->response = arena_alloc(&a->arena, m->size);
    check(a->response != NULL);
    if (proto_decode_response_header(&in, a->api_key, a->version, &id) != 0 || id != a->asked ||
        proto_decode(m, a->version, &in, a->response) != 0)
        return sim_fail(s, "an answer of %s v%d cannot be decoded", m->name, a->version);
    a->is_answered = true;
    return true;
}

bool admin_call(struct admin *a, int16_t api_key, int16_t version, const void *request)
{
    struct sim *s = a->sim;
    check(request != NULL);
    if (!wire_is_connected(&a->wire))
        check(wire_connect(s, &a->wire));
    a->api_key = api_key;
    a->version = version;
    a->is_answered = false;
    a->asked = wire_queue(&a->wire, api_key, version, request, &a->arena);
    for (int i = 0; i < ADMIN_STEPS_MAX; i++) {
        if (!sim_step(s) || sim_disk_is_dead(s->disk))
            return false;
        if (wire_pump(s, &a->wire, frame_read, a) != WIRE_FINE)
            return sim_fail(s, "the connection ended instead of an answer of API %d", api_key);
        if (a->is_answered)
            return true;
    }
    return sim_fail(s, "no answer of API %d after %d steps", api_key, ADMIN_STEPS_MAX);
}

/* COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION of one that
 * is being opened, MEMBER_ID_REQUIRED. */
static bool error_passes(int16_t e)
{
    return e == 14 || e == 15 || e == 3 || e == 79;
}

bool admin_insist(struct admin *a, int16_t api_key, int16_t version,
                  const void *(*request)(struct admin *a))
{
    for (int i = 0; i < ADMIN_TRIES_MAX; i++) {
        arena_fini(&a->arena);
        if (!admin_call(a, api_key, version, request(a)))
            return false;
        int16_t e = admin_error(api_key, a->response);
        if (e == 0)
            return true;
        if (!error_passes(e))
            return sim_fail(a->sim, "API %d is refused with error %d", api_key, e);
    }
    return sim_fail(a->sim, "API %d does not work", api_key);
}

/* ── a life ── */

static struct admin *admin_new(const struct sim_options *options)
{
    struct admin *a = calloc(1, sizeof *a);
    check(a != NULL);
    a->sim = sim_new(options);
    wire_init(&a->wire);
    arena_init(&a->arena, NULL, NULL, MIB(16));
    return a;
}

static void admin_free(struct admin *a)
{
    arena_fini(&a->arena);
    wire_fini(&a->wire);
    sim_free(a->sim);
    free(a);
}

static bool admin_begin(struct admin *a, const struct admin_case *k)
{
    if (!sim_start(a->sim) || !admin_setup(a))
        return false;
    const struct init_producer_id_response *given = a->response; /* the setup's last answer */
    a->producer_id_min = given->producer_id + 1;
    return k->prepare == NULL || k->prepare(a);
}

/* `ns`: how long what was only begun may take afterwards. */
static bool admin_restart_and_look(struct admin *a, enum sim_crash kind, uint64_t ns,
                                   struct admin_state *to)
{
    wire_gone(&a->wire);
    sim_down(a->sim, kind);
    if (a->sim->options.is_verbose && a->sim->options.cut_at != 0)
        sim_disk_print(a->sim->disk, stderr);
    if (!sim_start(a->sim))
        return false;
    uint64_t until_ns = a->sim->now.ns + ns;
    while (a->sim->now.ns < until_ns)
        if (!sim_step(a->sim))
            return false;
    return admin_look(a, to);
}

static bool admin_ask(struct admin *a, const struct admin_case *k)
{
    arena_fini(&a->arena);
    if (!admin_call(a, k->api_key, k->version, k->request(a)))
        return false;
    int16_t e = admin_error(k->api_key, a->response);
    a->is_refused = e != 0;
    if (e != 0 && e != k->refusal)
        return sim_fail(a->sim, "it is refused with error %d", e);
    if (k->api_key == 22) {
        const struct init_producer_id_response *given = a->response;
        a->producer_id_min = given->producer_id + 1;
    }
    return true;
}

/* "Before" and "after"; the reference of all cuts. */
static bool admin_reference(const struct sim_options *options, const struct admin_case *k,
                            struct admin_state *before, struct admin_state *after, char *why)
{
    bool ok = true;
    for (int is_after = 0; ok && is_after < 2; is_after++) {
        struct admin *a = admin_new(options);
        ok = admin_begin(a, k) && (!is_after || admin_ask(a, k));
        uint64_t until_ns = a->sim->now.ns + NS_PER_S; /* what is only begun comes to its end */
        while (ok && is_after && k->unit == ADMIN_LATER && a->sim->now.ns < until_ns)
            ok = sim_step(a->sim);
        ok = ok && admin_restart_and_look(a, SIM_KILL, 0, is_after ? after : before);
        memcpy(why, a->sim->why, SIM_WHY_MAX);
        admin_free(a);
    }
    return ok;
}

/* ── what was found ── */

static const char *line_end(const char *at)
{
    const char *end = strchr(at, '\n');
    return end != NULL ? end : at + strlen(at);
}

/* The same but for lines that begin with `prefix` (NULL: none). */
static bool states_are_equal(const struct admin_state *x, const struct admin_state *y,
                             const char *prefix)
{
    const char *a = x->text, *b = y->text;
    size_t prefix_n = prefix != NULL ? strlen(prefix) : 0;
    while (*a != 0 && *b != 0) {
        size_t an = (size_t)(line_end(a) - a), bn = (size_t)(line_end(b) - b);
        bool is_free =
            prefix_n > 0 && strncmp(a, prefix, prefix_n) == 0 && strncmp(b, prefix, prefix_n) == 0;
        if (!is_free && (an != bn || memcmp(a, b, an) != 0))
            return false;
        a += an + (a[an] != 0);
        b += bn + (b[bn] != 0);
    }
    return *a == 0 && *b == 0;
}

/* Each line is that of before, or that of after. */
static bool lines_are_of(const struct admin_state *seen, const struct admin_state *before,
                         const struct admin_state *after)
{
    const char *s = seen->text, *b = before->text, *f = after->text;
    while (*s != 0) {
        size_t n = (size_t)(line_end(s) - s), bn = (size_t)(line_end(b) - b),
               fn = (size_t)(line_end(f) - f);
        if ((n != bn || memcmp(s, b, n) != 0) && (n != fn || memcmp(s, f, n) != 0))
            return false;
        s += n + 1;
        b += bn + (b[bn] != 0);
        f += fn + (f[fn] != 0);
    }
    return *b == 0 && *f == 0;
}

static void first_difference(const struct admin_state *seen, const struct admin_state *other,
                             char *to, size_t to_n)
{
    const char *s = seen->text, *o = other->text;
    while (*s != 0 && *o != 0) {
        const char *se = line_end(s), *oe = line_end(o);
        if (se - s != oe - o || memcmp(s, o, (size_t)(se - s)) != 0) {
            snprintf(to, to_n, "'%.*s' instead of '%.*s'", (int)(se - s), s, (int)(oe - o), o);
            return;
        }
        s = se + (*se != 0);
        o = oe + (*oe != 0);
    }
    snprintf(to, to_n, "nothing");
}

static bool admin_judge(struct admin *a, const struct admin_case *k, bool is_acked,
                        const struct admin_state *seen, const struct admin_state *before,
                        const struct admin_state *after)
{
    char why[SIM_WHY_MAX / 2];
    bool may_be_before = !is_acked || a->is_refused;
    if (states_are_equal(seen, after, k->follows) ||
        (may_be_before && states_are_equal(seen, before, NULL)))
        return true;
    if (may_be_before && k->unit != ADMIN_WHOLE && lines_are_of(seen, before, after))
        return true;
    first_difference(seen, after, why, sizeof why);
    return sim_fail(a->sim, "%s: %s", is_acked ? "acknowledged, but not there" : "a mixture", why);
}

static bool producer_id_is_new(struct admin *a)
{
    const struct admin_case *ids = NULL;
    for (uint32_t i = 0; i < admin_cases_n; i++)
        if (admin_cases[i].api_key == 22)
            ids = &admin_cases[i];
    check(ids != NULL);
    if (!admin_insist(a, 22, 4, ids->request))
        return false;
    const struct init_producer_id_response *r = a->response;
    return r->producer_id >= a->producer_id_min ||
           sim_fail(a->sim, "producer id %" PRId64 " is given again", r->producer_id);
}

/* ── a cut ── */

enum cut { CUT_MADE, CUT_LATE, CUT_FAILED };

/* A planted bug: the logs of a topic go before the record that deletes it is durable. */
static void plant_drop(struct admin *a)
{
    static const char *const dirs[] = {"/data", "/data2", "/data3"};
    for (size_t i = 0; i < array_n(dirs); i++) {
        char from[64], to[128];
        snprintf(from, sizeof from, "%s/a-0", dirs[i]);
        snprintf(to, sizeof to, "%s/a-0.0123456789abcdef0123456789abcdef-delete", dirs[i]);
        int rc = disk_rename(sim_disk_disk(a->sim->disk), from, to);
        check(rc == 0 || rc == E_NOT_FOUND); /* in one of them it is */
    }
}

static enum cut admin_cut(const struct sim_options *options, const struct admin_case *k, uint64_t n,
                          enum sim_crash kind, const struct admin_state *before,
                          const struct admin_state *after, char *why)
{
    struct admin *a = admin_new(options);
    struct admin_state *seen = calloc(1, sizeof *seen);
    check(seen != NULL);
    bool ok = admin_begin(a, k);
    if (ok && options->plant == SIM_PLANT_DROP_EARLY && k->api_key == 20)
        plant_drop(a);
    sim_disk_die_at(a->sim->disk, n);
    bool is_acked = ok && admin_ask(a, k);
    for (int i = 0; is_acked && i < ADMIN_AFTER_STEPS && !sim_disk_is_dead(a->sim->disk); i++)
        ok = ok && sim_step(a->sim);
    bool is_late = !sim_disk_is_dead(a->sim->disk);
    uint64_t later_ns = is_acked && k->unit == ADMIN_LATER ? ADMIN_LATER_NS : 0;
    ok = ok && a->sim->why[0] == 0;
    ok = ok && admin_restart_and_look(a, kind, later_ns, seen) &&
         admin_judge(a, k, is_acked, seen, before, after) && producer_id_is_new(a);
    if (options->is_verbose && options->cut_at != 0)
        fprintf(stderr, "%sacknowledged: %s\n-- seen:\n%s-- before:\n%s-- after:\n%s",
                is_late ? "late, " : "", is_acked ? "yes" : "no", seen->text, before->text,
                after->text);
    memcpy(why, a->sim->why, SIM_WHY_MAX);
    free(seen);
    admin_free(a);
    return !ok ? CUT_FAILED : is_late ? CUT_LATE : CUT_MADE;
}

static void admin_report(const struct sim_options *options, const struct admin_case *k, uint64_t n,
                         enum sim_crash kind, const char *why)
{
    if (options->plant == SIM_PLANT_NONE)
        printf("admin %s FAILED, cut at operation %" PRIu64 ": %s\n"
               "  replay: build/sim --admin=%s --seed %" PRIu64 " --at %" PRIu64 " --cut %s%s "
               "--verbose\n",
               k->name, n, why, k->name, options->seed, n, kind == SIM_KILL ? "kill" : "power",
               options->workers_n == 3 ? " --workers 3" : "");
}

/* Every cut of one request; how many were made, -1 when one failed. */
static int64_t admin_case_run(const struct sim_options *options, const struct admin_case *k)
{
    char why[SIM_WHY_MAX];
    struct admin_state *states = calloc(2, sizeof *states);
    int64_t cuts_n = 0;
    check(states != NULL);
    if (!admin_reference(options, k, &states[0], &states[1], why)) {
        admin_report(options, k, 0, SIM_KILL, why);
        cuts_n = -1;
    }
    uint64_t first = options->cut_at != 0 ? options->cut_at : 1;
    uint64_t last = options->cut_at != 0 ? options->cut_at : ADMIN_CUTS_MAX;
    bool is_late = false;
    for (uint64_t n = first; cuts_n >= 0 && !is_late && n <= last; n++) {
        for (enum sim_crash kind = SIM_KILL; cuts_n >= 0 && kind <= SIM_POWER; kind++) {
            if (options->cut_kinds != 0 && options->cut_kinds != 1u << kind)
                continue;
            enum cut cut = admin_cut(options, k, n, kind, &states[0], &states[1], why);
            is_late |= cut == CUT_LATE;
            cuts_n++;
            if (cut == CUT_FAILED) {
                admin_report(options, k, n, kind, why);
                cuts_n = -1;
            }
        }
    }
    free(states);
    return cuts_n;
}

bool admin_run(const struct sim_options *options, const char *name, uint64_t *cuts_n)
{
    bool ok = true, any = false;
    for (uint32_t i = 0; i < admin_cases_n; i++) {
        if (name != NULL && strcmp(name, admin_cases[i].name) != 0)
            continue;
        int64_t n = admin_case_run(options, &admin_cases[i]);
        any = true;
        ok &= n >= 0;
        *cuts_n += n > 0 ? (uint64_t)n : 0;
        if (n >= 0 && options->is_verbose)
            printf("admin %s: %" PRId64 " cuts\n", admin_cases[i].name, n);
        if (n < 0 && options->plant != SIM_PLANT_NONE)
            return false; /* a planted bug is found */
    }
    return ok && any;
}
