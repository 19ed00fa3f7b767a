/* test_explain.c - what is said about addresses and packets: the rule, the reason, the way back,
 * and that it agrees with RFC 6052 s3.1, RFC 7757 s4 (figures 8 and 11) and s5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "nat64/explain.h"

static struct nat64_addr addr(const char *s)
{
	struct nat64_addr a;

	assert_int_equal(nat64_addr_parse(s, &a), 0);
	return a;
}

static void is(const struct nat64_addr *a, const char *want)
{
	char text[NAT64_ADDR_STRLEN];

	assert_string_equal(nat64_addr_str(a, text), want);
}

static struct nat64_eam row(const char *v4, unsigned len4, const char *v6, unsigned len6, int side)
{
	struct nat64_eam e = {.side = (__u8)side, .v4.len = (__u8)len4, .v6.len = (__u8)len6};

	assert_int_equal(inet_pton(AF_INET, v4, &e.v4.addr), 1);
	assert_int_equal(inet_pton(AF_INET6, v6, &e.v6.addr), 1);
	return e;
}

/* RFC 7757's figure 1 with 64:ff9b::/96, non-global addresses allowed as its figures need it. */
static struct nat64 figure1(void)
{
	const struct nat64_eam rows[] = {
		row("192.0.2.1", 32, "2001:db8:aaaa::", 128, NAT64_IPV6_HOST),
		row("192.0.2.2", 32, "2001:db8:bbbb::b", 128, NAT64_IPV6_HOST),
		row("192.0.2.16", 28, "2001:db8:cccc::", 124, NAT64_IPV6_HOST),
		row("192.0.2.128", 26, "2001:db8:dddd::", 64, NAT64_IPV6_HOST),
		row("192.0.2.192", 29, "2001:db8:eeee:8::", 62, NAT64_BOTH),
		row("192.0.2.224", 31, "64:ff9b::", 127, NAT64_IPV4_HOST)};
	struct nat64 n = {.n_eams = 6, .eams = malloc(sizeof(rows))};
	size_t bad;

	memcpy(n.eams, rows, sizeof(rows));
	n.conf.n_prefixes = 1;
	inet_pton(AF_INET6, "64:ff9b::", &n.conf.prefixes[0].net.addr);
	n.conf.prefixes[0].net.len = 96;
	n.conf.n_bogons = 1;
	n.conf.bogons[0] = (struct nat64_net4){.addr = htonl(127u << 24), .len = 8};
	n.conf.lowest_mtu6 = 1280;
	n.conf.mtu4 = n.conf.mtu6 = 65535;
	n.conf.hairpin = NAT64_HAIRPIN_INTRINSIC;
	n.conf.wkp_non_global = 1;
	assert_int_equal(nat64_table_build(&n, &bad), 0);
	return n;
}

static struct nat64_explained explain(const struct nat64 *n, const char *s)
{
	struct nat64_addr a = addr(s);
	struct nat64_explained e;

	nat64_explain(n, &a, &e);
	return e;
}

static void texts_of_addresses(void **state)
{
	struct nat64_addr a;

	(void)state;
	is(&(struct nat64_addr){.a4.s_addr = htonl(0xc0000221)}, "192.0.2.33");
	a = addr("64:ff9b::192.0.2.33");
	assert_true(a.is6);
	is(&a, "64:ff9b::c000:221");
	assert_true(nat64_addr_parse("192.0.2", &a) < 0);
	assert_true(nat64_addr_parse("", &a) < 0);
	assert_true(nat64_addr_parse("192.0.2.1/32", &a) < 0);
}

static void a_mapping_is_named(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained e = explain(&n, "192.0.2.152");

	(void)state;
	assert_int_equal(e.verdict, NAT64_MAPPED);
	assert_int_equal(e.by, NAT64_BY_EAM);
	is(&e.out, "2001:db8:dddd:0:6000::");
	assert_string_equal(e.rule, "192.0.2.128/26 - 2001:db8:dddd::/64");
	assert_true(e.drawn && !e.one_way);
	assert_string_equal(e.text,
		"192.0.2.152 becomes 2001:db8:dddd:0:6000:: by the mapping 192.0.2.128/26 - "
		"2001:db8:dddd::/64. Packets to it are drawn to the translator.");
	e = explain(&n, "2001:db8:dddd:0:6000::1"); /* its last bits don't fit into IPv4 */
	is(&e.out, "192.0.2.152");
	assert_true(e.one_way && !e.drawn);
	is(&e.back, "2001:db8:dddd:0:6000::");
	assert_string_equal(e.text,
		"2001:db8:dddd:0:6000::1 becomes 192.0.2.152 by the mapping 192.0.2.128/26 - "
		"2001:db8:dddd::/64. The way back is another: 192.0.2.152 becomes "
		"2001:db8:dddd:0:6000::. Packets to it are not drawn to the translator by its "
		"routes.");
	nat64_release(&n);
}

