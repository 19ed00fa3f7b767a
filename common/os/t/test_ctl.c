/* test_ctl.c - the control socket holds against clients that are wrong, slow or many.  Server and
 * clients share one thread: turn() runs the server's loop until it is idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/os/ctl.h"
#include "common/os/log.h"

#define HUGE  (10 << 20)
#define HELLO "{\"cmd\":\"echo\",\"text\":\"hello\"}\n"

static char dir[] = "/tmp/test_ctl.XXXXXX", path[64];
static sd_event *loop;
static struct ctl *ctl;
static unsigned n_runs;
static char answer[HUGE + 4096];

static json_t *cmd_echo(void *arg, const json_t *req, char *err)
{
	(void)err;
	assert_ptr_equal(arg, &n_runs);
	n_runs++;
	return json_incref(json_object_get(req, "text"));
}

static json_t *cmd_fail(void *arg, const json_t *req, char *err)
{
	(void)arg, (void)req;
	snprintf(err, 256, "no binding");
	return NULL;
}

static json_t *cmd_big(void *arg, const json_t *req, char *err)
{
	char *text = malloc(HUGE + 1);
	json_t *s;

	(void)arg, (void)req, (void)err;
	memset(text, 'x', HUGE);
	text[HUGE] = '\0';
	s = json_string(text);
	free(text);
	return s;
}

static const struct ctl_cmd cmds[] = {
	{"echo", "gives its text back", cmd_echo, false},
	{"fail", "fails", cmd_fail, false},
	{"big", "has a long answer", cmd_big, false},
	{0},
};

static void turn(void)
{
	while (sd_event_run(loop, 0) > 0)
		;
}

static int setup(void **state)
{
	(void)state;
	n_runs = 0;
	assert_int_equal(sd_event_new(&loop), 0);
	assert_int_equal(ctl_open(&ctl, loop, path, cmds, &n_runs), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ctl_close(ctl);
	ctl = NULL;
	loop = sd_event_unref(loop);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

static void knock(int fd)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
}

static int client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	knock(fd);
	turn();
	return fd;
}

/* Sends what the server takes; -1 with EPIPE once it has closed. */
static ssize_t put(int fd, const char *data, size_t size)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < size && (n = send(fd, data + done, size - done, MSG_NOSIGNAL)) >= 0) {
		done += (size_t)n;
		turn();
	}
	turn();
	return n < 0 ? -1 : (ssize_t)done;
}

/* Everything there is to read, in answer[]; the server writes on meanwhile. */
static size_t get(int fd)
{
	size_t size = 0;
	ssize_t n;

	while ((n = recv(fd, answer + size, sizeof(answer) - 1 - size, 0)) > 0) {
		size += (size_t)n;
		turn();
	}
	answer[size] = '\0';
	return size;
}

