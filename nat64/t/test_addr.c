/* test_addr.c - every worked example of RFC 6052 and RFC 7757, both directions; the addresses that
 * may not be translated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "nat64/table.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/addr.h"

static __be32 v4(const char *s)
{
	__be32 a;

	assert_int_equal(inet_pton(AF_INET, s, &a), 1);
	return a;
}

static struct ip6 v6(const char *s)
{
	struct ip6 a;

	assert_int_equal(inet_pton(AF_INET6, s, &a), 1);
	return a;
}

static void same6(const struct ip6 *got, const char *want)
{
	char text[INET6_ADDRSTRLEN];
	struct ip6 w = v6(want);

	if (memcmp(got, &w, sizeof(w)) != 0)
		fail_msg("%s, expected %s", inet_ntop(AF_INET6, got, text, sizeof(text)), want);
}

static void same4(__be32 got, const char *want)
{
	char text[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &got, text, sizeof(text)), want);
}

static struct nat64_prefix prefix(
	const char *p, unsigned len, const char *scope, unsigned scope_len)
{
	return (struct nat64_prefix){.net = {.addr = v6(p), .len = (__u8)len},
		.scope = {.addr = v4(scope), .len = (__u8)scope_len}};
}

/* --- RFC 6052 --- */

static const struct {
	const char *prefix;
	unsigned len;
} formats[] = {{"2001:db8::", 32}, {"2001:db8:100::", 40}, {"2001:db8:122::", 48},
	{"2001:db8:122:300::", 56}, {"2001:db8:122:344::", 64}, {"2001:db8:122:344::", 96},
	{"64:ff9b::", 96}};
#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

static const struct {
	const char *v4, *v6[N_FORMATS];
} embedded[] = {
	{"192.0.2.33", /* section 2.4, tables 2 and 3 */
		{"2001:db8:c000:221::", "2001:db8:1c0:2:21::", "2001:db8:122:c000:2:2100::",
			"2001:db8:122:3c0:0:221::", "2001:db8:122:344:c0:2:2100::",
			"2001:db8:122:344::192.0.2.33", "64:ff9b::192.0.2.33"}},
	{"198.51.100.254",
		{"2001:db8:c633:64fe::", "2001:db8:1c6:3364:fe::", "2001:db8:122:c633:64:fe00::",
			"2001:db8:122:3c6:33:64fe::", "2001:db8:122:344:c6:3364:fe00:0",
			"2001:db8:122:344::c633:64fe", "64:ff9b::c633:64fe"}},
	{"203.0.113.77",
		{"2001:db8:cb00:714d::", "2001:db8:1cb:71:4d::", "2001:db8:122:cb00:71:4d00::",
			"2001:db8:122:3cb:0:714d::", "2001:db8:122:344:cb:71:4d00:0",
			"2001:db8:122:344::cb00:714d", "64:ff9b::cb00:714d"}},
	{"255.255.255.255",
		{"2001:db8:ffff:ffff::", "2001:db8:1ff:ffff:ff::", "2001:db8:122:ffff:ff:ff00::",
			"2001:db8:122:3ff:ff:ffff::", "2001:db8:122:344:ff:ffff:ff00:0",
			"2001:db8:122:344::ffff:ffff", "64:ff9b::ffff:ffff"}},
};

/* RFC6052-2.2/6, 2.3/1, 2.3/2 */
static void every_format_composes_and_extracts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(embedded) / sizeof(embedded[0]); i++) {
		for (size_t k = 0; k < N_FORMATS; k++) {
			struct nat64_conf c = {.n_prefixes = 1};
			struct ip6 a6;
			__be32 a4 = 0;

			c.prefixes[0] = prefix(formats[k].prefix, formats[k].len, "0.0.0.0", 0);
			assert_int_equal(
				addr_46(&c, NULL, v4(embedded[i].v4), 1, &a6), NAT64_BY_PREFIX);
			same6(&a6, embedded[i].v6[k]);
			assert_int_equal(addr_64(&c, NULL, &a6, &a4), NAT64_BY_PREFIX);
			same4(a4, embedded[i].v4);
		}
	}
}

