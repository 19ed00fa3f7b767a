/* log.h - the daemons' log: stderr when it is a terminal or a file, the journal with its priorities
 * and fields under systemd.  err = an operator must act; warn = wrong but handled; info = one line
 * per state change; debug = per message.  Never per data packet. */
#pragma once
#include <stdbool.h>
#include <syslog.h>

#define WHY_SIZE 256 /* octets of a reason that a function fills in for the log */

void log_init(const char *ident, int max_level); /* LOG_ERR..LOG_DEBUG */
bool log_takes(int level);                       /* a line of this level would be written */
/* The same with fields for the journal: N strings "NAME=VALUE", besides the line. */
void log_fields(int level, const char *line, const char *const *fields, unsigned n);
void log_msg(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_err(...)   log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
