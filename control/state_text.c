/*
 * state_text.c - the state as text: what the records made, in a canonical order.
 *
 * Owner: control.
 *
 * Two states that the same records made have the same text; nothing marked `runtime` is in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "state.h"

static void text_id(FILE *to, const struct uuid *id)
{
    for (uint32_t i = 0; i < sizeof id->b; i++)
        fprintf(to, "%02x", id->b[i]);
}

static void text_settings(FILE *to, const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->n; i++)
        fprintf(to, "  %s = %s\n", settings->v[i].key, settings->v[i].value);
}

static void text_partition(FILE *to, int32_t number, const struct partition *p)
{
    fprintf(to, "  partition %d leader %d epoch %d/%d recovery %d replicas", number, p->leader,
            p->leader_epoch, p->partition_epoch, p->recovery);
    for (uint16_t i = 0; i < p->replicas_n; i++)
        fprintf(to, " %d", p->nodes[i]);
    fprintf(to, " isr");
    for (uint16_t i = 0; i < p->isr_n; i++)
        fprintf(to, " %d", p->nodes[p->replicas_n + i]);
    fprintf(to, " directory ");
    text_id(to, &p->directory);
    fputc('\n', to);
}

static void text_topic(FILE *to, const struct topic *topic)
{
    fprintf(to, "topic %s ", topic->name);
    text_id(to, &topic->id);
    fputc('\n', to);
    text_settings(to, &topic->settings);
    for (int32_t i = 0; i < topic->partitions_n; i++)
        text_partition(to, i, &topic->partitions[i]);
}

char *state_text(struct state *state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = state_settle(state) < 0 ? NULL : open_memstream(&text, &n);
    if (to == NULL)
        return NULL;
    fprintf(to, "end %" PRId64 " epoch %d producer ids %" PRId64 " held %" PRIu64 "\n",
            state->end_offset, state->epoch, state->next_producer_id, state->held_n);
    for (uint32_t i = 0; i < state->features_n; i++)
        fprintf(to, "feature %s %d\n", state->features[i].name, state->features[i].level);
    for (uint32_t i = 0; i < state->brokers_n; i++) {
        const struct broker *b = &state->brokers[i];
        fprintf(to, "broker %d epoch %" PRId64 " fenced %d stopping %d ", b->id, b->epoch,
                b->is_fenced, b->in_shutdown);
        text_id(to, &b->incarnation);
        fputc('\n', to);
    }
    for (uint32_t i = 0; i < state->resources_n; i++) {
        if (state->resources[i].settings.n == 0)
            continue;
        fprintf(to, "resource %d '%s'\n", state->resources[i].type, state->resources[i].name);
        text_settings(to, &state->resources[i].settings);
    }
    for (uint32_t i = 0; i < state->live_n; i++)
        text_topic(to, state->topics[i]);
    fclose(to);
    return text;
}
