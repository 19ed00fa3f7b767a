/* test_import.c - other translators' configurations: the result says the same in our words, is
 * accepted as a configuration, and what has no equivalent is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "nat64/conf.h"
#include "nat64/import.h"

static char *import(const char *text)
{
	char why[256] = "";
	char *ours = nat64_import(text, strlen(text), "old.conf", why);

	if (!ours)
		fail_msg("%s", why);
	return ours;
}

static void becomes(const char *text, const char *want)
{
	char *ours = import(text);

	assert_string_equal(ours, want);
	free(ours);
}

static void refused(const char *text, size_t size, const char *want)
{
	char why[256] = "";

	assert_null(nat64_import(text, size, "old.conf", why));
	assert_string_equal(why, want);
}

static void a_map646_configuration(void **state)
{
	(void)state;
	becomes("# testbed\n"
		"tun-device tun646\n"
		"mapping-prefix 2001:200:d00:100::\n"
		"map-static 203.178.138.216 2001:200:d00:1::80\n"
		"map-static 203.178.138.217   2001:200:d00:2::80 # a host\r\n"
		"map-static 203.178.138.999 2001:200:d00:2::80\n"
		"icmp-quiet\n",
		"# nemo-nat64, from old.conf (map646).  nemo-nat64(8) has every setting.\n"
		"#\n# Not taken over, or not as it was:\n"
		"#   line 6: map-static 203.178.138.999 2001:200:d00:2::80: not an IPv4 and an "
		"IPv6 "
		"address or prefix\n"
		"#   line 7: icmp-quiet: unknown\n"
		"\n# Add \"hosts\" if IPv6 hosts have addresses inside a prefix.\n"
		"prefixes = (\n"
		"\t{ prefix = \"2001:200:d00:100::/96\"; }\n"
		");\n"
		"\nmappings = (\n"
		"\t{ ipv4 = \"203.178.138.216/32\"; ipv6 = \"2001:200:d00:1::80/128\"; },\n"
		"\t{ ipv4 = \"203.178.138.217/32\"; ipv6 = \"2001:200:d00:2::80/128\"; }\n"
		");\n"
		"\ndevice = \"tun646\";\n");
}

static void an_old_map646_configuration(void **state)
{
	char *ours = import("mapping-prefix 64:ff9b::\nstatic 192.0.2.1 2001:db8::100\n");

	(void)state;
	assert_non_null(strstr(ours, "{ prefix = \"64:ff9b::/96\"; }"));
	assert_non_null(strstr(ours, "{ ipv4 = \"192.0.2.1/32\"; ipv6 = \"2001:db8::100/128\"; }"));
	assert_null(strstr(ours, "Not taken over"));
	free(ours);
}

static void a_tayga_configuration(void **state)
{
	(void)state;
	becomes("tun-device nat64-0\n"
		"ipv4-addr 192.168.255.1\n"
		"prefix 2001:db8:1:ffff::/96\n"
		"dynamic-pool 192.168.255.0/24\n"
		"data-dir /var/spool/tayga\n"
		"map 192.168.5.42 2001:db8:1:4444::1\n"
		"map 198.51.100.0/28 2001:db8:cccc::/124\n"
		"map 198.51.100.17/28 2001:db8:dddd::/124\n"
		"wkpf-strict no\n"
		"udp-cksum-mode calc\n"
		"offlink-mtu 1480\n"
		"workers 4\n",
		"# nemo-nat64, from old.conf (TAYGA).  nemo-nat64(8) has every setting.\n"
		"#\n# Not taken over, or not as it was:\n"
		"#   line 4: dynamic-pool 192.168.255.0/24: nothing is assigned dynamically: give "
		"each of the hosts a mapping\n"
		"#   line 5: data-dir /var/spool/tayga: there is no state to keep\n"
		"#   line 8: map 198.51.100.17/28 2001:db8:dddd::/124: has host bits set, they "
		"were "
		"cleared\n"
		"\n# Add \"hosts\" if IPv6 hosts have addresses inside a prefix.\n"
		"prefixes = (\n"
		"\t{ prefix = \"2001:db8:1:ffff::/96\"; }\n"
		");\n"
		"\nmappings = (\n"
		"\t{ ipv4 = \"192.168.5.42/32\"; ipv6 = \"2001:db8:1:4444::1/128\"; },\n"
		"\t{ ipv4 = \"198.51.100.0/28\"; ipv6 = \"2001:db8:cccc::/124\"; },\n"
		"\t{ ipv4 = \"198.51.100.16/28\"; ipv6 = \"2001:db8:dddd::/124\"; }\n"
		");\n"
		"\ndevice = \"nat64-0\";\n"
		"address4 = \"192.168.255.1\";\n"
		"allow_non_global = true;\n"
		"udp_zero_checksum = \"compute\";\n"
		"lowest_ipv6_mtu = 1480;\n"
		"queues = 4;\n"
		"address6 = \"2001:db8:1:ffff::c0a8:ff01\";\n"); /* the prefix and ipv4-addr */
}

