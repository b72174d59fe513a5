/* list_test.c - list.h against an array of numbers. */
#include "list.h"

#include "prng.h"
#include "unit.h"

enum { NODES_N = 40 };

/* Owner: the test. */
struct node {
    int number;
    struct list link;
};

/* A list and the numbers it should hold, in order. Owner: the test. */
struct pair {
    struct list head;
    int v[NODES_N];
    int n;
};

static void pair_insert(struct pair *p, int at, int number)
{
    memmove(p->v + at + 1, p->v + at, (size_t)(p->n - at) * sizeof p->v[0]);
    p->v[at] = number;
    p->n++;
}

static void pair_remove(struct pair *p, int at)
{
    p->n--;
    memmove(p->v + at, p->v + at + 1, (size_t)(p->n - at) * sizeof p->v[0]);
}

static bool pair_take_out(struct pair *p, int number)
{
    for (int i = 0; i < p->n; i++)
        if (p->v[i] == number) {
            pair_remove(p, i);
            return true;
        }
    return false;
}

static void pair_check(const struct pair *p)
{
    const struct list *l = &p->head;
    assert_int_equal(list_is_empty(&p->head), p->n == 0);
    for (int i = 0; i < p->n; i++) {
        assert_ptr_equal(l->next->prev, l);
        l = l->next;
        assert_int_equal(list_entry(l, struct node, link)->number, p->v[i]);
    }
    assert_ptr_equal(l->next, &p->head);
    if (p->n > 0)
        assert_int_equal(list_first(&p->head, struct node, link)->number, p->v[0]);
    else
        assert_null(list_first(&p->head, struct node, link));
}

static void step(struct prng *prng, struct pair *a, struct pair *b, struct node *node)
{
    struct list *l;
    if (list_is_linked(&node->link)) {
        list_del(&node->link);
        assert_true(pair_take_out(a, node->number) || pair_take_out(b, node->number));
        return;
    }
    switch (prng_below(prng, 5)) {
    case 0:
        list_push(&a->head, &node->link);
        pair_insert(a, 0, node->number);
        break;
    case 1:
    case 2:
        list_append(&a->head, &node->link);
        pair_insert(a, a->n, node->number);
        break;
    case 3:
        l = list_pop(&a->head);
        assert_int_equal(l != NULL, a->n > 0);
        if (l != NULL) {
            assert_false(list_is_linked(l));
            assert_int_equal(list_entry(l, struct node, link)->number, a->v[0]);
            pair_remove(a, 0);
        }
        break;
    default:
        list_splice(&b->head, &a->head);
        for (int i = 0; i < a->n; i++)
            b->v[b->n++] = a->v[i];
        a->n = 0;
    }
}

static void list_random_operations_match_an_array(void **state)
{
    struct node nodes[NODES_N];
    struct pair a = {.n = 0}, b = {.n = 0};
    struct prng prng;
    (void)state;
    prng_init(&prng, 3);
    list_init(&a.head);
    list_init(&b.head);
    for (int i = 0; i < NODES_N; i++) {
        nodes[i].number = i;
        list_init(&nodes[i].link);
    }
    for (int i = 0; i < 20000; i++) {
        if (prng_chance(&prng, 50))
            step(&prng, &a, &b, &nodes[prng_below(&prng, NODES_N)]);
        else
            step(&prng, &b, &a, &nodes[prng_below(&prng, NODES_N)]);
        pair_check(&a);
        pair_check(&b);
    }
}

static void list_for_each_allows_deleting_the_current(void **state)
{
    struct node nodes[10];
    struct list head;
    int seen = 0;
    (void)state;
    list_init(&head);
    for (int i = 0; i < 10; i++) {
        nodes[i].number = i;
        list_append(&head, &nodes[i].link);
    }
    list_for_each(l, next, &head) {
        assert_int_equal(list_entry(l, struct node, link)->number, seen++);
        list_del(l);
    }
    assert_int_equal(seen, 10);
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(list_random_operations_match_an_array),
        TEST(list_for_each_allows_deleting_the_current),
    };
    return TESTS_RUN(tests);
}
