/*
 * group_protocol.h - what consumers of the classic protocol put into JoinGroup and SyncGroup:
 * ConsumerProtocolSubscription and ConsumerProtocolAssignment.
 *
 * Owner: whoever calls; pure functions.
 *
 * Bytes are int16 version, then the struct. A version above 3 is read as 3, as Kafka's clients do.
 */
#ifndef MILLRACE_GROUP_PROTOCOL_H
#define MILLRACE_GROUP_PROTOCOL_H

#include "arena.h"
#include "bytes.h"

enum { CONSUMER_PROTOCOL_MAX = 3 };

struct consumer_protocol_subscription;
struct consumer_protocol_assignment;

/* E_MALFORMED, E_NO_MEMORY. What is decoded views `from` and the arena. */
nodiscard int consumer_subscription_decode(struct bytes from, struct arena *arena,
                                           struct consumer_protocol_subscription *out);
/* No bytes are no partitions. */
nodiscard int consumer_assignment_decode(struct bytes from, struct arena *arena,
                                         struct consumer_protocol_assignment *out);
/* In the version of `metadata` (a subscription); heap, ptr NULL: no memory. */
struct bytes consumer_assignment_encode(const struct consumer_protocol_assignment *assignment,
                                        struct bytes metadata);

#endif