static void a_prefix_is_named(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained e = explain(&n, "192.0.2.248");

	(void)state;
	assert_int_equal(e.by, NAT64_BY_PREFIX);
	is(&e.out, "64:ff9b::c000:2f8");
	assert_string_equal(e.rule, "64:ff9b::/96");
	assert_false(e.drawn);
	e = explain(&n, "64:ff9b::c000:201"); /* 192.0.2.1 is mapped elsewhere */
	is(&e.out, "192.0.2.1");
	assert_true(e.drawn && e.one_way);
	is(&e.back, "2001:db8:aaaa::");
	nat64_release(&n);
}

static void sides_and_hosts_draw(void **state)
{
	struct nat64 n = figure1();

	(void)state;
	assert_true(explain(&n, "192.0.2.193").drawn);
	assert_true(explain(&n, "2001:db8:eeee:9::").drawn);
	assert_false(explain(&n, "192.0.2.225").drawn);
	assert_false(explain(&n, "2001:db8:aaaa::").drawn);
	assert_false(explain(&n, "198.51.100.1").drawn);
	n.conf.n_hosts = 1;
	n.conf.hosts[0] = (struct nat64_net4){.addr = htonl(0xc6336400), .len = 24};
	assert_true(explain(&n, "198.51.100.1").drawn);
	nat64_release(&n);
}

static void reasons_why_not(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained e = explain(&n, "2001:db8::1234");

	(void)state;
	assert_int_equal(e.verdict, NAT64_UNMAPPED);
	assert_int_equal(e.by, NAT64_BY_NONE);
	assert_string_equal(e.rule, "");
	assert_string_equal(
		e.text, "2001:db8::1234 has no IPv4 address: no mapping and no prefix covers it.");
	n.conf.n_pool4 = 1;
	e = explain(&n, "2001:db8::1234");
	assert_non_null(
		strstr(e.text, "Only ICMP errors from it are translated, with a source from "
			       "pool4."));
	e = explain(&n, "127.0.0.1");
	assert_int_equal(e.verdict, NAT64_BOGON);
	e = explain(&n, "64:ff9b::127.0.0.1");
	assert_int_equal(e.verdict, NAT64_BOGON);
	assert_string_equal(e.text, "64:ff9b::7f00:1 would become 127.0.0.1 by the prefix "
				    "64:ff9b::/96, but 127.0.0.1 is in bogons: it is never "
				    "translated.");
	e = explain(&n, "fe80::1");
	assert_int_equal(e.verdict, NAT64_ILLEGAL);
	e = explain(&n, "::1");
	assert_int_equal(e.verdict, NAT64_ILLEGAL);
	n.conf.n_prefixes = 0;
	assert_int_equal(explain(&n, "198.51.100.1").verdict, NAT64_UNMAPPED);
	nat64_release(&n);
}

/* RFC6052-3.1/2; a mapping is exempt. */
static void the_well_known_prefix_and_non_global_addresses(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained e;

	(void)state;
	n.conf.wkp_non_global = 0;
	e = explain(&n, "10.0.0.1");
	assert_int_equal(e.verdict, NAT64_NON_GLOBAL);
	assert_int_equal(e.by, NAT64_BY_PREFIX);
	is(&e.out, "64:ff9b::a00:1");
	assert_string_equal(nat64_verdict_name(e.verdict), "non_global");
	assert_int_equal(explain(&n, "64:ff9b::192.0.2.33").verdict, NAT64_NON_GLOBAL);
	assert_int_equal(explain(&n, "64:ff9b::1").verdict, NAT64_MAPPED);
	assert_int_equal(explain(&n, "8.8.8.8").verdict, NAT64_MAPPED);
	nat64_release(&n);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(nat64_verdict_name(NAT64_MAPPED), "mapped");
	assert_string_equal(nat64_verdict_name(NAT64_ILLEGAL), "illegal");
	assert_string_equal(nat64_by_name(NAT64_BY_EAM), "mapping");
	assert_string_equal(nat64_by_name(NAT64_BY_NONE), "none");
}

/* --- packets --- */

static struct nat64_explained_packet packet(const struct nat64 *n, const char *src, const char *dst)
{
	struct nat64_addr s = addr(src), d = addr(dst);
	struct nat64_explained_packet e;

	assert_int_equal(nat64_explain_packet(n, &s, &d, &e), 0);
	return e;
}