static bool is_closed(int fd)
{
	char c;

	turn();
	return recv(fd, &c, 1, 0) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static const char *ask(int fd, const char *line)
{
	put(fd, line, strlen(line));
	get(fd);
	return answer;
}

static void a_request_is_answered(void **state)
{
	int fd = client();

	(void)state;
	assert_string_equal(
		ask(fd, "{\"cmd\":\"echo\",\"text\":\"hi\"}\n"), "{\"ok\":true,\"data\":\"hi\"}\n");
	assert_string_equal(
		ask(fd, "{\"cmd\":\"fail\"}\n"), "{\"ok\":false,\"error\":\"no binding\"}\n");
	/* two at once, and the connection lasts */
	assert_string_equal(
		ask(fd, "{\"cmd\":\"echo\",\"text\":1}\n{\"cmd\":\"echo\",\"text\":2}\n"),
		"{\"ok\":true,\"data\":1}\n{\"ok\":true,\"data\":2}\n");
	assert_int_equal(n_runs, 3);
	assert_non_null(strstr(ask(fd, "{\"cmd\":\"help\"}\n"), "\"gives its text back\""));
	assert_non_null(strstr(answer, "\"monitor\""));
	close(fd);
}

static void an_unknown_command_names_the_known(void **state)
{
	int fd = client();

	(void)state;
	assert_string_equal(ask(fd, "{\"cmd\":\"ehco\"}\n"),
		"{\"ok\":false,\"error\":\"unknown command \\\"ehco\\\"; there are: help, monitor, "
		"echo, fail, big\"}\n");
	assert_non_null(strstr(ask(fd, "{}\n"), "\"ok\":false"));
	assert_non_null(strstr(ask(fd, "[]\n"), "\"ok\":false"));
	assert_non_null(strstr(ask(fd, "{\"cmd\":7}\n"), "\"ok\":false"));
	assert_false(is_closed(fd));
	close(fd);
}

static void malformed_lines_are_cut_off(void **state)
{
	static const char *const lines[] = {"\n", "{\"cmd\":\n", "{\"cmd\":\"echo\"} x\n",
		"\xff\xfe\n", "{\"cmd\":\"echo\",\"cmd\":\"fail\"}\n", "{\"cmd\":\"\\u0000\"}\n",
		NULL};

	(void)state;
	for (const char *const *l = lines; *l; l++) {
		int fd = client();

		assert_non_null(strstr(ask(fd, *l), "\"ok\":false,\"error\":\"malformed JSON"));
		assert_true(is_closed(fd));
		close(fd);
	}
	assert_int_equal(n_runs, 0);
}

static void deep_nesting_is_malformed(void **state)
{
	static char deep[60000];
	int fd = client();

	(void)state;
	memset(deep, '[', sizeof(deep));
	put(fd, deep, sizeof(deep));
	assert_non_null(strstr(ask(fd, "\n"), "malformed JSON"));
	assert_true(is_closed(fd));
	close(fd);
}

static void half_a_line_waits(void **state)
{
	int fd = client();

	(void)state;
	assert_string_equal(ask(fd, "{\"cmd\":\"echo\","), "");
	assert_string_equal(ask(fd, "\"text\":3}"), "");
	assert_false(is_closed(fd));
	assert_string_equal(ask(fd, "\n"), "{\"ok\":true,\"data\":3}\n");
	put(fd, "{\"cmd\"", 6);
	close(fd);
	turn();
	assert_int_equal(n_runs, 1);
}

static void the_longest_request_is_64_kib(void **state)
{
	static const char start[] = "{\"cmd\":\"echo\",\"text\":\"";
	static char line[65538];
	int fd = client();

	(void)state;
	memset(line, 'y', sizeof(line));
	memcpy(line, start, sizeof(start) - 1);
	memcpy(line + 65534, "\"}\n", 3);
	put(fd, line, 65537);
	assert_int_equal(
		get(fd), 65537 - sizeof(start) - 2 + strlen("{\"ok\":true,\"data\":\"\"}\n"));
	memcpy(line + 65534, "y\"}\n", 4);
	put(fd, line, 65538);
	get(fd);
	assert_string_equal(
		answer, "{\"ok\":false,\"error\":\"request is longer than 65536 octets\"}\n");
	assert_true(is_closed(fd));
	close(fd);
}

static void ten_megabytes_and_no_line(void **state)
{
	char *lots = malloc(HUGE);
	int fd = client();

	(void)state;
	memset(lots, '[', HUGE);
	assert_int_equal(put(fd, lots, HUGE), -1);
	get(fd);
	assert_non_null(strstr(answer, "longer than 65536"));
	assert_true(is_closed(fd));
	close(fd);
	free(lots);
}

static void a_long_answer_waits_for_its_reader(void **state)
{
	int fd = client();
	const char two[] = "{\"cmd\":\"big\"}\n{\"cmd\":\"echo\",\"text\":1}\n";

	(void)state;
	put(fd, two, sizeof(two) - 1);
	assert_int_equal(n_runs, 0); /* the second has to wait */
	get(fd);
	assert_int_equal(n_runs, 1);
	assert_non_null(strstr(answer + HUGE, "{\"ok\":true,\"data\":1}\n"));
	close(fd);
}

static void monitors_get_events(void **state)
{
	int a = client(), b = client(), other = client();

	(void)state;
	ctl_publish(NULL, json_object());
	ctl_publish(ctl, json_pack("{s:i}", "n", 0)); /* before anyone listens */
	assert_string_equal(ask(a, "{\"cmd\":\"monitor\"}\n"), "{\"ok\":true,\"data\":{}}\n");
	ask(b, "{\"cmd\":\"monitor\"}\n");
	ctl_publish(ctl, json_pack("{s:i}", "n", 1));
	ctl_publish(ctl, json_pack("{s:i}", "n", 2));
	get(a);
	assert_string_equal(answer, "{\"n\":1}\n{\"n\":2}\n");
	assert_string_equal(ask(a, "{\"cmd\":\"echo\"}\n"), ""); /* deaf from then on */
	assert_int_equal(n_runs, 0);
	close(a);
	turn();
	ctl_publish(ctl, json_pack("{s:i}", "n", 3));
	get(b);
	assert_string_equal(answer, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
	get(other);
	assert_string_equal(answer, "");
	close(b);
	close(other);
}

static void a_slow_monitor_is_cut_off(void **state)
{
	int slow = client(), quick = client();
	char *text = malloc(10001);
	size_t from_quick = 0;

	(void)state;
	memset(text, 'z', 10000);
	text[10000] = '\0';
	ask(slow, "{\"cmd\":\"monitor\"}\n");
	ask(quick, "{\"cmd\":\"monitor\"}\n");
	for (unsigned i = 0; i < 300; i++) { /* 3 MB: over the limit and the socket's buffer */
		ctl_publish(ctl, json_pack("{s:s}", "t", text));
		from_quick += get(quick);
	}
	assert_int_equal(from_quick, 300 * (10000 + strlen("{\"t\":\"\"}\n")));
	assert_false(is_closed(quick));
	get(slow); /* what was under way */
	assert_true(is_closed(slow));
	close(slow);
	close(quick);
	free(text);
}

static void a_client_over_the_limit_is_refused(void **state)
{
	int fds[64], one_more;

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		fds[i] = client();
	one_more = client();
	get(one_more);
	assert_string_equal(answer, "{\"ok\":false,\"error\":\"too many clients\"}\n");
	assert_true(is_closed(one_more));
	close(one_more);
	close(fds[63]);
	turn();
	fds[63] = client();
	assert_string_equal(
		ask(fds[63], "{\"cmd\":\"echo\",\"text\":1}\n"), "{\"ok\":true,\"data\":1}\n");
	for (unsigned i = 0; i < 64; i++)
		close(fds[i]);
}

/* What can't be accepted stays at the socket, which is then always ready. */
static void without_a_descriptor_left_the_loop_goes_to_sleep(void **state)
{
	struct rlimit had, none;
	unsigned turns = 0;
	int fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	none = had;
	none.rlim_cur = 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	knock(fd);
	while (turns < 100000 && sd_event_run(loop, 0) > 0)
		turns++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_in_range(turns, 1, 99999);
	assert_int_equal(send(fd, HELLO, strlen(HELLO), MSG_NOSIGNAL), strlen(HELLO));
	while (!get(fd)) /* and it wakes up */
		assert_true(sd_event_run(loop, 10000000) > 0);
	assert_string_equal(answer, "{\"ok\":true,\"data\":\"hello\"}\n");
	close(fd);
}

static void the_socket_is_private_and_exclusive(void **state)
{
	struct ctl *second;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(ctl_open(&second, loop, path, cmds, NULL), -EADDRINUSE);
	assert_null(second);
	assert_int_equal(access(path, F_OK), 0); /* the first's is still there */
}

static void a_dead_socket_is_replaced(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char file[80], long_path[200];
	struct ctl *other;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/dead.sock", dir);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(ctl_open(&other, loop, a.sun_path, cmds, NULL), 0);
	ctl_close(other);
	/* somebody's file is not */
	snprintf(file, sizeof(file), "%s/file", dir);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(ctl_open(&other, loop, file, cmds, NULL), -ENOTSOCK);
	assert_int_equal(unlink(file), 0);
	memset(long_path, 'p', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(ctl_open(&other, loop, long_path, cmds, NULL), -ENAMETOOLONG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered),
		TEST(an_unknown_command_names_the_known),
		TEST(malformed_lines_are_cut_off),
		TEST(deep_nesting_is_malformed),
		TEST(half_a_line_waits),
		TEST(the_longest_request_is_64_kib),
		TEST(ten_megabytes_and_no_line),
		TEST(a_long_answer_waits_for_its_reader),
		TEST(monitors_get_events),
		TEST(a_slow_monitor_is_cut_off),
		TEST(a_client_over_the_limit_is_refused),
		TEST(without_a_descriptor_left_the_loop_goes_to_sleep),
		TEST(the_socket_is_private_and_exclusive),
		TEST(a_dead_socket_is_replaced),
	};
	char sub[48];
	int failed;

	if (!mkdtemp(dir))
		return 1;
	log_init("test_ctl", LOG_ERR);
	snprintf(sub, sizeof(sub), "%s/run", dir); /* made by ctl_open() */
	snprintf(path, sizeof(path), "%s/ctl.sock", sub);
	failed = cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
	rmdir(sub);
	rmdir(dir);
	return failed;
}
