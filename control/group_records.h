/*
 * group_records.h - the records of __consumer_offsets: keys and values, to bytes and from bytes.
 *
 * Owner: control.
 *
 * A key is int16 record type, then its struct; a value is int16 version, then its struct; a null
 * value is a tombstone.
 */
#ifndef MILLRACE_GROUP_RECORDS_H
#define MILLRACE_GROUP_RECORDS_H

#include "arena.h"
#include "group.h"
#include "offsets.h"

/* Records on their way to a batch: behind one another, each u32 key length, key, u32 value length
 * (UINT32_MAX: null), value. Owner: a coordinator_write. */
struct group_records {
    uint8_t *v; /* heap */
    uint32_t n, max, records_n;
    int error; /* sticky: E_NO_MEMORY, E_TOO_LARGE */
};
void group_records_fini(struct group_records *records);
/* All of `from` behind what is there. */
void group_records_join(struct group_records *records, const struct group_records *from);
void group_records_offset(struct group_records *records, struct bytes group,
                          const struct offset *offset);
void group_records_offset_gone(struct group_records *records, struct bytes group,
                               struct bytes topic, int32_t partition);
/* The group as it is now. */
void group_records_metadata(struct group_records *records, const struct group *group);
void group_records_metadata_gone(struct group_records *records, struct bytes group);
/* Inside: u32 length, int16 `type`, the struct; a null value; only the latter counts a record. */
struct proto_message;
void group_records_put(struct group_records *records, int16_t type,
                       const struct proto_message *message, int16_t version, const void *value);
void group_records_put_null(struct group_records *records);
/* The next record from place `*at`; false at the end. */
bool group_records_next(const struct group_records *records, uint32_t *at, struct bytes *key,
                        struct bytes *value);

enum group_record_kind {
    GROUP_RECORD_OFFSET,
    GROUP_RECORD_METADATA,
    GROUP_RECORD_OTHER, /* of a kind that is not known here: newer groups */
};
/* A decoded record: views into key, value and the arena. */
struct group_record {
    uint8_t kind; /* enum group_record_kind */
    bool is_gone; /* tombstone */
    struct bytes group;
    struct offset offset;                  /* topic and partition also when gone */
    struct group_metadata_value *metadata; /* in the arena */
};
/* E_MALFORMED, E_UNSUPPORTED (a value version above ours), E_NO_MEMORY. */
nodiscard int group_record_decode(struct bytes key, struct bytes value, struct arena *arena,
                                  struct group_record *out);

#endif
