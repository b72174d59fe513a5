/*
 * alteration.h - one resource of an AlterConfigs or IncrementalAlterConfigs on its way through the
 * checks.
 *
 * Owner: the request.
 */
#ifndef MILLRACE_ALTERATION_H
#define MILLRACE_ALTERATION_H

#include "control_inside.h"
#include "settings_check.h"

enum { ALTER_SET, ALTER_DELETE, ALTER_APPEND, ALTER_SUBTRACT }; /* AlterConfigOp.OpType */
enum { RESOURCE_BROKER_LOGGER = 8 };

/* One setting a request names. */
struct alter_item {
    struct bytes key, value; /* value.ptr NULL: null */
    int8_t op;
};

struct alteration {
    int8_t type; /* enum resource_type, or whatever the request says */
    struct bytes name;
    struct alter_item *items;
    uint32_t items_n;
    bool replaces;                 /* AlterConfigs: what is not named goes away */
    const struct settings *before; /* NULL: none are set */
    struct settings after;         /* canonical */
    struct fault fault;            /* an empty text is null in the answer */
};

/* What does not need the settings there are: twice the same key, nulls, the kind of resource, whose
 * broker it is. False with the fault set. */
bool alteration_check_form(const struct control *control, struct alteration *alteration);
/* Fills `after` from `before` and the items, and judges it as Kafka does. False with the fault set.
 */
bool alteration_run(const struct control *control, struct alteration *alteration);

#endif
