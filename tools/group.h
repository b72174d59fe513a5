/*
 * group.h - what the commands of `millrace group` share.
 *
 * Owner: the process, which has one thread.
 */
#ifndef MILLRACE_GROUP_COMMAND_H
#define MILLRACE_GROUP_COMMAND_H

#include "remote.h"
#include "messages.h"

enum { TIME_END = -1, TIME_BEGINNING = -2 };

/* One offset that a group committed, and what the partition holds. */
struct group_offset {
    struct bytes topic;
    int32_t partition;
    int64_t committed, end; /* -1: not known */
    struct bytes metadata;
    struct bytes owner, client_id, host; /* of the member that has it; n 0: nobody */
    int16_t error;
};
struct group_offsets {
    struct group_offset *v; /* in the client's arena */
    uint32_t n;
};

/* One member. */
struct group_member_line {
    struct bytes id, instance, client_id, host; /* instance.ptr NULL: dynamic */
    int32_t epoch;                              /* KIP-848; -1: classic */
};
/* All of one group, in the client's arena. */
struct group_lines {
    struct bytes name, state, protocol_type, protocol; /* protocol: the assignor */
    const char *type;                                  /* "classic" or "consumer" (KIP-848) */
    struct group_member_line *members;
    uint32_t members_n;
    struct group_offsets offsets; /* by topic and partition; also those assigned only */
};

/* "group: what the broker says", CLI_FAILED. */
int group_failed(const struct cli *cli, const char *group, int16_t code);
/* All that the group committed; 0, E_ with c->why, or a positive Kafka code. */
nodiscard int group_offsets_ask(struct client *c, const char *group, struct group_offsets *out);
/* Offsets of partitions by time (TIME_ or ms); `to` gets -1 where there is none. Same result. */
nodiscard int group_list_offsets(struct client *c, const struct group_offset *v, uint32_t n,
                                 int64_t time, int64_t *to);
/* "orders:3" -> "orders" and 3; without a number -1. */
int32_t group_split_partition(char *text);
/* group_forget.c: deletes what the group has committed for these topics or partitions (TOPIC[:P]),
 * and says what. */
int group_forget(const struct cli *cli, struct client *c, const char *group, char **topics,
                 uint32_t topics_n);
/* The names behind the global options, at most so many; false: the command ends with *status. */
bool group_take_names(struct cli *cli, int argc, char **argv, int most, int *status);
/* group_describe.c */
int group_describe(struct cli *cli, int argc, char **argv);
extern const char group_describe_help[];
/* Members, offsets, ends and owners. CLI_OK, or CLI_FAILED when the reason was printed. */
nodiscard int group_ask(const struct cli *cli, struct client *c, const char *name,
                        struct group_lines *out);
/* Records behind; -1: not known. */
int64_t group_lag(const struct group_offset *o);
struct table;
void group_owner_cell(struct table *table, struct bytes owner);
/* group_explain.c */
int group_explain(struct cli *cli, int argc, char **argv);
extern const char group_explain_help[];
/* group_reset.c */
int group_reset(struct cli *cli, int argc, char **argv);
extern const char group_reset_help[];

#endif
