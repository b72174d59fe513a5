/*
 * reload.c - SIGHUP: server.properties is read again, judged as at a start, and given to control.
 *
 * Owner: main.
 *
 * A file that could not start the broker changes nothing. What differs from the settings in force
 * is told on stderr, one line each: "changed" or "needs a restart", and a last line when control
 * has put it in force. One reading is under way at a time; signals that come meanwhile are one
 * more.
 *
 * What it does not do: overrides of the command line stand over the file as at the start, and what
 * clients have set (AlterConfigs) stands over both.
 */
#include "reload.h"

#include <unistd.h>

static const struct config *in_force(const struct reloader *r)
{
    return r->current != NULL ? r->current : r->broker->config;
}

static void control_wake(struct broker *b)
{
    const struct post *post = broker_post(b, broker_control_thread(b));
    uint64_t one = 1;

    if (post->event_fd >= 0 && write(post->event_fd, &one, sizeof one) < 0)
        one = 0; /* the descriptor is full: control is awake */
}

void reload_ask(struct reloader *r)
{
    struct reload *slot = control_reload(r->broker->control);
    int rc;

    if (!r->has_file) {
        fprintf(stderr, "settings: SIGHUP: there is no file to read again\n");
        return;
    }
    if (r->next != NULL) {
        r->is_due = true;
        return;
    }
    rc = r->read(r->context, &r->next);
    if (rc == 0 && (rc = config_renew(r->next, in_force(r), stderr)) >= 0)
        r->changed_n = rc;
    if (rc >= 0)
        rc = config_check(r->next, stderr); /* what stays and what is new, together */
    if (rc < 0) {
        fprintf(stderr, "settings: SIGHUP: the file cannot be used (above): nothing changed\n");
        config_free(r->next);
        r->next = NULL;
        return;
    }
    slot->config = r->next;
    /* R1: pairs with the acquire load in reload_work. */
    atomic_store_explicit(&slot->state, RELOAD_ASKED, memory_order_release);
    control_wake(r->broker);
}

void reload_look(struct reloader *r)
{
    struct reload *slot = control_reload(r->broker->control);

    /* R2: pairs with the release store in reload_work. */
    if (r->next == NULL || atomic_load_explicit(&slot->state, memory_order_acquire) != RELOAD_DONE)
        return;
    atomic_store_explicit(&slot->state, RELOAD_IDLE, memory_order_relaxed);
    fprintf(stderr, "settings: SIGHUP: the file was read again: %d changed, in force\n",
            r->changed_n);
    config_free(r->current);
    r->current = r->next;
    r->next = NULL;
    if (r->is_due) {
        r->is_due = false;
        reload_ask(r);
    }
}

void reload_end(struct reloader *r)
{
    config_free(r->current);
    config_free(r->next);
    r->current = r->next = NULL;
}
