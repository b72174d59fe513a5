/*
 * broker_dirs.h - the log directories of a broker: named, taken, given back.
 *
 * Owner: main at boot and stop.
 */
#ifndef MILLRACE_BROKER_DIRS_H
#define MILLRACE_BROKER_DIRS_H

#include "broker.h"

/* None is ours yet. */
void dirs_none(struct broker *b);
/* Names from log.dirs (or log.dir) and metadata.log.dir. E_INVALID with b->why. */
nodiscard int dirs_parse(struct broker *b);
/* Takes the metadata log's directory, which has to be there, and every other one that can be taken.
 * b->why on failure. */
nodiscard int dirs_take(struct broker *b);
/* A first start failed before anything was served: what it made is removed again. One with an old
 * metadata log changes nothing: it may name the new directories already. */
void dirs_undo(struct broker *b);
/* Gives the locks back. */
void dirs_give(struct broker *b);

#endif
