/* moves_test.c - moves.c, dirs.c: logs that go to another directory as control sees it, and a
 * directory that fails. */
#include "disk_tools.h"
#include "rig.h"

enum { DIRS = 3, WORKERS = 2, HELD_MAX = 8 };

static struct rig rig;
static struct log_dir dirs[DIRS];
static struct mail *held[HELD_MAX]; /* what workers were asked and have not answered */
static uint8_t held_worker[HELD_MAX];
static uint32_t held_n;
static uint32_t offline_n[DIRS];

static void on_mail(struct rig *r, uint8_t worker, struct mail *mail)
{
    if (mail->kind == MAIL_DIRECTORY) {
        offline_n[container_of(mail, struct dir_op, mail)->dir]++;
        mail_answer(&r->posts[worker], mail);
        return;
    }
    assert_true(held_n < HELD_MAX);
    held_worker[held_n] = worker;
    held[held_n++] = mail;
}

static int setup(void **state)
{
    static const char *const paths[DIRS] = {"data", "b", "c"};
    (void)state;
    rig_init(&rig, WORKERS);
    for (int i = 0; i < DIRS; i++) {
        dirs[i] = (struct log_dir){.is_online = true, .is_clean = true};
        snprintf(dirs[i].path, sizeof dirs[i].path, "%s", paths[i]);
        memset(dirs[i].id.b, 7 + i, sizeof dirs[i].id.b);
    }
    rig.dirs = dirs;
    rig.dirs_n = DIRS;
    rig.on_mail = on_mail;
    rig.has_bulk = true;
    held_n = 0;
    memset(offline_n, 0, sizeof offline_n);
    for (int i = 1; i < DIRS; i++)
        assert_int_equal(disk_make_directory(&rig.disk.disk, dirs[i].path), 0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "a", 6), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* A request and what it points to. */
struct asking {
    struct control_op op;
    int32_t partition;
    struct alter_replica_log_dirs_request_dirs_topics topic;
    struct alter_replica_log_dirs_request_dirs dir;
    struct alter_replica_log_dirs_request request;
};

static void ask_begin(struct asking *a, uint8_t dir, int32_t partition)
{
    a->partition = partition;
    a->topic =
        (struct alter_replica_log_dirs_request_dirs_topics){bytes_of_string("a"), &a->partition, 1};
    a->dir =
        (struct alter_replica_log_dirs_request_dirs){bytes_of_string(dirs[dir].path), &a->topic, 1};
    a->request = (struct alter_replica_log_dirs_request){&a->dir, 1};
    rig_send(&rig, &a->op, 34, 2, &a->request);
}

static int16_t ask_end(struct asking *a)
{
    for (int i = 0; i < 200 && !a->op.mail.is_answer; i++)
        rig_turn(&rig);
    assert_true(a->op.mail.is_answer);
    const struct alter_replica_log_dirs_response *r = a->op.response;
    int16_t code = r->results[0].partitions[0].error_code;
    arena_fini(&a->op.arena);
    return code;
}

static int16_t ask(uint8_t dir, int32_t partition)
{
    struct asking a;
    ask_begin(&a, dir, partition);
    return ask_end(&a);
}

static void turns(int n)
{
    while (n-- > 0)
        rig_turn(&rig);
}

static const struct view_topic *rig_view_topic(void)
{
    return view_topic_by_name(rig_view(&rig), bytes_of_string("a"));
}

static const struct view_partition *view_of(int32_t partition)
{
    return &rig_view_topic()->partitions[partition];
}

/* The worker's next request of us; it is answered by `answer`. */
static struct move_op *take(enum move_step step)
{
    for (int i = 0; i < 50 && held_n == 0; i++)
        rig_turn(&rig);
    assert_int_equal(held_n, 1);
    assert_int_equal(held[0]->kind, MAIL_MOVE);
    struct move_op *op = container_of(held[0], struct move_op, mail);
    assert_int_equal(op->step, step);
    return op;
}

static void answer(struct move_op *op, int error)
{
    op->error = error;
    held_n = 0;
    mail_answer(&rig.posts[held_worker[0]], &op->mail);
    turns(3);
}

static void log_arrives_when_the_record_is_durable(void **state)
{
    (void)state;
    uint8_t from = view_of(0)->dir, to = (uint8_t)((from + 1) % DIRS);
    assert_int_equal(ask(to, 0), 0);
    assert_int_equal(view_of(0)->future_dir, to);
    struct move_op *op = take(MOVE_LOG_BEGIN);
    assert_int_equal(op->dir, to);
    int64_t end = rig.control->state.end_offset;
    turns(20);
    assert_int_equal(rig.control->state.end_offset, end);
    answer(op, 0);
    op = take(MOVE_LOG_FINISH); /* not before the view says so */
    assert_true(rig.control->state.end_offset > end);
    assert_int_equal(view_of(0)->dir, to);
    assert_int_equal(view_of(0)->future_dir, DIR_NONE);
    answer(op, E_NO_MEMORY);
    answer(take(MOVE_LOG_FINISH), 0);
    turns(20);
    assert_int_equal(held_n, 0);
    assert_true(control_is_quiet(rig.control));
    assert_int_equal(ask(to, 0), 0); /* it is there */
    turns(20);
    assert_int_equal(held_n, 0);
}

static void move_that_failed_leaves_it_where_it_was(void **state)
{
    (void)state;
    uint8_t from = view_of(0)->dir, to = (uint8_t)((from + 1) % DIRS);
    assert_int_equal(ask(to, 0), 0);
    answer(take(MOVE_LOG_BEGIN), E_DISK_FULL);
    turns(20);
    assert_int_equal(view_of(0)->dir, from);
    assert_int_equal(view_of(0)->future_dir, DIR_NONE);
    assert_int_equal(ask(to, 0), 0);
    assert_non_null(take(MOVE_LOG_BEGIN));
}

/* To its own directory: the move is taken back. To a third one: that one instead. */
static void later_wish_counts(void **state)
{
    (void)state;
    uint8_t from = view_of(0)->dir, to = (uint8_t)((from + 1) % DIRS),
            third = (uint8_t)((from + 2) % DIRS);
    struct asking other;
    assert_int_equal(ask(to, 0), 0);
    struct move_op *op = take(MOVE_LOG_BEGIN);
    held_n = 0;
    ask_begin(&other, third, 0); /* it is answered when nothing of the first one is left */
    turns(5);
    assert_false(other.op.mail.is_answer);
    assert_int_equal(held_n, 1);
    assert_int_equal(held[0]->kind, MAIL_MOVE_CANCEL);
    assert_ptr_equal(container_of(held[0], struct cancel_move, mail)->op, op);
    uint8_t worker = held_worker[0];
    struct mail *cancel = held[0];
    answer(op, E_CLOSED); /* the cancel's memory is still away */
    held_n = 0;
    turns(5);
    mail_answer(&rig.posts[worker], cancel);
    assert_int_equal(ask_end(&other), 0);
    op = take(MOVE_LOG_BEGIN);
    assert_int_equal(op->dir, third);
    held_n = 0;
    assert_int_equal(ask(from, 0), 0);
    turns(5);
    assert_int_equal(held[0]->kind, MAIL_MOVE_CANCEL);
    mail_answer(&rig.posts[worker], held[0]);
    held_n = 0;
    turns(5);
    answer(op, 0); /* it was ready a moment before */
    answer(take(MOVE_LOG_GIVE_UP), E_CLOSED);
    turns(20);
    assert_int_equal(view_of(0)->dir, from);
    assert_int_equal(view_of(0)->future_dir, DIR_NONE);
    assert_int_equal(held_n, 0);
}

static void one_at_a_time_for_each_home(void **state)
{
    (void)state;
    uint32_t n[WORKERS] = {0};
    for (int32_t p = 0; p < 6; p++)
        assert_int_equal(ask((uint8_t)((view_of(p)->dir + 1) % DIRS), p), 0);
    turns(20);
    for (uint32_t i = 0; i < held_n; i++)
        n[held_worker[i]]++;
    for (int w = 0; w < WORKERS; w++)
        assert_true(n[w] <= 1);
    assert_true(held_n > 0);
}

/* How many directories of copies there are in `dir`. */
static int futures_in(uint8_t dir)
{
    struct names names;
    int n = 0;
    assert_int_equal(names_list(&rig.disk.disk, dirs[dir].path, &names), 0);
    for (uint32_t i = 0; i < names.n; i++)
        n += strstr(names.v[i], "-future") != NULL;
    names_free(&names);
    return n;
}

/* Its directory stands when it is answered, also while another one is under way; it goes when it is
 * taken back. */
static void answered_move_has_its_directory(void **state)
{
    (void)state;
    int32_t first = 0, second = 1;
    while (partition_home(&rig_view_topic()->id, second, WORKERS) !=
           partition_home(&rig_view_topic()->id, first, WORKERS))
        second++;
    uint8_t from = view_of(second)->dir, to = (uint8_t)((from + 1) % DIRS),
            third = (uint8_t)((from + 2) % DIRS);
    assert_int_equal(ask((uint8_t)((view_of(first)->dir + 1) % DIRS), first), 0);
    assert_non_null(take(MOVE_LOG_BEGIN));
    int before = futures_in(to), before_third = futures_in(third);
    struct asking a;
    ask_begin(&a, to, second);
    rig.has_bulk = false;
    turns(20);
    assert_false(a.op.mail.is_answer);
    rig.has_bulk = true;
    assert_int_equal(ask_end(&a), 0);
    assert_int_equal(view_of(second)->future_dir, to);
    assert_int_equal(futures_in(to), before + 1);
    assert_int_equal(ask(third, second), 0);
    assert_int_equal(futures_in(to), before);
    assert_int_equal(futures_in(third), before_third + 1);
    assert_int_equal(ask(from, second), 0);
    turns(20);
    assert_int_equal(futures_in(third), before_third);
    assert_int_equal(view_of(second)->future_dir, DIR_NONE);
    assert_int_equal(held_n, 1);
}

/* What a start finds goes on, in a directory of its own. */
static void found_copy_is_moved_on(void **state)
{
    char path[DISK_PATH_MAX];
    struct bytes name = bytes_of_string("a");
    (void)state;
    const struct uuid id = rig_view_topic()->id;
    uint8_t to = (uint8_t)((view_of(0)->dir + 1) % DIRS);
    future_path(path, dirs[to].path, name, 0, 99);
    assert_int_equal(future_make(&rig.disk.disk, path, &id, 0, FUTURE_NO_OTHERS), 0);
    uint8_t there = (uint8_t)((to + 1) % DIRS) == view_of(0)->dir ? (uint8_t)((to + 2) % DIRS)
                                                                  : (uint8_t)((to + 1) % DIRS);
    struct uuid unknown = {{1}};
    state_topic_by_id(&rig.control->state, &id)->partitions[0].is_found = true; /* by the sweep */
    assert_true(control_finds_future(rig.control, name, 0, &unknown, to));
    assert_false(control_finds_future(rig.control, name, 0, &id, to));
    assert_true(control_finds_future(rig.control, name, 0, &id, there));
    assert_int_equal(take(MOVE_LOG_BEGIN)->dir, to);
    assert_int_equal(futures_in(to), 1);
    struct disk_stat stat;
    assert_int_equal(disk_stat(&rig.disk.disk, path, &stat), E_NOT_FOUND);
}

static void deleted_topic_ends_its_moves(void **state)
{
    (void)state;
    assert_int_equal(ask((uint8_t)((view_of(0)->dir + 1) % DIRS), 0), 0);
    struct move_op *op = take(MOVE_LOG_BEGIN);
    held_n = 0;
    assert_int_equal(rig_delete(&rig, "a"), 0);
    answer(op, 0);
    answer(take(MOVE_LOG_GIVE_UP), E_NOT_FOUND);
    turns(20);
    assert_int_equal(held_n, 0);
    assert_true(control_is_quiet(rig.control));
}

/* What one worker has met is decided for all, once. */
static void failed_directory_is_offline_for_all(void **state)
{
    (void)state;
    struct dir_op one = {.dir = 1}, two = {.dir = 1};
    list_init(&one.mail.link);
    list_init(&two.mail.link);
    mail_send(&rig.posts[0], WORKERS, MAIL_DIRECTORY, &one.mail);
    mail_flush(&rig.posts[0]);
    turns(20);
    assert_true(one.mail.is_answer && one.is_first && !one.is_last);
    assert_int_equal(offline_n[1], WORKERS);
    assert_int_equal(rig_view(&rig)->dirs_offline, 1u << 1);
    for (int32_t p = 0; p < 6; p++) {
        assert_int_equal(view_of(p)->is_offline, view_of(p)->dir == 1);
        assert_int_equal(view_of(p)->leader, view_of(p)->dir == 1 ? -1 : 1);
    }
    mail_send(&rig.posts[1], WORKERS, MAIL_DIRECTORY, &two.mail);
    mail_flush(&rig.posts[1]);
    turns(20);
    assert_false(two.is_first);
    assert_int_equal(offline_n[1], WORKERS);
    int32_t other = 0;
    while (view_of(other)->dir == 1)
        other++;
    assert_int_equal(ask(1, other), 56);
    assert_int_equal(rig_create(&rig, "b", 6), 0);
    for (int i = 0; i < 6; i++)
        assert_int_not_equal(
            view_topic_by_name(rig_view(&rig), bytes_of_string("b"))->partitions[i].dir, 1);
    struct dir_op rest[2] = {{.dir = 0}, {.dir = 2}};
    for (int i = 0; i < 2; i++) {
        list_init(&rest[i].mail.link);
        mail_send(&rig.posts[0], WORKERS, MAIL_DIRECTORY, &rest[i].mail);
    }
    mail_flush(&rig.posts[0]);
    turns(20);
    assert_true(!rest[0].is_last && rest[1].is_last);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log_arrives_when_the_record_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(move_that_failed_leaves_it_where_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(later_wish_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(one_at_a_time_for_each_home, setup, teardown),
        cmocka_unit_test_setup_teardown(answered_move_has_its_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(found_copy_is_moved_on, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_topic_ends_its_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_directory_is_offline_for_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