/* RFC6052-2.2/8: octet 8 and the suffix are ignored on the way back. */
static void suffix_and_octet_8_are_ignored(void **state)
{
	static const int first_of_suffix[] = {9, 10, 11, 12, 13, 16, 16};

	(void)state;
	for (size_t k = 0; k < N_FORMATS; k++) {
		struct ip6 a6 = v6(embedded[2].v6[k]);
		uint8_t octets[16];

		memcpy(octets, &a6, 16);
		memset(octets + first_of_suffix[k], 0xff, (size_t)(16 - first_of_suffix[k]));
		if (formats[k].len != 96)
			octets[8] = 0xff;
		memcpy(&a6, octets, 16);
		same4(addr_extract(&a6, formats[k].len), "203.0.113.77");
	}
}

static void the_longest_scope_and_the_longest_prefix_decide(void **state)
{
	struct nat64_conf c = {.n_prefixes = 3};
	struct ip6 a6;
	__be32 a4 = 0;

	(void)state;
	c.prefixes[0] = prefix("64:ff9b::", 96, "0.0.0.0", 0);
	c.prefixes[1] = prefix("2001:db8:100::", 40, "10.0.0.0", 8);
	c.prefixes[2] = prefix("2001:db8:1ff::", 96, "10.1.0.0", 16);
	addr_46(&c, NULL, v4("192.0.2.1"), 1, &a6);
	same6(&a6, "64:ff9b::192.0.2.1");
	addr_46(&c, NULL, v4("10.2.3.4"), 1, &a6);
	same6(&a6, "2001:db8:10a:203:4::");
	addr_46(&c, NULL, v4("10.1.3.4"), 1, &a6);
	same6(&a6, "2001:db8:1ff::10.1.3.4");
	a6 = v6("2001:db8:1ff::10.1.9.9"); /* in both */
	assert_int_equal(addr_64(&c, NULL, &a6, &a4), NAT64_BY_PREFIX);
	same4(a4, "10.1.9.9");
	a6 = v6("2001:db8:1ff::192.0.2.1"); /* nothing leads back */
	assert_int_equal(addr_64(&c, NULL, &a6, &a4), NAT64_BY_NONE);
	a6 = v6("2001:db8:200::1");
	assert_int_equal(addr_64(&c, NULL, &a6, &a4), NAT64_BY_NONE);
	c.prefixes[0].scope.len = 32;
	assert_int_equal(addr_46(&c, NULL, v4("192.0.2.1"), 1, &a6), NAT64_BY_NONE);
}

/* --- RFC 7757 --- */

static struct nat64_eam row(const char *p4, unsigned len4, const char *p6, unsigned len6)
{
	return (struct nat64_eam){.side = NAT64_IPV6_HOST,
		.v4 = {.addr = v4(p4), .len = (__u8)len4},
		.v6 = {.addr = v6(p6), .len = (__u8)len6}};
}

/* Rows to be found; nat64_release() afterwards. */
static struct nat64 *build(const struct nat64_eam *rows, size_t n)
{
	static struct nat64 nat;
	size_t bad;

	nat = (struct nat64){.n_eams = n, .eams = calloc(n, sizeof(*rows))};
	memcpy(nat.eams, rows, n * sizeof(*rows));
	assert_int_equal(nat64_table_build(&nat, &bad), 0);
	return &nat;
}

static struct nat64 *figure1(void)
{
	const struct nat64_eam rows[] = {row("192.0.2.1", 32, "2001:db8:aaaa::", 128),
		row("192.0.2.2", 32, "2001:db8:bbbb::b", 128),
		row("192.0.2.16", 28, "2001:db8:cccc::", 124),
		row("192.0.2.128", 26, "2001:db8:dddd::", 64),
		row("192.0.2.192", 29, "2001:db8:eeee:8::", 62),
		row("192.0.2.224", 31, "64:ff9b::", 127)};
	struct nat64 *n = build(rows, 6);

	n->conf.n_prefixes = 1;
	n->conf.prefixes[0] = prefix("64:ff9b::", 96, "0.0.0.0", 0);
	return n;
}

