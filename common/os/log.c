/* log.c - to stderr, or to the journal when stderr is the journal's. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always name this file */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>
#include "common/os/log.h"

static const char *ident = "nemo";
static int max = LOG_INFO;
static bool journal;

/* systemd names its stream DEVICE:INODE, since a child may have redirected stderr */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *name, int max_level)
{
	ident = name;
	max = max_level;
	journal = stderr_is_journal();
}

bool log_takes(int level)
{
	return level <= max;
}

#define MAX_FIELDS 16

static void to_journal(int level, const char *line, const char *const *fields, unsigned n)
{
	char message[1100], priority[16], identifier[64];
	const char *own[] = {message, priority, identifier};
	struct iovec v[3 + MAX_FIELDS];
	int k = 0;

	snprintf(message, sizeof(message), "MESSAGE=%s", line);
	snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
	snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s", ident);
	for (unsigned i = 0; i < 3; i++)
		v[k++] = (struct iovec){(void *)own[i], strlen(own[i])};
	for (unsigned i = 0; i < n && i < MAX_FIELDS; i++)
		v[k++] = (struct iovec){(void *)fields[i], strlen(fields[i])};
	sd_journal_sendv(v, k);
}

void log_fields(int level, const char *line, const char *const *fields, unsigned n)
{
	static const char *const names[] = {
		[LOG_ERR] = "err",
		[LOG_WARNING] = "warn",
		[LOG_NOTICE] = "info",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};
	const char *name = level >= LOG_ERR && level <= LOG_DEBUG ? names[level] : "err";

	if (level > max)
		return;
	if (journal)
		to_journal(level, line, fields, n);
	else
		fprintf(stderr, "%s: %s: %s\n", ident, name, line);
}

void log_msg(int level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (level > max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_fields(level, text, NULL, 0);
}
