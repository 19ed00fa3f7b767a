/* test_draw.c - which destinations are drawn to the translator, as few prefixes. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "nat64/draw.h"

#define MAX 300

static struct nat64_eam eams[MAX];
static struct nat64 n;

static void clear(void)
{
	memset(&n, 0, sizeof(n));
	n.eams = eams;
}

static void map(const char *v4, uint8_t len4, const char *v6, uint8_t len6, enum nat64_side side)
{
	struct nat64_eam *m = &eams[n.n_eams++];

	*m = (struct nat64_eam){.side = (uint8_t)side, .v4.len = len4, .v6.len = len6};
	assert_int_equal(inet_pton(AF_INET, v4, &m->v4.addr), 1);
	assert_int_equal(inet_pton(AF_INET6, v6, &m->v6.addr), 1);
}

/* "203.0.113.0/24 2001:db8::/32": the draws of what was mapped, as text. */
static const char *drawn(void)
{
	static char text[16384];
	struct draws d;
	size_t used = 0;

	text[0] = '\0';
	assert_int_equal(draws_of(&n, &d), 0);
	for (size_t i = 0; i < d.n; i++) {
		char a[INET6_ADDRSTRLEN];

		inet_ntop(d.v[i].is6 ? AF_INET6 : AF_INET, d.v[i].addr, a, sizeof(a));
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s/%u", i ? " " : "", a, d.v[i].len);
	}
	draws_release(&d);
	return text;
}

static void test_the_real_hosts_other_side_is_drawn(void **state)
{
	(void)state;
	clear();
	map("192.0.2.1", 32, "2001:db8::1", 128, NAT64_IPV6_HOST);
	map("192.0.2.5", 32, "2001:db8::5", 128, NAT64_IPV4_HOST);
	map("192.0.2.9", 32, "2001:db8::9", 128, NAT64_BOTH);
	assert_string_equal(drawn(), "192.0.2.1/32 192.0.2.9/32 2001:db8::5/128 2001:db8::9/128");
}

static void test_prefixes_and_hosts_are_drawn(void **state)
{
	(void)state;
	clear();
	n.conf.n_prefixes = 1;
	n.conf.prefixes[0].net.len = 96;
	inet_pton(AF_INET6, "64:ff9b::", &n.conf.prefixes[0].net.addr);
	n.conf.n_hosts = 1;
	n.conf.hosts[0].len = 24;
	inet_pton(AF_INET, "192.0.2.0", &n.conf.hosts[0].addr);
	assert_string_equal(drawn(), "192.0.2.0/24 64:ff9b::/96");
}

static void test_nothing_is_drawn_by_nothing(void **state)
{
	(void)state;
	clear();
	assert_string_equal(drawn(), "");
}

static void test_halves_become_one(void **state)
{
	(void)state;
	clear();
	map("192.0.2.3", 32, "2001:db8::3", 128, NAT64_BOTH);
	map("192.0.2.2", 32, "2001:db8::2", 128, NAT64_BOTH);
	map("192.0.2.4", 32, "2001:db8::4", 128, NAT64_BOTH); /* 3 and 4 are no halves */
	assert_string_equal(drawn(), "192.0.2.2/31 192.0.2.4/32 2001:db8::2/127 2001:db8::4/128");
}

static void test_256_addresses_become_a_24(void **state)
{
	(void)state;
	clear();
	for (unsigned i = 0; i < 256; i++) {
		char v4[32], v6[64];

		snprintf(v4, sizeof(v4), "192.0.2.%u", (i * 37) % 256);
		snprintf(v6, sizeof(v6), "2001:db8::%x", (i * 91) % 256);
		map(v4, 32, v6, 128, NAT64_BOTH);
	}
	assert_string_equal(drawn(), "192.0.2.0/24 2001:db8::/120");
}

static void test_what_is_inside_another_is_left_out(void **state)
{
	(void)state;
	clear();
	map("192.0.2.130", 32, "2001:db8:1::", 128, NAT64_IPV6_HOST);
	map("192.0.2.128", 25, "2001:db8:2::", 121, NAT64_IPV6_HOST);
	map("192.0.2.255", 32, "2001:db8:3::", 128, NAT64_IPV6_HOST);
	map("192.0.2.0", 26, "2001:db8:4::", 122, NAT64_IPV6_HOST);
	map("192.0.2.64", 26, "2001:db8:5::", 122, NAT64_IPV6_HOST);
	assert_string_equal(drawn(), "192.0.2.0/24");
}

static void test_all_of_ipv4(void **state)
{
	(void)state;
	clear();
	map("0.0.0.0", 1, "2001:db8::", 97, NAT64_IPV6_HOST);
	map("128.0.0.0", 1, "2001:db8:1::", 97, NAT64_IPV6_HOST);
	assert_string_equal(drawn(), "0.0.0.0/0");
}

static int stop_at_second(void *arg, const struct draw *d)
{
	(void)d;
	return ++*(int *)arg == 2 ? -5 : 0;
}

static int note(void *arg, const struct draw *d)
{
	*(unsigned *)arg = *(unsigned *)arg * 10 + d->addr[3];
	return 0;
}

static void test_differences(void **state)
{
	struct draws a, b;
	unsigned seen = 0;
	int calls = 0;

	(void)state;
	clear();
	for (unsigned i = 1; i < 10; i += 2) {
		char v4[32];

		snprintf(v4, sizeof(v4), "192.0.2.%u", i);
		map(v4, 32, "2001:db8::", 128, NAT64_IPV6_HOST);
	}
	assert_int_equal(draws_of(&n, &a), 0);
	clear();
	map("192.0.2.9", 32, "2001:db8::", 128, NAT64_IPV6_HOST);
	map("192.0.2.3", 32, "2001:db8::", 128, NAT64_IPV6_HOST);
	map("192.0.2.7", 31, "2001:db8::", 127, NAT64_IPV6_HOST); /* 6 and 7 */
	assert_int_equal(draws_of(&n, &b), 0);
	draws_minus(&a, &b, note, &seen);
	assert_int_equal(seen, 157);
	seen = 0;
	draws_minus(&b, &a, note, &seen);
	assert_int_equal(seen, 6);
	assert_int_equal(draws_minus(&a, &b, stop_at_second, &calls), -5);
	assert_int_equal(calls, 2);
	draws_release(&a);
	draws_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_real_hosts_other_side_is_drawn),
		cmocka_unit_test(test_prefixes_and_hosts_are_drawn),
		cmocka_unit_test(test_nothing_is_drawn_by_nothing),
		cmocka_unit_test(test_halves_become_one),
		cmocka_unit_test(test_256_addresses_become_a_24),
		cmocka_unit_test(test_what_is_inside_another_is_left_out),
		cmocka_unit_test(test_all_of_ipv4),
		cmocka_unit_test(test_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
