/* marks.h - a small file of numbers that only grow and have to survive a restart: the floors of
 * replay protection.  One fixed record each, written in place. */
#pragma once
#include <stdbool.h>
#include "common/sec/sec.h"

struct marks;
/* Opens or makes 'path' (mode 0600).  Numbers written without marks_close() before the host itself
 * went down may be old ones: those that would then be dangerous are forgotten.  0 or -errno
 * (-EBADMSG: the file is something else, -EAGAIN: another process has it). */
int marks_open(struct marks **, const char *path);
bool marks_get(const struct marks *, struct sec_mark *); /* fills 'value' */
int marks_put(struct marks *, const struct sec_mark *);  /* 0 or -errno; it is remembered anyway */
void marks_close(struct marks *);                        /* accepts NULL */
