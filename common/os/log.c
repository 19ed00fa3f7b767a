/* log.c - to stderr, or to the journal when stderr is the journal's. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would always name this file */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

void log_msg(int level, const char *fmt, ...)
{
	static const char *const names[] = {
		[LOG_ERR] = "err",
		[LOG_WARNING] = "warn",
		[LOG_NOTICE] = "info",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};
	const char *name = level >= LOG_ERR && level <= LOG_DEBUG ? names[level] : "err";
	char text[1024];
	va_list ap;

	if (level > max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (journal)
		sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", level, "SYSLOG_IDENTIFIER=%s",
			ident, NULL);
	else
		fprintf(stderr, "%s: %s: %s\n", ident, name, text);
}
