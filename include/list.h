/*
 * list.h - intrusive doubly linked list with a head; every operation O(1) but list_n.
 *
 * Owner: whoever owns the head. A node is in at most one list; list_init makes it "in none",
 * and list_del returns it to that, so list_is_linked is always true or false for good reason.
 */
#ifndef MILLRACE_LIST_H
#define MILLRACE_LIST_H

#include "base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* For a node: it is in some list. */
static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_add_between(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push(struct list *head, struct list *node) /* to the front */
{
    list_add_between(node, head, head->next);
}

static inline void list_append(struct list *head, struct list *node) /* to the end */
{
    list_add_between(node, head->prev, head);
}

static inline void list_del(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, removed; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
    struct list *node = head->next;
    if (node == head)
        return NULL;
    list_del(node);
    return node;
}

/* Moves all of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member) \
    (list_is_empty(head) ? NULL : list_entry((head)->next, type, member))
/* `next_` is a scratch struct list * of the caller: the current node may be deleted in the body. */
#define list_for_each(node, next_, head)                                        \
    for (struct list *node = (head)->next, *next_ = node->next; node != (head); \
         node = next_, next_ = node->next)

#endif