static void becomes6(struct nat64 *n, const char *from, const char *to, enum nat64_by by)
{
	struct ip6 a6;

	assert_int_equal(addr_46(&n->conf, n->table, v4(from), 1, &a6), by);
	same6(&a6, to);
}

static void becomes4(struct nat64 *n, const char *from, const char *to, enum nat64_by by)
{
	struct ip6 a6 = v6(from);
	__be32 a4;

	assert_int_equal(addr_64(&n->conf, n->table, &a6, &a4), by);
	same4(a4, to);
}

/* Appendix B, figure 7: each holds in both directions. */
static void figure_7_both_ways(void **state)
{
	static const struct {
		const char *v4, *v6;
		enum nat64_by by;
	} pairs[] = {{"192.0.2.1", "2001:db8:aaaa::", NAT64_BY_EAM},
		{"192.0.2.2", "2001:db8:bbbb::b", NAT64_BY_EAM},
		{"192.0.2.16", "2001:db8:cccc::", NAT64_BY_EAM},
		{"192.0.2.24", "2001:db8:cccc::8", NAT64_BY_EAM},
		{"192.0.2.31", "2001:db8:cccc::f", NAT64_BY_EAM},
		{"192.0.2.128", "2001:db8:dddd::", NAT64_BY_EAM},
		{"192.0.2.152", "2001:db8:dddd:0:6000::", NAT64_BY_EAM},
		{"192.0.2.183", "2001:db8:dddd:0:dc00::", NAT64_BY_EAM},
		{"192.0.2.191", "2001:db8:dddd:0:fc00::", NAT64_BY_EAM},
		{"192.0.2.195", "2001:db8:eeee:9:8000::", NAT64_BY_EAM},
		{"192.0.2.225", "64:ff9b::1", NAT64_BY_EAM},
		{"192.0.2.248", "64:ff9b::c000:2f8", NAT64_BY_PREFIX}};
	struct nat64 *n = figure1();

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		becomes6(n, pairs[i].v4, pairs[i].v6, pairs[i].by);
		becomes4(n, pairs[i].v6, pairs[i].v4, pairs[i].by);
	}
	nat64_release(n);
}

/* The edges of figure 1's rows, and IPv6 suffixes that don't fit into IPv4. */
static void edges_of_figure_1(void **state)
{
	struct nat64 *n = figure1();

	(void)state;
	becomes6(n, "192.0.2.129", "2001:db8:dddd:0:400::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.192", "2001:db8:eeee:8::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.193", "2001:db8:eeee:8:8000::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.196", "2001:db8:eeee:a::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.199", "2001:db8:eeee:b:8000::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.200", "64:ff9b::c000:2c8", NAT64_BY_PREFIX);
	becomes6(n, "192.0.2.224", "64:ff9b::", NAT64_BY_EAM);
	becomes6(n, "192.0.2.226", "64:ff9b::c000:2e2", NAT64_BY_PREFIX);
	becomes6(n, "192.0.2.127", "64:ff9b::c000:27f", NAT64_BY_PREFIX);
	becomes4(n, "2001:db8:dddd:0:6000::1", "192.0.2.152", NAT64_BY_EAM);
	becomes4(n, "2001:db8:dddd:0:63ff:ffff:ffff:ffff", "192.0.2.152", NAT64_BY_EAM);
	becomes4(n, "2001:db8:eeee:9:9fff::", "192.0.2.195", NAT64_BY_EAM);
	becomes4(n, "2001:db8:eeee:b:ffff::1", "192.0.2.199", NAT64_BY_EAM);
	becomes4(n, "64:ff9b::2", "0.0.0.2", NAT64_BY_PREFIX);
	becomes4(n, "64:ff9b::c000:201", "192.0.2.1", NAT64_BY_PREFIX);
	becomes4(n, "64:ff9b::", "192.0.2.224", NAT64_BY_EAM);
	nat64_release(n);
}

