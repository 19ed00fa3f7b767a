/* Addresses and prefixes: RFC 4291, RFC 5952, RFC 6275 s3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include "common/core/addr.h"

static struct in6_addr A(const char *s) {
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, s, &a), 1);
	return a;
}

static struct prefix6
P(const char *s) {
	struct prefix6 p;

	assert_int_equal(prefix6_parse(s, &p), 0);
	return p;
}

static void
routable_is_global_or_unique_local_unicast(void **state)
{
	static const char *const yes[] = {"2001:db8::1", "fd00::1", "::2", "64:ff9b::1", "fec0::1"};
	static const char *const no[] = {
		"::", "::1", "fe80::1", "febf::1", "ff02::1", "ff0e::1", "::ffff:192.0.2.1"};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		struct in6_addr a = A(yes[i]);
		assert_true(addr6_is_routable(&a));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		struct in6_addr a = A(no[i]);
		assert_false(addr6_is_routable(&a));
	}
}

static void prefix_has_and_covers_at_every_length(void **state)
{
	struct in6_addr a = A("2001:db8:55aa:ff00:1234:5678:9abc:def1");

	(void)state;
	for (unsigned len = 0; len <= 128; len++) {
		struct prefix6 p = {.addr = a, .len = (uint8_t)len};
		struct prefix6 m = prefix6_mask(p), host = prefix6_host(&a);
		struct in6_addr b = a;

		assert_true(prefix6_is_masked(&m));
		assert_true(prefix6_eq(&p, &m));
		assert_true(prefix6_has(&m, &a));
		assert_true(prefix6_covers(&m, &host));
		assert_true(prefix6_overlaps(&host, &m));
		assert_int_equal(prefix6_covers(&host, &m), len == 128);
		if (len < 128) { /* the bit after the prefix doesn't count */
			b.s6_addr[len / 8] ^= (uint8_t)(0x80 >> len % 8);
			assert_true(prefix6_has(&m, &b));
			m.addr.s6_addr[len / 8] |= (uint8_t)(0x80 >> len % 8);
			assert_false(prefix6_is_masked(&m));
		}
		if (len > 0) { /* the last one of the prefix does */
			b = a;
			b.s6_addr[(len - 1) / 8] ^= (uint8_t)(0x80 >> (len - 1) % 8);
			assert_false(prefix6_has(&p, &b));
			host = prefix6_host(&b);
			assert_false(prefix6_overlaps(&p, &host));
		}
	}
}

static void prefixes_of_other_lengths_differ(void **state)
{
	struct prefix6 a = P("2001:db8::/32"), b = P("2001:db8::/48");

	(void)state;
	assert_false(prefix6_eq(&a, &b));
	assert_true(prefix6_covers(&a, &b));
	assert_false(prefix6_covers(&b, &a));
	assert_true(prefix6_overlaps(&b, &a));
}

static void prefix_text_goes_both_ways(void **state)
{
	static const char *const good[] = {"::/0", "2001:db8::/32", "2001:db8:0:1::/64",
		"2001:db8:1:2:3:4:5:6/128", "fe80::1/64"};
	char buf[PREFIX6_STRLEN];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct prefix6 p = P(good[i]);
		assert_string_equal(prefix6_str(&p, buf), good[i]);
	}
	struct prefix6 longest = {.len = 128};
	memset(&longest.addr, 0xff, 16);
	assert_string_equal(
		prefix6_str(&longest, buf), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

static void bad_prefix_text_is_refused(void **state)
{
	static const char *const bad[] = {"", "/", "::", "::/", "/64", "::/129", "::/-1", "::/+1",
		"::/ 1", "::/1 ", " ::/1", "::/64x", "::/0x40", "::/1e1", "::/18446744073709551616",
		"::/4294967360", "::1::/64", "10.0.0.0/8", "::/64/64", "fe80::1%lo/64",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/64"};
	struct prefix6 p = {.len = 77};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(prefix6_parse(bad[i], &p), -EINVAL);
	assert_int_equal(p.len, 77);
}

static void ipv4_prefixes(void **state)
{
	static const char *const bad[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8",
		"10.0.0.0/8x", "10.0.0.0/-1", " 10.0.0.0/8", "2001:db8::/32"};
	struct prefix4 p, whole, host, net;
	struct in_addr a;
	char text[PREFIX4_STRLEN];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix4_parse_bare(bad[i], &p), -EINVAL);
	assert_int_equal(prefix4_parse_bare("0.0.0.0/0", &whole), 0);
	assert_int_equal(prefix4_parse_bare("192.0.2.130", &host), 0);
	assert_int_equal(host.len, 32);
	assert_int_equal(prefix4_parse_bare("192.0.2.130/25", &net), 0);
	assert_false(prefix4_is_masked(&net));
	net = prefix4_mask(net);
	assert_true(prefix4_is_masked(&net));
	assert_string_equal(prefix4_str(&net, text), "192.0.2.128/25");
	assert_true(prefix4_covers(&net, &host));
	assert_true(prefix4_covers(&whole, &net));
	assert_false(prefix4_covers(&host, &net));
	assert_true(prefix4_overlaps(&host, &net));
	inet_pton(AF_INET, "192.0.2.127", &a);
	assert_false(prefix4_has(&net, &a));
	assert_true(prefix4_has(&whole, &a));
	whole = prefix4_mask((struct prefix4){.addr = a, .len = 0});
	assert_string_equal(prefix4_str(&whole, text), "0.0.0.0/0");
}

static void an_address_alone_may_be_a_prefix(void **state)
{
	struct prefix6 p;

	(void)state;
	assert_int_equal(prefix6_parse("2001:db8::1", &p), -EINVAL);
	assert_int_equal(prefix6_parse_bare("2001:db8::1", &p), 0);
	assert_int_equal(p.len, 128);
	assert_int_equal(prefix6_parse_bare("2001:db8::/32", &p), 0);
	assert_int_equal(p.len, 32);
	assert_int_equal(prefix6_parse_bare("2001:db8::/", &p), -EINVAL);
}

static void address_of_prefix_and_mac_is_modified_eui64(void **state)
{
	/* RFC 4291 appendix A: the universal/local bit is inverted, ff:fe goes in the middle. */
	const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
	struct in6_addr want = A("2001:db8:0:1:5054:ff:fe12:3456"), a;
	struct prefix6 p = P("2001:db8:0:1::/64");
	uint8_t iid[8];

	(void)state;
	addr6_eui64(mac, iid);
	a = addr6_join(&p, iid);
	assert_memory_equal(&a, &want, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routable_is_global_or_unique_local_unicast),
		cmocka_unit_test(prefix_has_and_covers_at_every_length),
		cmocka_unit_test(prefixes_of_other_lengths_differ),
		cmocka_unit_test(prefix_text_goes_both_ways),
		cmocka_unit_test(bad_prefix_text_is_refused),
		cmocka_unit_test(ipv4_prefixes),
		cmocka_unit_test(an_address_alone_may_be_a_prefix),
		cmocka_unit_test(address_of_prefix_and_mac_is_modified_eui64),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
