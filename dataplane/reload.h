/*
 * reload.h - SIGHUP: server.properties is read again.
 *
 * Owner: main.
 */
#ifndef MILLRACE_RELOAD_H
#define MILLRACE_RELOAD_H

#include "broker.h"

/* Owner: main. */
struct reloader {
    struct broker *broker;
    /* Reads file and overrides into a new config, telling what is wrong. */
    int (*read)(const void *context, struct config **out);
    const void *context;
    bool has_file;
    struct config *current; /* in force; NULL: that of the boot */
    struct config *next;    /* at control; NULL: none is */
    int changed_n;          /* in it */
    bool is_due;            /* SIGHUP came while another one was under way */
};

/* The signal came. */
void reload_ask(struct reloader *reloader);
/* Often: has control done it? */
void reload_look(struct reloader *reloader);
/* After the threads have ended. */
void reload_end(struct reloader *reloader);

#endif
