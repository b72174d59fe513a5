/* moves_test.c - moves.c, dirs.c: logs that go to another directory as control sees it, and a
 * directory that fails. */
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
    held_n = 0;
    memset(offline_n, 0, sizeof offline_n);
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

static int16_t ask(uint8_t dir, int32_t partition)
{
    struct control_op op;
    struct alter_replica_log_dirs_request_dirs_topics t = {bytes_of_string("a"), &partition, 1};
    struct alter_replica_log_dirs_request_dirs d = {bytes_of_string(dirs[dir].path), &t, 1};
    struct alter_replica_log_dirs_request request = {&d, 1};
    struct alter_replica_log_dirs_response *r = rig_ask(&rig, &op, 34, 2, &request);
    int16_t code = r->results[0].partitions[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static void turns(int n)
{
    while (n-- > 0)
        rig_turn(&rig);
}

static const struct view_partition *view_of(int32_t partition)
{
    return &view_topic_by_name(rig_view(&rig), bytes_of_string("a"))->partitions[partition];
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
    assert_int_equal(ask(to, 0), 0);
    struct move_op *op = take(MOVE_LOG_BEGIN);
    held_n = 0;
    assert_int_equal(ask(third, 0), 0);
    turns(5);
    assert_int_equal(held_n, 1);
    assert_int_equal(held[0]->kind, MAIL_MOVE_CANCEL);
    assert_ptr_equal(container_of(held[0], struct cancel_move, mail)->op, op);
    uint8_t worker = held_worker[0];
    struct mail *cancel = held[0];
    answer(op, E_CLOSED); /* the cancel's memory is still away */
    held_n = 0;
    turns(5);
    mail_answer(&rig.posts[worker], cancel);
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
        cmocka_unit_test_setup_teardown(deleted_topic_ends_its_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_directory_is_offline_for_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
