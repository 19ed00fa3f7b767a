/* privileges.h - what a daemon gives up once everything is open, and before it parses anything. */
#pragma once

#include <stdbool.h>

/* Has it what a start needs?  Else it says so. */
bool privileges_suffice(void);
/* Becomes 'user' ("" or one that does not exist: the user id stays) and keeps of all capabilities
 * those in 'keep' only (CAP_*, -1 ends the list); sets no_new_privs and forbids core dumps and
 * debuggers.  Before the process has a second thread: capabilities are a thread's.  0, or -errno
 * after a line in the log. */
int privileges_drop(const char *user, const int *keep);