static void a_packet_each_way(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained_packet e = packet(&n, "198.51.100.1", "192.0.2.1");

	(void)state;
	assert_true(e.translated && !e.hairpinned);
	assert_int_equal(e.reason, NAT64_translated_4to6);
	is(&e.out_src, "64:ff9b::c633:6401");
	is(&e.out_dst, "2001:db8:aaaa::");
	assert_non_null(strstr(e.text, "A packet from 198.51.100.1 to 192.0.2.1 becomes one from "
				       "64:ff9b::c633:6401 to 2001:db8:aaaa::."));
	e = packet(&n, "2001:db8:aaaa::", "64:ff9b::198.51.100.1");
	assert_int_equal(e.reason, NAT64_translated_6to4);
	is(&e.out_src, "192.0.2.1");
	is(&e.out_dst, "198.51.100.1");
	nat64_release(&n);
}

/* RFC 7757, figures 8 and 11 */
static void hairpinned_packets(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained_packet e = packet(&n, "2001:db8:aaaa::", "64:ff9b::192.0.2.2");

	(void)state;
	assert_true(e.translated && e.hairpinned);
	is(&e.mid_src, "192.0.2.1");
	is(&e.mid_dst, "192.0.2.2");
	is(&e.out_src, "64:ff9b::c000:201");
	is(&e.out_dst, "2001:db8:bbbb::b");
	assert_non_null(strstr(e.text, "turns back to IPv6 at once, from 64:ff9b::c000:201 to "
				       "2001:db8:bbbb::b"));
	e = packet(&n, "2001:db8:bbbb::b", "64:ff9b::192.0.2.1");
	assert_true(e.hairpinned);
	is(&e.out_src, "64:ff9b::c000:202");
	is(&e.out_dst, "2001:db8:aaaa::");
	n.conf.hairpin = NAT64_HAIRPIN_OFF;
	e = packet(&n, "2001:db8:aaaa::", "64:ff9b::192.0.2.2");
	assert_true(e.translated && !e.hairpinned);
	is(&e.out_dst, "192.0.2.2");
	nat64_release(&n);
}

/* RFC7757-4.2.1/1: the second half of figure 8 */
static void simple_hairpinning_passes_over_the_source(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained_packet e;

	(void)state;
	n.conf.hairpin = NAT64_HAIRPIN_SIMPLE;
	e = packet(&n, "192.0.2.1", "192.0.2.2");
	assert_true(e.translated);
	is(&e.out_src, "64:ff9b::c000:201");
	is(&e.out_dst, "2001:db8:bbbb::b");
	assert_non_null(strstr(e.text, "hairpin is \"simple\""));
	nat64_release(&n);
}

static void dropped_packets(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained_packet e = packet(&n, "127.0.0.1", "192.0.2.1");
	struct nat64_addr a = addr("192.0.2.1"), b = addr("64:ff9b::1");

	(void)state;
	assert_false(e.translated);
	assert_int_equal(e.reason, NAT64_illegal_src4);
	assert_non_null(strstr(e.text, "is dropped, counted as illegal_src4: "));
	e = packet(&n, "2001:db8::1234", "64:ff9b::192.0.2.33");
	assert_int_equal(e.reason, NAT64_unmapped_src6);
	assert_int_equal(e.src.verdict, NAT64_UNMAPPED);
	assert_int_equal(e.dst.verdict, NAT64_MAPPED);
	n.conf.wkp_non_global = 0;
	e = packet(&n, "10.0.0.1", "192.0.2.1");
	assert_int_equal(e.reason, NAT64_non_global);
	assert_true(nat64_explain_packet(&n, &a, &b, &e) < 0);
	nat64_release(&n);
}

/* RFC7915-4.4/1: the sender is told, if there is an address to do it from. */
static void dropped_and_answered(void **state)
{
	struct nat64 n = figure1();
	struct nat64_explained_packet e;

	(void)state;
	n.conf.own4 = htonl(0xc00002fe);
	n.conf.n_prefixes = 0;
	e = packet(&n, "198.51.100.1", "192.0.2.1");
	assert_false(e.translated);
	assert_int_equal(e.reason, NAT64_unmapped_src4);
	assert_true(e.answered);
	assert_non_null(strstr(e.text, "is dropped with an ICMP error to its source, counted as "
				       "unmapped_src4: "));
	nat64_release(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_of_addresses),
		cmocka_unit_test(a_mapping_is_named),
		cmocka_unit_test(a_prefix_is_named),
		cmocka_unit_test(sides_and_hosts_draw),
		cmocka_unit_test(reasons_why_not),
		cmocka_unit_test(the_well_known_prefix_and_non_global_addresses),
		cmocka_unit_test(names),
		cmocka_unit_test(a_packet_each_way),
		cmocka_unit_test(hairpinned_packets),
		cmocka_unit_test(simple_hairpinning_passes_over_the_source),
		cmocka_unit_test(dropped_packets),
		cmocka_unit_test(dropped_and_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