/* Section 4.2.1: as if no row matched. */
static void a_mapping_can_be_passed_over(void **state)
{
	struct nat64 *n = figure1();
	struct ip6 a6;

	(void)state;
	assert_int_equal(addr_46(&n->conf, n->table, v4("192.0.2.1"), 0, &a6), NAT64_BY_PREFIX);
	same6(&a6, "64:ff9b::192.0.2.1");
	n->conf.n_prefixes = 0;
	assert_int_equal(addr_46(&n->conf, n->table, v4("192.0.2.1"), 0, &a6), NAT64_BY_NONE);
	assert_int_equal(addr_46(&n->conf, n->table, v4("192.0.2.3"), 1, &a6), NAT64_BY_NONE);
	nat64_release(n);
}

/* Section 5, figure 2, and appendix A.2 (IVI): no octet is skipped. */
static void overlapping_mappings_by_the_longest_match(void **state)
{
	const struct nat64_eam rows[] = {row("0.0.0.0", 0, "2001:db8:ff00::", 40),
		row("198.51.100.64", 32, "2001:db8::abcd", 128)};
	struct nat64 *n = build(rows, 2);

	(void)state;
	becomes4(n, "2001:db8:ffc6:3364:4000::", "198.51.100.64", NAT64_BY_EAM);
	becomes6(n, "198.51.100.64", "2001:db8::abcd", NAT64_BY_EAM);
	becomes4(n, "2001:db8::abcd", "198.51.100.64", NAT64_BY_EAM);
	becomes6(n, "198.51.100.65", "2001:db8:ffc6:3364:4100::", NAT64_BY_EAM);
	becomes4(n, "2001:db8:ffc6:3364:4100::", "198.51.100.65", NAT64_BY_EAM);
	becomes6(n, "255.255.255.255", "2001:db8:ffff:ffff:ff00::", NAT64_BY_EAM);
	nat64_release(n);
}

/* The definition again, bit by bit, for every pair of lengths that is legal. */
static void every_pair_of_lengths(void **state)
{
	(void)state;
	for (unsigned p4 = 0; p4 <= 32; p4++) {
		for (unsigned p6 = 0; p6 <= 96 + p4; p6++) {
			struct nat64_eam eam = {.v4.len = (__u8)p4, .v6.len = (__u8)p6};
			__be32 a4 = v4("165.90.195.60");
			struct ip6 got, full = v6("2001:db8:5aa5:c33c:9669:f00f:1ee1:7887");
			uint8_t want[16] = {0}, in4[4], net6[16];

			addr_cut6(&full, p6, &eam.v6.addr);
			eam.v4.addr = addr_cut4(a4, p4);
			memcpy(in4, &a4, 4);
			memcpy(net6, &eam.v6.addr, 16);
			for (unsigned bit = 0; bit < 128; bit++) {
				unsigned from = bit - p6 + p4; /* in the IPv4 address */
				int on = bit < p6    ? net6[bit / 8] >> (7 - bit % 8) & 1
					 : from < 32 ? in4[from / 8] >> (7 - from % 8) & 1
						     : 0;

				want[bit / 8] |= (uint8_t)(on << (7 - bit % 8));
			}
			addr_eam46(&eam, a4, &got);
			assert_memory_equal(&got, want, 16);
			assert_int_equal(addr_eam64(&eam, &got), a4);
		}
	}
}

/* --- what may not be translated --- */

static void non_global_addresses(void **state)
{
	static const char *const in[] = {"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255",
		"100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.0.0", "169.254.255.255",
		"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0",
		"192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255",
		"198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0",
		"203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255"};
	static const char *const out[] = {"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255",
		"100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
		"192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
		"223.255.255.255"};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_true(addr_is_non_global4(v4(in[i])));
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		assert_false(addr_is_non_global4(v4(out[i])));
}