static void every_directive_of_tayga_is_known(void **state)
{
	char *ours = import("tun-device x\nipv4-addr 192.0.2.1\nipv6-addr 2001:db8::1\n"
			    "prefix 2001:db8:1::/96\ndynamic-pool 192.0.2.0/24\ndata-dir /x\n"
			    "map 192.0.2.2 2001:db8::2\nstrict-frag-hdr on\nwkpf-strict yes\n"
			    "map-file m\nlog drop\ntun-up yes\ntun-ip 192.0.2.3/24\n"
			    "tun-route 192.0.2.0/24\nudp-cksum-mode drop\nnonsense\n");

	(void)state;
	assert_null(strstr(ours, "tun-route 192.0.2.0/24: unknown"));
	assert_non_null(strstr(ours, "#   line 13: tun-ip 192.0.2.3/24: "));
	assert_non_null(strstr(ours, "#   line 16: nonsense: unknown\n"));
	assert_non_null(strstr(ours, "address6 = \"2001:db8::1\";"));
	free(ours);
}

static void a_jool_configuration(void **state)
{
	(void)state;
	becomes("{ \"comment\": \"x\", \"instance\": \"default\", \"framework\": \"netfilter\",\n"
		"  \"global\": { \"pool6\": \"2001:db8:100::/40\", \"lowest-ipv6-mtu\": 1500,\n"
		"    \"manually-enabled\": true, \"logging-debug\": false,\n"
		"    \"zeroize-traffic-class\": true, \"override-tos\": true, \"tos\": 46,\n"
		"    \"mtu-plateaus\": [1500, 1280], \"amend-udp-checksum-zero\": true,\n"
		"    \"eam-hairpin-mode\": \"simple\", \"randomize-rfc6791-addresses\": false,\n"
		"    \"rfc6791v4-prefix\": \"198.51.100.0/29\", \"rfc6791v6-prefix\": "
		"\"2001:db8:6791::/64\",\n"
		"    \"shiny\": \"a\\nb\" },\n"
		"  \"eamt\": [ { \"ipv4 prefix\": \"192.0.2.0/24\", \"ipv6 prefix\": "
		"\"2001:db8:4444::/120\" },\n"
		"    { \"ipv4 prefix\": \"203.0.113.7\", \"ipv6 prefix\": \"2001:db8::7\" },\n"
		"    { \"ipv4 prefix\": 7 } ],\n"
		"  \"denylist4\": [ \"10.0.0.0/8\", \"172.16.0.0/12\" ] }\n",
		"# nemo-nat64, from old.conf (Jool).  nemo-nat64(8) has every setting.\n"
		"#\n# Not taken over, or not as it was:\n"
		"#   instance \"default\": there is one translator per network namespace\n"
		"#   framework \"netfilter\": the kernel's routes lead packets here, no hook of "
		"netfilter's\n"
		"#   global.mtu-plateaus [1500,1280]: RFC 1191's plateaus are built in\n"
		"#   global.randomize-rfc6791-addresses false: the choice from pool4 is always "
		"random\n"
		"#   global.shiny \"a\\nb\": unknown\n"
		"#   eamt {\"ipv4 prefix\":7}: not an IPv4 and an IPv6 address or prefix\n"
		"#   denylist4: it kept addresses from pool6 only, bogons are not mapped either\n"
		"\n# Add \"hosts\" if IPv6 hosts have addresses inside a prefix.\n"
		"prefixes = (\n"
		"\t{ prefix = \"2001:db8:100::/40\"; }\n"
		");\n"
		"\nmappings = (\n"
		"\t{ ipv4 = \"192.0.2.0/24\"; ipv6 = \"2001:db8:4444::/120\"; },\n"
		"\t{ ipv4 = \"203.0.113.7/32\"; ipv6 = \"2001:db8::7/128\"; }\n"
		");\n"
		"\nbogons = ( \"0.0.0.0/8\", \"127.0.0.0/8\", \"169.254.0.0/16\", \"224.0.0.0/4\", "
		"\"240.0.0.0/4\", \"10.0.0.0/8\", \"172.16.0.0/12\" );\n"
		"\nlowest_ipv6_mtu = 1500;\n"
		"tos_4to6 = \"zero\";\n"
		"tos_6to4 = \"46\";\n"
		"udp_zero_checksum = \"compute\";\n"
		"hairpin = \"simple\";\n"
		"pool4 = ( \"198.51.100.0/29\" );\n"
		"pool6 = ( \"2001:db8:6791::/64\" );\n");
}

