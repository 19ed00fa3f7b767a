/* test_conf.c - the translator's configuration: each mistake is told with its file, line and key,
 * all at once; the file of mappings; the example has no mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "nat64/conf.h"

static char dir[] = "/tmp/test_nat64_conf.XXXXXX";
static char path[64], map_path[64];
static char told[8192]; /* what went to stderr, the directory's name cut out */

static unsigned read_file(const char *file, struct nat64_file *out)
{
	FILE *tmp = tmpfile();
	int saved = dup(2);
	unsigned n;
	char *p;

	assert_non_null(tmp);
	fflush(stderr);
	dup2(fileno(tmp), 2);
	n = nat64_conf_read(file, out);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(tmp);
	told[fread(told, 1, sizeof(told) - 1, tmp)] = '\0';
	fclose(tmp);
	while ((p = strstr(told, dir)))
		memmove(p, p + strlen(dir) + 1, strlen(p + strlen(dir) + 1) + 1);
	return n;
}

static void write_file(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static unsigned read_text(const char *text, struct nat64_file *out)
{
	write_file(path, text);
	return read_file(path, out);
}

#define OWN "address4 = \"192.0.2.254\"; address6 = \"2001:db8::fe\";"

/* These lines, and as many mistakes among them as 'n'. */
static void check(const char *text, unsigned n, const char *want)
{
	struct nat64_file f;
	unsigned got = read_text(text, &f);

	assert_string_equal(told, want);
	assert_int_equal(got, n);
	nat64_conf_free(&f);
}

static void everything_is_read(void **state)
{
	struct nat64_file f;
	const struct nat64_conf *c = &f.nat64.conf;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	read_text(
		"prefixes = ( { prefix = \"2001:db8:100::/40\"; ipv4 = \"10.0.0.0/8\";\n"
		"  hosts = ( \"10.1.0.0/16\", \"10.2.0.1\" ) },\n"
		"  { prefix = \"64:ff9b::/96\" } );\n"
		"mappings = ( { ipv4 = \"192.0.2.1\"; ipv6 = \"2001:db8::1\" },\n"
		"  { ipv4 = \"192.0.2.16/28\"; ipv6 = \"2001:db8:cccc::/124\"; side = \"both\" },\n"
		"  { ipv4 = \"192.0.0.1/32\"; ipv6 = \"2001:db8::2/128\"; side = \"ipv4\" } );\n"
		"engine = \"ebpf\"; interfaces = ( \"eth0\", \"eth1\" ); forward = \"stack\";\n"
		"device = \"siit\"; mtu = 9000; queues = 2; errors_per_second = 7;\n"
		"address4 = \"192.0.2.254\"; address6 = \"2001:db8::fe\";\n"
		"pool4 = ( \"198.51.100.0/29\", \"203.0.113.1\" ); pool6 = ( \"2001:db8:6::/64\" "
		");\n"
		"bogons = ( \"127.0.0.0/8\" ); lowest_ipv6_mtu = 1400;\n"
		"udp_zero_checksum = \"compute\"; hairpin = \"off\"; tos_4to6 = \"zero\";\n"
		"tos_6to4 = \"0x2e\"; allow_non_global = true; origin_object = false;\n"
		"control = \"/run/x.sock\";\n",
		&f);
	assert_string_equal(told, "");
	assert_int_equal(c->n_prefixes, 2);
	assert_int_equal(c->prefixes[0].net.len, 40);
	assert_int_equal(c->prefixes[0].scope.len, 8);
	assert_int_equal(c->prefixes[0].scope.addr, htonl(10u << 24));
	assert_int_equal(c->prefixes[1].scope.len, 0);
	assert_string_equal(
		inet_ntop(AF_INET6, &c->prefixes[1].net.addr, text, sizeof(text)), "64:ff9b::");
	assert_int_equal(c->n_hosts, 2);
	assert_int_equal(c->hosts[0].len, 16);
	assert_int_equal(c->hosts[1].len, 32);
	assert_int_equal(f.nat64.n_eams, 3);
	assert_int_equal(f.nat64.eams[0].side, NAT64_IPV6_HOST);
	assert_int_equal(f.nat64.eams[1].side, NAT64_BOTH);
	assert_int_equal(f.nat64.eams[1].v6.len, 124);
	assert_int_equal(f.nat64.eams[2].side, NAT64_IPV4_HOST);
	assert_non_null(f.nat64.table);
	assert_memory_equal(c->lens4, "\40\34", 2);
	assert_int_equal(f.engine, NAT64_ENGINE_EBPF);
	assert_int_equal(f.n_interfaces, 2);
	assert_string_equal(f.interfaces[1], "eth1");
	assert_string_equal(f.device, "siit");
	assert_int_equal(f.mtu, 9000);
	assert_int_equal(f.queues, 2);
	assert_int_equal(f.errors_per_second, 7);
	assert_int_equal(c->own4, inet_addr("192.0.2.254"));
	assert_string_equal(inet_ntop(AF_INET6, &c->own6, text, sizeof(text)), "2001:db8::fe");
	assert_int_equal(c->n_pool4, 2);
	assert_int_equal(c->pool4[0].len, 29);
	assert_int_equal(c->n_pool6, 1);
	assert_int_equal(c->n_bogons, 1);
	assert_int_equal(c->lowest_mtu6, 1400);
	assert_int_equal(c->udp_zero, NAT64_UDP_ZERO_COMPUTE);
	assert_int_equal(c->hairpin, NAT64_HAIRPIN_OFF);
	assert_true(c->zero_tos && c->set_tos && c->wkp_non_global && !c->origin_object);
	assert_int_equal(c->tos, 0x2e);
	assert_true(c->forward_stack);
	nat64_conf_free(&f);
}

static void defaults(void **state)
{
	struct nat64_file f;
	const struct nat64_conf *c = &f.nat64.conf;

	(void)state;
	read_text(OWN "prefixes = ( { prefix = \"64:ff9b::/96\" } );", &f);
	assert_string_equal(told, "");
	assert_string_equal(f.device, "nat64");
	assert_string_equal(f.control, "/run/nemo/nat64.sock");
	assert_int_equal(f.engine, NAT64_ENGINE_AUTO);
	assert_int_equal(f.mtu, 65535);
	assert_int_equal(f.errors_per_second, 100);
	assert_int_equal(c->lowest_mtu6, 1280);
	assert_int_equal(c->hairpin, NAT64_HAIRPIN_INTRINSIC); /* RFC7757-4.2/2 */
	assert_int_equal(c->udp_zero, NAT64_UDP_ZERO_DROP);
	assert_true(c->origin_object && !c->wkp_non_global && !c->set_tos && !c->zero_tos);
	assert_int_equal(c->n_bogons, 5);
	assert_int_equal(c->bogons[3].addr, inet_addr("224.0.0.0"));
	assert_int_equal(c->bogons[3].len, 4);
	nat64_conf_free(&f);
	read_text(OWN "prefixes = ( { prefix = \"64:ff9b::/96\" } ); bogons = ( );", &f);
	assert_int_equal(c->n_bogons, 0);
	nat64_conf_free(&f);
}

/* RFC6052-2.2/2, 2.2/3, 2.2/5 */
static void prefixes_that_rfc_6052_does_not_allow(void **state)
{
	(void)state;
	check(OWN "prefixes = (\n"
		  "{ prefix = \"2001:db8:1::/63\"; ipv4 = \"1.0.0.0/8\" },\n"
		  "{ prefix = \"2001:db8:1:2:ff00::/96\"; ipv4 = \"2.0.0.0/8\" },\n"
		  "{ prefix = \"64:ff9b::/64\"; ipv4 = \"3.0.0.0/8\" },\n"
		  "{ prefix = \"2001:db8:2::1/96\"; ipv4 = \"4.0.0.0/8\" },\n"
		  "{ prefix = \"ff0e::/96\"; ipv4 = \"5.0.0.0/8\" },\n"
		  "{ prefix = \"64:ff9b:1::/48\"; ipv4 = \"6.0.0.0/8\" },\n"
		  "{ ipv4 = \"192.0.2.1/24\" } );\n",
		7,
		"c:5: prefixes[3].prefix: \"2001:db8:2::1/96\" has host bits set; did you mean "
		"2001:db8:2::/96?\n"
		"c:8: prefixes[6].prefix: is required and missing\n"
		"c:8: prefixes[6].ipv4: \"192.0.2.1/24\" has host bits set; did you mean "
		"192.0.2.0/24?\n"
		"c:2: prefix: 2001:db8:1::/63: the length must be 32, 40, 48, 56, 64 or 96\n"
		"c:3: prefix: 2001:db8:1:2:ff00::/96: bits 64 to 71 must be 0 (RFC 6052 s2.2)\n"
		"c:4: prefix: 64:ff9b::/64: the well-known prefix is 64:ff9b::/96 and nothing "
		"else\n"
		"c:6: prefix: ff0e::/96 is no unicast prefix beyond a link\n");
}

static void prefixes_against_each_other(void **state)
{
	(void)state;
	check(OWN "prefixes = (\n"
		  "{ prefix = \"2001:db8::/32\" },\n"
		  "{ prefix = \"2001:db8::/32\"; ipv4 = \"1.0.0.0/8\" },\n"
		  "{ prefix = \"2001:db8:100::/40\"; ipv4 = \"2.0.0.0/8\" },\n"
		  "{ prefix = \"2001:dba::/32\"; ipv4 = \"3.0.0.0/8\"; hosts = ( \"4.0.0.0/24\" ) "
		  "},\n"
		  "{ prefix = \"2001:dbb::/32\" } );\n",
		3,
		"c:3: prefix: 2001:db8::/32 is used before, in line 2\n"
		"c:4: prefix: warning: 2001:db8:100::/40 overlaps that of line 2: the longer "
		"decides\n"
		"c:4: prefix: warning: 2001:db8:100::/40 overlaps that of line 3: the longer "
		"decides\n"
		"c:5: hosts: 4.0.0.0/24 is outside the prefix's ipv4\n"
		"c:6: ipv4: 0.0.0.0/0 goes into the prefix of line 2 already: answers would come "
		"from there\n");
}

/* RFC6052-3.1/1, 3.1/4 */
static void the_well_known_prefix_has_limits(void **state)
{
	(void)state;
	check(OWN "prefixes = (\n"
		  "{ prefix = \"64:ff9b::/96\"; hosts = ( \"8.8.8.0/24\" ) } );\n",
		0,
		"c:2: hosts: warning: the well-known prefix should not number IPv6 hosts (RFC 6052 "
		"s3.1)\n");
	check(OWN "prefixes = ( { prefix = \"64:ff9b::/96\"; ipv4 = \"10.0.0.0/8\" } );\n", 0,
		"c:1: ipv4: warning: 10.0.0.0/8 is not global: with the well-known prefix every "
		"packet is dropped\n");
	check(OWN "prefixes = ( { prefix = \"64:ff9b::/96\"; ipv4 = \"10.0.0.0/8\" } );\n"
		  "allow_non_global = true;\n",
		0, "");
}

/* RFC7757-3.2/3, 5/1, 5/2 */
static void mappings_that_rfc_7757_does_not_allow(void **state)
{
	(void)state;
	check(OWN "mappings = (\n"
		  "{ ipv4 = \"192.0.2.0/24\"; ipv6 = \"2001:db8::/124\" },\n"
		  "{ ipv4 = \"198.51.100.1\"; ipv6 = \"2001:db8:1::1\" },\n"
		  "{ ipv4 = \"198.51.100.1\"; ipv6 = \"2001:db8:1::2\" },\n"
		  "{ ipv4 = \"198.51.100.3\"; ipv6 = \"2001:db8:1::1\" },\n"
		  "{ ipv4 = \"198.51.100.4\"; ipv6 = \"fe80::1\" },\n"
		  "{ ipv4 = \"127.0.0.1\"; ipv6 = \"2001:db8:1::5\" },\n"
		  "{ ipv4 = \"198.51.100.16/28\"; ipv6 = \"2001:db8:2::/124\"; side = \"left\" } "
		  ");\n",
		5,
		"c:8: mappings[6].side: \"left\" is not one of \"ipv6\", \"ipv4\", \"both\"\n"
		"c:2: mappings: 192.0.2.0/24 has 8 bits behind it, 2001:db8::/124 only 4: it needs "
		"as many or more\n"
		"c:6: mappings: fe80::1/128 is no unicast prefix beyond a link\n"
		"c:7: mappings: warning: 127.0.0.1/32 is in bogons: it is never translated\n"
		"c:4: mappings: 198.51.100.1/32 is mapped already, in line 3\n"
		"c:5: mappings: 2001:db8:1::1/128 is mapped already, in line 3\n");
}

/* RFC7757-5/1, figure 2 */
static void overlapping_mappings_are_told(void **state)
{
	(void)state;
	check(OWN "mappings = (\n"
		  "{ ipv4 = \"0.0.0.0/0\"; ipv6 = \"2001:db8:ff00::/40\" },\n"
		  "{ ipv4 = \"198.51.100.64\"; ipv6 = \"2001:db8::abcd\" } );\n",
		0,
		"c:3: mappings: warning: 198.51.100.64/32 lies inside the mapping of line 2: "
		"2001:db8:ffc6:3364:4000:: leads there, but not back\n");
	check(OWN "mappings = (\n"
		  "{ ipv4 = \"192.0.2.0/24\"; ipv6 = \"2001:db8::/120\" },\n"
		  "{ ipv4 = \"192.0.2.64/28\"; ipv6 = \"2001:db8::40/124\" } );\n",
		0, "");
}

static void many_overlaps_are_counted(void **state)
{
	static char text[16384];
	struct nat64_file f;
	size_t n = (size_t)sprintf(text,
		OWN "mappings_file = \"m\"; mappings = ( { ipv4 = \"10.0.0.0/8\"; ipv6 = "
		    "\"2001:db8::/64\" } );");

	(void)state;
	write_file(path, text);
	for (unsigned i = n = 0; i < 30; i++)
		n += (size_t)sprintf(text + n, "10.0.0.%u 2001:db8:1::%x\n", i, i);
	write_file(map_path, text);
	assert_int_equal(read_file(path, &f), 0);
	assert_non_null(strstr(told, "m:10: mappings: warning: 10.0.0.9/32 lies inside the mapping "
				     "of c:1: "));
	assert_null(strstr(told, "m:11:"));
	assert_non_null(strstr(told, "c:1: mappings: warning: 20 more lie inside others\n"));
	nat64_conf_free(&f);
}

static void the_rest_fits_together(void **state)
{
	(void)state;
	check("prefixes = ( { prefix = \"2001:db8::/96\" } );\n", 0,
		"c: address4: warning: neither it nor pool4 is set: IPv4 hosts get no ICMP errors "
		"from here\n"
		"c: address6: warning: neither it nor pool6 is set: IPv6 hosts get no ICMP errors "
		"from here\n");
	check("prefixes = ( { prefix = \"2001:db8::/96\" } );\n"
	      "address4 = \"224.0.0.1\"; address6 = \"ff02::1\"; tos_6to4 = \"256\";\n"
	      "pool4 = ( \"240.0.0.1\" ); pool6 = ( \"fe80::/64\" );\n"
	      "engine = \"ebpf\"; device = \"\"; adress4 = \"192.0.2.1\";\n",
		8,
		"c:4: adress4: unknown key; did you mean address4?\n"
		"c:3: pool4: 240.0.0.1/32 is in bogons: nobody would answer it\n"
		"c:3: pool6: fe80::/64 is no unicast prefix beyond a link\n"
		"c:2: address4: is in bogons: nobody would answer it\n"
		"c:2: address6: not a unicast routable address\n"
		"c:2: tos_6to4: \"256\" is neither \"copy\" nor a number 0..255\n"
		"c: interfaces: the eBPF engine needs at least one\n"
		"c:4: device: is empty\n");
	check(OWN, 1, "c: prefixes: no prefix and no mapping: nothing to translate\n");
	check(OWN "engine = \"tun\";\nengine = \"tun\";\n", 1, "c:2: duplicate setting name\n");
}

/* RFC6791-3.1/2 */
static void a_private_pool_is_told(void **state)
{
	(void)state;
	check(OWN "prefixes = ( { prefix = \"2001:db8::/96\" } );\n"
		  "pool4 = ( \"10.0.0.0/30\", \"198.51.100.1\", \"100.64.1.0/24\" );\n",
		0,
		"c:2: pool4: warning: 10.0.0.0/30 is private: errors from it get lost at filters "
		"(RFC 6791 s3.1)\n"
		"c:2: pool4: warning: 100.64.1.0/24 is private: errors from it get lost at filters "
		"(RFC 6791 s3.1)\n");
}

/* Digest of RFC 7757: with 0.0.0.0/0 mapped every destination is "in the table"; simple
 * hairpinning never maps an IPv4 source. */
static void hairpin_modes_that_swallow_all(void **state)
{
	(void)state;
	check(OWN "prefixes = ( { prefix = \"2001:db8::/96\" } );\n"
		  "mappings = ( { ipv4 = \"0.0.0.0/0\"; ipv6 = \"2001:db8:ff00::/40\" } );\n",
		0,
		"c: hairpin: warning: 0.0.0.0/0 is mapped: every packet to a prefix turns back to "
		"IPv6, none reaches IPv4; set it to \"off\"\n");
	check(OWN "hairpin = \"simple\";\n"
		  "mappings = ( { ipv4 = \"192.0.2.0/24\"; ipv6 = \"2001:db8::/120\" } );\n",
		0,
		"c:1: hairpin: warning: \"simple\" puts IPv4 sources into a prefix, and there is "
		"none: nothing is translated to IPv6; set it to \"intrinsic\"\n");
}

#define WITH_FILE OWN "mappings_file = \"m\";\n"

static void the_file_of_mappings(void **state)
{
	struct nat64_file f;

	(void)state;
	write_file(map_path, "# IPv4 IPv6 side\n\n"
			     "192.0.2.1 2001:db8::1\n"
			     "\t192.0.2.16/28\t2001:db8:cccc::/124  both # a block\r\n"
			     "192.0.2.3 2001:db8::3 ipv4");
	assert_int_equal(read_text(WITH_FILE, &f), 0);
	assert_string_equal(told, "");
	assert_int_equal(f.nat64.n_eams, 3);
	assert_int_equal(f.nat64.eams[0].side, NAT64_IPV6_HOST);
	assert_int_equal(f.nat64.eams[1].side, NAT64_BOTH);
	assert_int_equal(f.nat64.eams[1].v4.len, 28);
	assert_int_equal(f.nat64.eams[2].side, NAT64_IPV4_HOST);
	nat64_conf_free(&f);
}

static void mistakes_in_the_file_of_mappings(void **state)
{
	(void)state;
	write_file(map_path, "192.0.2.1\n"
			     "192.0.2.300 2001:db8::1\n"
			     "192.0.2.1/24 2001:db8::1/64\n"
			     "192.0.2.1 2001:db8::1 left\n"
			     "192.0.2.1 2001:db8::1 both 3\n"
			     "192.0.2.0/24 2001:db8::/124\n"
			     "198.51.100.1 2001:db8:1::1\n"
			     "198.51.100.2 2001:db8:1::2\n"
			     "198.51.100.1 2001:db8:1::3\n");
	check(WITH_FILE "mappings = ( { ipv4 = \"203.0.113.1\"; ipv6 = \"2001:db8:1::2\" } );\n", 9,
		"m:1: \"192.0.2.1\": an IPv6 address must follow\n"
		"m:2: ipv4: \"192.0.2.300\" is not an IPv4 prefix (address/length)\n"
		"m:3: ipv4: \"192.0.2.1/24\" has host bits set; did you mean 192.0.2.0/24?\n"
		"m:3: ipv6: \"2001:db8::1/64\" has host bits set; did you mean 2001:db8::/64?\n"
		"m:4: \"left\" is not one of ipv6, ipv4, both\n"
		"m:5: \"3\": nothing may follow\n"
		"m:6: mappings: 192.0.2.0/24 has 8 bits behind it, 2001:db8::/124 only 4: it needs "
		"as many or more\n"
		"m:9: mappings: 198.51.100.1/32 is mapped already, in line 7\n"
		"m:8: mappings: 2001:db8:1::2/128 is mapped already, in c:2\n");
	unlink(map_path);
	check(WITH_FILE, 1, "m: No such file or directory\n");
}

static void a_hundred_thousand_mappings(void **state)
{
	FILE *out = fopen(map_path, "w");
	struct nat64_key key = {.family = 4, .len = 32};
	struct nat64_file f;

	(void)state;
	assert_non_null(out);
	for (unsigned i = 0; i < 100000; i++)
		fprintf(out, "10.%u.%u.%u 2001:db8:0:%x::%x\n", i >> 16, i >> 8 & 255, i & 255,
			i >> 8, i & 255);
	fclose(out);
	assert_int_equal(read_text(WITH_FILE, &f), 0);
	assert_string_equal(told, "");
	assert_int_equal(f.nat64.n_eams, 100000);
	assert_int_equal(f.nat64.conf.n_lens4, 1);
	for (unsigned i = 0; i < 100000; i++) {
		key.addr.w[0] = htonl(10u << 24 | i);
		assert_ptr_equal(nat64_table_find(f.nat64.table, &key), &f.nat64.eams[i]);
	}
	key.addr.w[0] = htonl(10u << 24 | 100000);
	assert_null(nat64_table_find(f.nat64.table, &key));
	nat64_conf_free(&f);
}

static void the_example_is_right(void **state)
{
	struct nat64_file f;

	(void)state;
	assert_int_equal(read_file("conf/wide-cloud/nat64.conf", &f), 0);
	assert_string_equal(told, "");
	assert_int_equal(f.nat64.n_eams, 9);
	nat64_conf_free(&f);
}

static void what_is_no_configuration(void **state)
{
	struct nat64_file f;

	(void)state;
	check("prefixes = (", 1, "c:1: syntax error\n");
	assert_int_equal(read_file("/nonexistent/nat64.conf", &f), 1);
	assert_string_equal(told, "/nonexistent/nat64.conf: No such file or directory\n");
	nat64_conf_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(defaults),
		cmocka_unit_test(prefixes_that_rfc_6052_does_not_allow),
		cmocka_unit_test(prefixes_against_each_other),
		cmocka_unit_test(the_well_known_prefix_has_limits),
		cmocka_unit_test(mappings_that_rfc_7757_does_not_allow),
		cmocka_unit_test(overlapping_mappings_are_told),
		cmocka_unit_test(many_overlaps_are_counted),
		cmocka_unit_test(the_rest_fits_together),
		cmocka_unit_test(a_private_pool_is_told),
		cmocka_unit_test(hairpin_modes_that_swallow_all),
		cmocka_unit_test(the_file_of_mappings),
		cmocka_unit_test(mistakes_in_the_file_of_mappings),
		cmocka_unit_test(a_hundred_thousand_mappings),
		cmocka_unit_test(the_example_is_right),
		cmocka_unit_test(what_is_no_configuration),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/c", dir);
	snprintf(map_path, sizeof(map_path), "%s/m", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	unlink(map_path);
	rmdir(dir);
	return failed;
}