/* RFC6052-3.1/1: the rule is the well-known prefix's, and mappings are exempt. */
static void the_well_known_prefix_takes_global_addresses_only(void **state)
{
	struct nat64_conf c = {0};
	struct ip6 doc = v6("64:ff9b::192.0.2.33"), global = v6("64:ff9b::8.8.8.8"),
		   own = v6("2001:db8:122:344::192.0.2.33");

	(void)state;
	assert_true(addr_is_forbidden(&c, NAT64_BY_PREFIX, &doc));
	assert_false(addr_is_forbidden(&c, NAT64_BY_EAM, &doc));
	assert_false(addr_is_forbidden(&c, NAT64_BY_PREFIX, &global));
	assert_false(addr_is_forbidden(&c, NAT64_BY_PREFIX, &own));
	c.wkp_non_global = 1;
	assert_false(addr_is_forbidden(&c, NAT64_BY_PREFIX, &doc));
}

static void illegal_addresses(void **state)
{
	static const char *const bad[] = {"::", "::1", "::192.0.2.1", "::ffff:192.0.2.1", "fe80::1",
		"febf::1", "ff02::1", "ffff::"};
	static const char *const good[] = {"64:ff9b::1", "2001:db8::1", "fc00::1", "fec0::1",
		"fe7f::1", "::1:0:0:0", "::fffe:1:1"};
	struct nat64_conf c = {.n_bogons = 2};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ip6 a = v6(bad[i]);

		assert_true(addr_is_illegal6(&a));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct ip6 a = v6(good[i]);

		assert_false(addr_is_illegal6(&a));
	}
	c.bogons[0] = (struct nat64_net4){.addr = v4("127.0.0.0"), .len = 8};
	c.bogons[1] = (struct nat64_net4){.addr = v4("240.0.0.0"), .len = 4};
	c.bogons[2] = (struct nat64_net4){.addr = v4("0.0.0.0"), .len = 0}; /* not counted */
	assert_true(addr_is_bogon4(&c, v4("127.0.0.1")));
	assert_true(addr_is_bogon4(&c, v4("255.255.255.255")));
	assert_false(addr_is_bogon4(&c, v4("10.0.0.1")));
}

/* --- RFC 6791 --- */

static void pools_give_every_address_they_have(void **state)
{
	struct nat64_conf c = {.n_pool4 = 2, .own4 = v4("192.0.2.254"), .own6 = v6("2001:db8::fe")};
	unsigned seen[5] = {0};
	struct ip6 a6;

	(void)state;
	c.pool4[0] = (struct nat64_net4){.addr = v4("198.51.100.0"), .len = 30};
	c.pool4[1] = (struct nat64_net4){.addr = v4("203.0.113.9"), .len = 32};
	for (unsigned i = 0; i < 8; i++) {
		__be32 a = addr_pool4(&c, (i & 1) << 31 | (i >> 1));

		if (a == v4("203.0.113.9"))
			seen[4]++;
		else
			seen[ntohl(a ^ v4("198.51.100.0"))]++;
	}
	assert_int_equal(seen[4], 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(seen[i], 1);
	same4(addr_pool4(&c, 0xffffffff), "203.0.113.9");
	c.n_pool4 = 0;
	same4(addr_pool4(&c, 7), "192.0.2.254");

	assert_true(addr_pool6(&c, 7, &a6));
	same6(&a6, "2001:db8::fe");
	c.n_pool6 = 1;
	c.pool6[0] = (struct nat64_net6){.addr = v6("2001:db8:1::"), .len = 64};
	assert_true(addr_pool6(&c, 7, &a6));
	same6(&a6, "2001:db8:1::7");
	c.n_pool6 = 0;
	c.own6 = v6("::");
	assert_false(addr_pool6(&c, 7, &a6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_composes_and_extracts),
		cmocka_unit_test(suffix_and_octet_8_are_ignored),
		cmocka_unit_test(the_longest_scope_and_the_longest_prefix_decide),
		cmocka_unit_test(figure_7_both_ways),
		cmocka_unit_test(edges_of_figure_1),
		cmocka_unit_test(a_mapping_can_be_passed_over),
		cmocka_unit_test(overlapping_mappings_by_the_longest_match),
		cmocka_unit_test(every_pair_of_lengths),
		cmocka_unit_test(non_global_addresses),
		cmocka_unit_test(the_well_known_prefix_takes_global_addresses_only),
		cmocka_unit_test(illegal_addresses),
		cmocka_unit_test(pools_give_every_address_they_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
