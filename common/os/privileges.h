/* privileges.h - what a daemon gives up once everything is open, and before it parses anything. */
#pragma once

/* Becomes 'user' ("" or one that does not exist: the user id stays) and keeps of all capabilities
 * CAP_NET_ADMIN and CAP_NET_RAW only, which netlink and packet sockets of later interfaces need;
 * sets no_new_privs and forbids core dumps and debuggers.  0, or -errno after a line in the log. */
int privileges_drop(const char *user);