static void older_names_of_jool(void **state)
{
	char *ours = import("{ \"global\": { \"pool6\": null, \"reset-traffic-class\": false, "
			    "\"override-tos\": true, \"new-tos\": 8 }, \"blacklist4\": [], "
			    "\"eamt\": [] }");

	(void)state;
	assert_non_null(strstr(ours, "tos_4to6 = \"copy\";\ntos_6to4 = \"8\";\n"));
	assert_non_null(strstr(ours, "#   global.lowest-ipv6-mtu: not set: its default there is "
				     "1500, here 1280\n"));
	assert_null(strstr(ours, "bogons"));
	assert_null(strstr(ours, "prefixes"));
	free(ours);
	ours = import("{ \"global\": { \"override-tos\": false, \"tos\": 8 } }");
	assert_null(strstr(ours, "tos_6to4"));
	free(ours);
	ours = import("{ \"framework\": \"netfilter\", \"pool4\": [] }"); /* of the stateful one */
	assert_non_null(strstr(ours, "#   pool4 []: of a stateful NAT64"));
	free(ours);
}

/* Nothing of a hostile file gets out of its comment. */
static void comments_stay_comments(void **state)
{
	char *ours = import("{ \"eamt\": [ { \"ipv4 prefix\": \"1\\u000amtu = 3;\" } ], "
			    "\"in\\nstance\": 1 }");

	(void)state;
	for (char *p = ours; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		assert_true(*p == '#' || *p == '\0');
	free(ours);
	ours = import("tun-device a\";mtu=9\nprefix 2001:db8::/96\n");
	assert_null(strstr(ours, "\ndevice"));
	free(ours);
}

static void what_is_none_of_them(void **state)
{
	char why[256];

	(void)state;
	refused("", 0, "neither a map646, a TAYGA nor a Jool configuration");
	refused("tun-device x\n", 13, "neither a map646, a TAYGA nor a Jool configuration");
	refused("prefix\0", 7, "not a text file: it has a zero octet");
	refused("{ \"a\": 1 }", 10, "JSON, but without anything of Jool's configuration");
	assert_null(nat64_import("{\n\"global\": ", 12, "old.conf", why));
	assert_memory_equal(why, "line 2: ", 8); /* the rest is jansson's */
}

/* --- accepted as a configuration? --- */

static void results_are_configurations(void **state)
{
	static const char *const samples[] = {"mapping-prefix 2001:200:d00:100::\nmap-static "
					      "203.178.138.216 2001:200:d00:1::80\n",
		"tun-device nat64\nipv4-addr 203.0.113.1\nprefix 2001:db8:1:ffff::/96\n"
		"map 192.168.5.42 2001:db8:1:4444::1\nudp-cksum-mode drop\nworkers 2\n",
		"{ \"global\": { \"pool6\": \"2001:db8:100::/40\", \"lowest-ipv6-mtu\": 1500, "
		"\"rfc6791v4-prefix\": \"198.51.100.0/29\", \"rfc6791v6-prefix\": "
		"\"2001:db8:6791::/64\", \"override-tos\": true, \"tos\": 46, "
		"\"eam-hairpin-mode\": \"intrinsic\" }, \"denylist4\": [ \"10.0.0.0/8\" ], "
		"\"eamt\": [ { \"ipv4 prefix\": \"192.0.2.0/24\", "
		"\"ipv6 prefix\": \"2001:db8:4444::/120\" } ] }"};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char path[] = "/tmp/test_nat64_import.XXXXXX";
		FILE *f = fdopen(mkstemp(path), "w");
		char *ours = import(samples[i]);
		struct nat64_file file;

		assert_non_null(f);
		fputs(ours, f);
		fclose(f);
		free(ours);
		assert_int_equal(nat64_conf_read(path, &file), 0);
		assert_int_equal(file.nat64.conf.n_prefixes, 1);
		assert_int_equal(file.nat64.n_eams, 1);
		nat64_conf_free(&file);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map646_configuration),
		cmocka_unit_test(an_old_map646_configuration),
		cmocka_unit_test(a_tayga_configuration),
		cmocka_unit_test(every_directive_of_tayga_is_known),
		cmocka_unit_test(a_jool_configuration),
		cmocka_unit_test(older_names_of_jool),
		cmocka_unit_test(comments_stay_comments),
		cmocka_unit_test(what_is_none_of_them),
		cmocka_unit_test(results_are_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
