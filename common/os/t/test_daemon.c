/* test_daemon.c - command line and signals of the daemons, and the log's lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/os/daemon.h"
#include "common/os/log.h"

static const struct conf_key keys[] = {
	{.name = "lifetime", .type = CONF_UINT, .help = "of a binding, s"},
	{.name = NULL},
};
static const struct daemon_info plain = {.name = "nemo-ha", .summary = "home agent", .keys = keys};
static const struct daemon_info keeping = {.name = "nemo-mr",
	.summary = "mobile router",
	.keep_help = "keep the tunnel",
	.keys = keys};

static char printed[4096]; /* by the last run(), on stdout and stderr */

static int run(const struct daemon_info *info, struct daemon_opts *opts, const char *line)
{
	FILE *f = tmpfile(), *out = stdout, *err = stderr;
	char copy[256], *argv[8], *save = NULL;
	int argc = 0, r;

	snprintf(copy, sizeof(copy), "%s %s", info->name, line);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	argv[argc] = NULL;
	optind = 0; /* getopt() starts anew */
	stdout = stderr = f;
	r = daemon_args(argc, argv, info, opts);
	stdout = out;
	stderr = err;
	rewind(f);
	printed[fread(printed, 1, sizeof(printed) - 1, f)] = '\0';
	fclose(f);
	return r;
}

static void options_are_read(void **state)
{
	struct daemon_opts o;

	(void)state;
	assert_int_equal(run(&plain, &o, ""), -1);
	assert_string_equal(o.conf, "/etc/nemo/nemo-ha.conf");
	assert_false(o.check || o.keep || o.debug);
	assert_int_equal(run(&keeping, &o, "-t -v -k"), -1);
	assert_string_equal(o.conf, "/etc/nemo/nemo-mr.conf");
	assert_true(o.check && o.keep && o.debug);
	assert_int_equal(run(&keeping, &o, "--check --verbose --keep --config x.conf"), -1);
	assert_true(o.check && o.keep && o.debug);
}

static void wrong_options_are_usage_errors(void **state)
{
	static const char *const wrong[] = {"-x", "--nonsense", "-c", "-k", "--keep", "more", NULL};
	struct daemon_opts o;

	(void)state;
	for (const char *const *w = wrong; *w; w++) {
		assert_int_equal(run(&plain, &o, *w), 2);
		assert_non_null(strstr(printed, "usage: nemo-ha "));
	}
}

static void help_comes_from_the_tables(void **state)
{
	struct daemon_opts o;

	(void)state;
	assert_int_equal(run(&plain, &o, "-h"), 0);
	assert_non_null(strstr(printed, "home agent"));
	assert_null(strstr(printed, "--keep"));
	assert_int_equal(run(&keeping, &o, "--help"), 0);
	assert_non_null(strstr(printed, "keep the tunnel"));
	assert_int_equal(run(&plain, &o, "--version"), 0);
	assert_string_equal(printed, "nemo-ha " NEMO_VERSION "\n");
	assert_int_equal(run(&plain, &o, "--config-help"), 0);
	assert_non_null(strstr(printed, "lifetime"));
}

struct calls {
	unsigned stop, reload;
};
static void on_stop(void *arg)
{
	((struct calls *)arg)->stop++;
}
static void on_reload(void *arg)
{
	((struct calls *)arg)->reload++;
}

static void signals_are_events(void **state)
{
	struct calls n = {0};
	sd_event *e;

	(void)state;
	assert_int_equal(daemon_loop(&e, on_stop, on_reload, &n), 0);
	kill(getpid(), SIGPIPE); /* nothing */
	kill(getpid(), SIGHUP);
	while (sd_event_run(e, 0) > 0)
		;
	assert_int_equal(n.reload, 1);
	kill(getpid(), SIGTERM);
	while (sd_event_run(e, 0) > 0)
		;
	assert_int_equal(n.stop, 1);
	assert_int_not_equal(sd_event_get_state(e), SD_EVENT_FINISHED);
	kill(getpid(), SIGINT); /* the second one, of either kind */
	assert_int_equal(sd_event_loop(e), EXIT_FAILURE);
	assert_int_equal(n.stop, 1);
	sd_event_unref(e);
}

static const char *logged(int level, const char *text)
{
	FILE *f = tmpfile(), *err = stderr;

	stderr = f;
	log_msg(level, "%s", text);
	stderr = err;
	rewind(f);
	printed[fread(printed, 1, sizeof(printed) - 1, f)] = '\0';
	fclose(f);
	return printed;
}

static void the_log_has_levels(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_init("nemo-ha", LOG_WARNING);
	assert_string_equal(logged(LOG_WARNING, "100% %s"), "nemo-ha: warn: 100% %s\n");
	assert_string_equal(logged(LOG_INFO, "more"), "");
	log_init("nemo-ha", LOG_DEBUG);
	assert_string_equal(logged(LOG_DEBUG, "all"), "nemo-ha: debug: all\n");
	setenv("JOURNAL_STREAM", "1:2", 1); /* some other process's */
	log_init("nemo-ha", LOG_INFO);
	assert_string_equal(logged(LOG_ERR, "here"), "nemo-ha: err: here\n");
}

static void time_does_not_stand_still(void **state)
{
	uint64_t t = daemon_now();

	(void)state;
	assert_true(t > 0);
	while (daemon_now() == t)
		;
	assert_true(daemon_now() - t < 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(wrong_options_are_usage_errors),
		cmocka_unit_test(help_comes_from_the_tables),
		cmocka_unit_test(signals_are_events),
		cmocka_unit_test(the_log_has_levels),
		cmocka_unit_test(time_does_not_stand_still),
	};

	log_init("test_daemon", LOG_ERR);
	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
