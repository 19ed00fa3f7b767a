/* test_keying.c - the key exchange's port when the process has no descriptor left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/os/keying_state.h"

static void on_keys(void *arg, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, const struct payload_secret *payload)
{
	(void)arg, (void)ha, (void)hoa, (void)in, (void)out, (void)payload;
}

/* What can't be accepted stays at the port, which is then always ready. */
static void without_a_descriptor_left_the_loop_goes_to_sleep(void **state)
{
	const struct in6_addr here = IN6ADDR_LOOPBACK_INIT;
	struct sockaddr_in6 at;
	socklen_t size = sizeof(at);
	struct rlimit had, none;
	struct keying *k = NULL;
	sd_event *loop = NULL;
	unsigned turns = 0;
	int fd;

	(void)state;
	assert_true(sd_event_new(&loop) >= 0);
	assert_int_equal(keying_open(&k, loop, &here, 0, on_keys, NULL), 0);
	assert_int_equal(getsockname(k->fd, (struct sockaddr *)&at, &size), 0);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	none = had;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (turns < 100000 && sd_event_run(loop, 0) > 0)
		turns++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_in_range(turns, 1, 99999);
	assert_true(keying_counter(k, KEY_C_key_limited) > 0);
	assert_int_equal(k->n_conns, 0);

	while (k->n_conns == 0) /* and it wakes up */
		assert_true(sd_event_run(loop, 10000000) > 0);
	close(fd);
	keying_close(k);
	sd_event_unref(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_descriptor_left_the_loop_goes_to_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
