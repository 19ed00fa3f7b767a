/* test_conf.c - every kind of mistake in a configuration file is reported, with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "common/os/conf.h"

struct router {
	unsigned line;
	char name[16];
	struct in6_addr home;
	unsigned n_prefixes;
	struct prefix6 *prefixes;
};
struct site {
	char name[8];
	struct in6_addr address;
	struct prefix6 aggregate;
	uint8_t mac[6];
	unsigned lifetime, table;
	bool strict;
	int engine;
	unsigned n_routers, n_links, n_dns;
	struct router *routers;
	char (*links)[16];
	struct in6_addr *dns;
	struct in_addr gateway;
	struct prefix4 lan;
	unsigned n_nets4, n_nets6;
	struct prefix4 *nets4;
	struct prefix6 *nets6;
};

static const char *const engines[] = {"auto", "ebpf", "ip6tnl", NULL};
static const struct conf_key router_keys[] = {
	{"line", CONF_UINT, offsetof(struct router, line), .size = 1},
	{"name", CONF_STRING, offsetof(struct router, name), 16, .required = true, .help = "name"},
	{"home", CONF_ADDR6, offsetof(struct router, home), .required = true,
		.help = "home address"},
	{"prefixes", CONF_PREFIX6S, offsetof(struct router, prefixes), .max = 3, .help = "networks",
		.elem_size = sizeof(struct prefix6), .n_off = offsetof(struct router, n_prefixes)},
	{0},
};
static const struct conf_key keys[] = {
	{"name", CONF_STRING, offsetof(struct site, name), 8, .def = "\"home\"", .help = "name"},
	{"address", CONF_ADDR6, offsetof(struct site, address), .required = true,
		.help = "address"},
	{"aggregate", CONF_PREFIX6, offsetof(struct site, aggregate), .help = "prefix"},
	{"mac", CONF_MAC, offsetof(struct site, mac), .help = "MAC address"},
	{"lifetime", CONF_UINT, offsetof(struct site, lifetime), .def = "600", .min = 4,
		.max = 262140, .help = "lifetime, s"},
	{"table", CONF_UINT, offsetof(struct site, table), .def = "254", .help = "kernel table"},
	{"strict", CONF_BOOL, offsetof(struct site, strict), .def = "true", .help = "strict"},
	{"engine", CONF_ENUM, offsetof(struct site, engine), .def = "auto", .choices = engines,
		.help = "engine"},
	{"routers", CONF_GROUPS, offsetof(struct site, routers), .sub = router_keys,
		.elem_size = sizeof(struct router), .n_off = offsetof(struct site, n_routers),
		.help = "routers"},
	{"links", CONF_STRINGS, offsetof(struct site, links), .elem_size = 16,
		.n_off = offsetof(struct site, n_links), .help = "interfaces"},
	{"dns", CONF_ADDR6S, offsetof(struct site, dns), .elem_size = sizeof(struct in6_addr),
		.n_off = offsetof(struct site, n_dns), .help = "servers"},
	{"gateway", CONF_ADDR4, offsetof(struct site, gateway), .help = "gateway"},
	{"lan", CONF_PREFIX4, offsetof(struct site, lan), .def = "\"192.168.0.0/16\"",
		.help = "network"},
	{"nets4", CONF_PREFIX4S, offsetof(struct site, nets4), .elem_size = sizeof(struct prefix4),
		.def = "10.0.0.0/8, 192.0.2.1", .n_off = offsetof(struct site, n_nets4),
		.help = "networks"},
	{"nets6", CONF_PREFIX6S, offsetof(struct site, nets6), .elem_size = sizeof(struct prefix6),
		.bare = true, .n_off = offsetof(struct site, n_nets6), .help = "networks"},
	{0},
};

static char reported[4096]; /* the mistakes, one a line, without the file's name */
static char path[] = "/tmp/test_conf.XXXXXX";

static void report(void *arg, const char *line)
{
	size_t n = strlen(reported);

	(void)arg;
	assert_memory_equal(line, path, strlen(path));
	snprintf(reported + n, sizeof(reported) - n, "%s\n", line + strlen(path) + 1);
}

/* Reads 'text' as a file; the mistakes stand in reported[]. */
static unsigned read_text(const char *text, size_t size, struct site *out)
{
	struct conf c = {.file = path, .report = report};
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(text, 1, size, f);
	fclose(f);
	reported[0] = '\0';
	memset(out, 0xa5, sizeof(*out)); /* conf_read() has to zero it */
	return conf_read(&c, keys, out);
}

/* The file has just these mistakes. */
static void check(const char *text, const char *mistakes)
{
	struct site s;
	unsigned n = 0, got = read_text(text, strlen(text), &s);

	for (const char *p = mistakes; *p; p++)
		n += *p == '\n';
	assert_string_equal(reported, mistakes);
	assert_int_equal(got, n);
	conf_release(keys, &s);
}

static struct in6_addr ip(const char *s)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, s, &a), 1);
	return a;
}

#define ADDRESS "address = \"2001:db8::1\"\n"

static void every_type_is_read(void **state)
{
	static const char text[] = "name = \"ha1\"; /* not \" a string */\n" ADDRESS
				   "aggregate = \"2001:db8:100::/40\"\n"
				   "mac = \"02:00:5e:10:00:Ff\"\n"
				   "lifetime = 0x10\n"
				   "table = 4294967295\n"
				   "strict = false\n"
				   "engine = \"ip6tnl\"\n"
				   "routers = ( { name = \"a\"; home = \"2001:db8::a\";\n"
				   "    prefixes = [ \"2001:db8:1::/48\", \"::/0\" ] },\n"
				   "  { name = \"b\"; home = \"2001:db8::b\" } )\n"
				   "links = ( \"eth0\", \"eth1\" )\n"
				   "dns = [ ]\n";
	struct in6_addr a = ip("2001:db8::1"), b = ip("2001:db8::b"), any = ip("::");
	static const uint8_t mac[6] = {2, 0, 0x5e, 0x10, 0, 0xff};
	struct site s;

	(void)state;
	read_text(text, strlen(text), &s);
	assert_string_equal(reported, "");
	assert_string_equal(s.name, "ha1");
	assert_memory_equal(&s.address, &a, 16);
	assert_int_equal(s.aggregate.len, 40);
	assert_memory_equal(s.mac, mac, 6);
	assert_int_equal(s.lifetime, 16);
	assert_int_equal(s.table, 4294967295u);
	assert_false(s.strict);
	assert_int_equal(s.engine, 2);
	assert_int_equal(s.n_routers, 2);
	assert_string_equal(s.routers[0].name, "a");
	assert_int_equal(s.routers[0].n_prefixes, 2);
	assert_int_equal(s.routers[0].prefixes[0].len, 48);
	assert_memory_equal(&s.routers[0].prefixes[1].addr, &any, 16);
	assert_int_equal(s.routers[0].line, 9);
	assert_int_equal(s.routers[1].line, 11);
	assert_memory_equal(&s.routers[1].home, &b, 16);
	assert_null(s.routers[1].prefixes);
	assert_int_equal(s.n_links, 2);
	assert_string_equal(s.links[1], "eth1");
	assert_int_equal(s.n_dns, 0);
	conf_release(keys, &s);
	assert_null(s.routers);
	assert_int_equal(s.n_routers, 0);
}

static void defaults_fill_what_is_missing(void **state)
{
	struct site s;

	(void)state;
	assert_int_equal(read_text(ADDRESS, strlen(ADDRESS), &s), 0);
	assert_string_equal(s.name, "home");
	assert_int_equal(s.lifetime, 600);
	assert_int_equal(s.table, 254);
	assert_true(s.strict);
	assert_int_equal(s.engine, 0);
	assert_int_equal(s.aggregate.len, 0);
	assert_null(s.routers);
	conf_release(keys, &s);
}

static void ipv4_and_addresses_as_prefixes(void **state)
{
	static const char text[] = ADDRESS "gateway = \"192.0.2.254\"\n"
					   "lan = \"192.0.2.0/24\"\n"
					   "nets4 = ( \"198.51.100.0/24\", \"203.0.113.7\" )\n"
					   "nets6 = ( \"2001:db8::/32\", \"2001:db8::7\" )\n";
	struct site s;

	(void)state;
	read_text(text, strlen(text), &s);
	assert_string_equal(reported, "");
	assert_int_equal(s.gateway.s_addr, inet_addr("192.0.2.254"));
	assert_int_equal(s.lan.addr.s_addr, inet_addr("192.0.2.0"));
	assert_int_equal(s.lan.len, 24);
	assert_int_equal(s.n_nets4, 2);
	assert_int_equal(s.nets4[0].len, 24);
	assert_int_equal(s.nets4[1].len, 32);
	assert_int_equal(s.nets4[1].addr.s_addr, inet_addr("203.0.113.7"));
	assert_int_equal(s.n_nets6, 2);
	assert_int_equal(s.nets6[1].len, 128);
	conf_release(keys, &s);
	check(ADDRESS "gateway = \"192.0.2\"\nlan = \"192.0.2.1/24\"\n"
		      "nets4 = ( \"192.0.2.0/33\",\n \"x\" )\naggregate = \"2001:db8::\"\n",
		"6: aggregate: \"2001:db8::\" is not an IPv6 prefix (address/length)\n"
		"2: gateway: \"192.0.2\" is not an IPv4 address\n"
		"3: lan: \"192.0.2.1/24\" has host bits set; did you mean 192.0.2.0/24?\n"
		"4: nets4[0]: \"192.0.2.0/33\" is not an IPv4 prefix (address/length)\n"
		"5: nets4[1]: \"x\" is not an IPv4 prefix (address/length)\n");
}

static void lists_have_defaults(void **state)
{
	struct site s;

	(void)state;
	read_text(ADDRESS, strlen(ADDRESS), &s);
	assert_string_equal(reported, "");
	assert_int_equal(s.n_nets4, 2);
	assert_int_equal(s.nets4[0].addr.s_addr, inet_addr("10.0.0.0"));
	assert_int_equal(s.nets4[0].len, 8);
	assert_int_equal(s.nets4[1].len, 32);
	assert_int_equal(s.lan.len, 16);
	assert_int_equal(s.n_nets6, 0);
	conf_release(keys, &s);
	read_text(ADDRESS "nets4 = ( )\n", strlen(ADDRESS "nets4 = ( )\n"), &s);
	assert_int_equal(s.n_nets4, 0);
	conf_release(keys, &s);
}

static void warnings_and_single_values(void **state)
{
	static const struct conf_key key = {.name = "net", .type = CONF_PREFIX4};
	struct conf c = {.file = path, .report = report};
	struct prefix4 p;

	(void)state;
	reported[0] = '\0';
	conf_warn(&c, 3, "lan", "is %s", "wide");
	assert_int_equal(c.n_errors, 0);
	assert_true(conf_value(&c, 4, &key, "192.0.2.0/24", &p));
	assert_int_equal(p.len, 24);
	assert_false(conf_value(&c, 5, &key, "192.0.2.0/", &p));
	assert_int_equal(c.n_errors, 1);
	assert_string_equal(reported,
		"3: lan: warning: is wide\n"
		"5: net: \"192.0.2.0/\" is not an IPv4 prefix (address/length)\n");
}

static void unknown_keys_name_the_nearest(void **state)
{
	(void)state;
	check(ADDRESS "lifetim = 5\n", "2: lifetim: unknown key; did you mean lifetime?\n");
	check(ADDRESS "colour = 5\n", "2: colour: unknown key\n");
	check(ADDRESS "routers = ( { nam = \"x\"\n name = \"a\" home = \"::1\" } )\n",
		"2: routers[0].nam: unknown key; did you mean name?\n");
	/* what the reader fills in is no key */
	check(ADDRESS "routers = ( { line = 7\n name = \"a\" home = \"::1\" } )\n",
		"2: routers[0].line: unknown key\n");
}

static void wrong_types_are_mistakes(void **state)
{
	(void)state;
	check("address = 1\n", "1: address: must be a string, not a number\n");
	check(ADDRESS "lifetime = \"600\"\n",
		"2: lifetime: must be a whole number, not a string\n");
	check(ADDRESS "lifetime = 6.5\n",
		"2: lifetime: must be a whole number, not a number with a fraction\n");
	check(ADDRESS "strict = 1\n", "2: strict: must be true or false, not a number\n");
	check(ADDRESS "links = \"eth0\"\n", "2: links: must be a list ( ... ), not a string\n");
	check(ADDRESS "routers = ( \"a\" )\n",
		"2: routers[0]: must be a group { ... }, not a string\n");
	check(ADDRESS "engine = true\n", "2: engine: must be a string, not a truth value\n");
}

static void ranges_are_kept(void **state)
{
	(void)state;
	check(ADDRESS "lifetime = 3\n", "2: lifetime: is out of range, must be 4..262140\n");
	check(ADDRESS "lifetime = -1\n", "2: lifetime: is out of range, must be 4..262140\n");
	check(ADDRESS "lifetime = 262141\n", "2: lifetime: is out of range, must be 4..262140\n");
	/* 2^32 + 600: 600 when cut to 32 bits */
	check(ADDRESS "lifetime = 4294967896\n",
		"2: lifetime: is out of range, must be 4..262140\n");
	check(ADDRESS "lifetime = 0x100000258;\n",
		"2: lifetime: is out of range, must be 4..262140\n");
	check(ADDRESS "table = 99999999999999999999999\n",
		"2: table: is out of range, must be 0..4294967295\n");
	check(ADDRESS "name = \"12345678\"\n", "2: name: is longer than 7 characters\n");
	check(ADDRESS "engine = \"fast\"\n",
		"2: engine: \"fast\" is not one of \"auto\", \"ebpf\", \"ip6tnl\"\n");
	check(ADDRESS "routers = ( { name = \"a\"; home = \"::1\";\n"
		      "prefixes = [ \"1::/16\", \"2::/16\", \"3::/16\", \"4::/16\" ] } )\n",
		"3: routers[0].prefixes: has 4 elements, at most 3 are allowed\n");
}

static void texts_of_addresses_are_checked(void **state)
{
	(void)state;
	check("address = \"2001:db8::g\"\n",
		"1: address: \"2001:db8::g\" is not an IPv6 address\n");
	check("address = \"192.0.2.1\"\n", "1: address: \"192.0.2.1\" is not an IPv6 address\n");
	check(ADDRESS "aggregate = \"2001:db8::1/64\"\n",
		"2: aggregate: \"2001:db8::1/64\" has host bits set; did you mean "
		"2001:db8::/64?\n");
	check(ADDRESS "aggregate = \"2001:db8::/129\"\n",
		"2: aggregate: \"2001:db8::/129\" is not an IPv6 prefix (address/length)\n");
	check(ADDRESS "aggregate = \"2001:db8::\"\n",
		"2: aggregate: \"2001:db8::\" is not an IPv6 prefix (address/length)\n");
	for (const char *const *m = (const char *const[]){"02:00:00:00:00", "02:00:00:00:00:01:02",
		     "2:0:0:0:0:1", "02-00-00-00-00-01", "", NULL};
		*m; m++) {
		char text[128], mistake[128];

		snprintf(text, sizeof(text), ADDRESS "mac = \"%s\"\n", *m);
		snprintf(mistake, sizeof(mistake),
			"2: mac: \"%s\" is not a MAC address (02:00:00:00:00:01)\n", *m);
		check(text, mistake);
	}
}

static void required_keys_are_missed(void **state)
{
	(void)state;
	check("", " address: is required and missing\n");
	check(ADDRESS "routers = ( { name = \"a\"; home = \"::1\" },\n { name = \"\" } )\n",
		"3: routers[1].name: is empty\n"
		"3: routers[1].home: is required and missing\n");
}

static void list_elements_have_their_own_lines(void **state)
{
	(void)state;
	check(ADDRESS "dns = ( \"::1\",\n"
		      "  \"::2\",\n"
		      "  \"x\"   # , \"\n"
		      "  ,\n"
		      "  7, /* */\n"
		      "  \"y\"\n"
		      "\n"
		      ")\n",
		"4: dns[2]: \"x\" is not an IPv6 address\n"
		"6: dns[3]: must be a string, not a number\n"
		"7: dns[4]: \"y\" is not an IPv6 address\n");
	check(ADDRESS "routers = ( { name = \"a\"; home = \"::1\"; prefixes = [\n"
		      "  \"2001:db8::/32\",\n"
		      "  \"2001:db8::1/32\"\n"
		      "] } );\n",
		"4: routers[0].prefixes[1]: \"2001:db8::1/32\" has host bits set; did you mean "
		"2001:db8::/32?\n");
}

static void all_mistakes_come_at_once(void **state)
{
	(void)state;
	check("nmae = \"x\"\n"
	      "lifetime = 1\n"
	      "strict = \"yes\"\n"
	      "dns = [ \"a\", \"b\" ]\n"
	      "routers = ( { }, 5 )\n",
		"1: nmae: unknown key; did you mean name?\n"
		" address: is required and missing\n"
		"2: lifetime: is out of range, must be 4..262140\n"
		"3: strict: must be true or false, not a string\n"
		"5: routers[0].name: is required and missing\n"
		"5: routers[0].home: is required and missing\n"
		"5: routers[1]: must be a group { ... }, not a number\n"
		"4: dns[0]: \"a\" is not an IPv6 address\n"
		"4: dns[1]: \"b\" is not an IPv6 address\n");
}

static void words_and_lines_stay_what_they_are(void **state)
{
	(void)state;
	check(ADDRESS "lifetime = 10 20\n", "2: syntax error\n");
	check(ADDRESS "life/* */time = 10\n", "2: syntax error\n");
	check(ADDRESS "/* \n\n */ name =\n # x\n\t\"a\"// \n;\n lifetimes = 5\n",
		"8: lifetimes: unknown key; did you mean lifetime?\n");
}

static void syntax_errors_have_their_line(void **state)
{
	static const char nul[] = ADDRESS "\0lifetime = 1\n";
	struct site s;

	(void)state;
	check(ADDRESS "lifetime = \n", "3: syntax error\n");
	check(ADDRESS "lifetime = 10\nlifetime = 20\n", "3: duplicate setting name\n");
	check(ADDRESS "\nname = \"open\nlifetime = 5\n", "3: string without its closing quote\n");
	check(ADDRESS "dns = [ \"::1\", 5 ]\n", "2: mismatched element type in array\n");
	check(ADDRESS "name = \xe2\x80\x9cx\xe2\x80\x9d\nstrict = \"\n",
		"2: a character outside of ASCII, and of a string: a typographic quote, dash or "
		"blank?\n");
	assert_int_equal(read_text(nul, sizeof(nul) - 1, &s), 1);
	assert_string_equal(reported, " is not a text file: it has a zero octet\n");
	conf_release(keys, &s);
}

static void what_is_not_ascii_has_its_places(void **state)
{
	static const char good[] = "\xef\xbb\xbf" ADDRESS "name = \"\xc3\xbc\" # \xc3\xbc\n";
	struct site s;

	(void)state;
	assert_int_equal(read_text(good, sizeof(good) - 1, &s), 0);
	assert_string_equal(s.name, "\xc3\xbc");
	conf_release(keys, &s);
	check(ADDRESS "name = \"a\\nb\"\n", "2: name: has a control character in it\n");
	check(ADDRESS "name = \"a\x1b[31m\"\n", "2: name: has a control character in it\n");
}

static void a_file_that_cant_be_read(void **state)
{
	struct site s;
	struct conf c = {.file = "/nonexistent/nemo.conf"};

	(void)state;
	assert_int_equal(conf_read(&c, keys, &s), 1);
	conf_release(keys, &s);
	c = (struct conf){.file = "/tmp"}; /* a folder */
	assert_int_equal(conf_read(&c, keys, &s), 1);
	conf_release(keys, &s);
}

static void callers_add_mistakes(void **state)
{
	struct conf c = {.file = path, .report = report};

	(void)state;
	reported[0] = '\0';
	conf_error(&c, 12, "routers[1].prefixes", "overlaps %s", "routers[0]");
	assert_string_equal(reported, "12: routers[1].prefixes: overlaps routers[0]\n");
	assert_int_equal(c.n_errors, 1);
}

/* No text may crash the reader, whatever libconfig says of it. */
static void cut_and_broken_files_are_survived(void **state)
{
	static const char text[] = ADDRESS "links = ( \"a\\\"\" , \"b\" /* x */ ) # y\n"
					   "routers = ( { name = \"a\"; home = \"::1\";\n"
					   "prefixes = [ \"1::/16\" ] } ); // end\n"
					   "table = 123456789012L; lifetime = 0x123456789abcdef\n";
	static const char evil[] = "\"'/*#\n\\)(][}{,;=@0-9.Lx";
	char copy[sizeof(text)];
	struct site s;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		read_text(text, i, &s);
		conf_release(keys, &s);
		for (size_t j = 0; j < sizeof(evil) - 1 && i < sizeof(text) - 1; j++) {
			memcpy(copy, text, sizeof(text));
			copy[i] = evil[j];
			read_text(copy, sizeof(text) - 1, &s);
			conf_release(keys, &s);
		}
	}
}

static void help_names_every_key(void **state)
{
	char text[4096] = "";
	FILE *f = tmpfile(), *saved = stdout;

	(void)state;
	assert_non_null(f);
	stdout = f;
	conf_help(keys);
	stdout = saved;
	rewind(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (const struct conf_key *k = keys; k->name; k++)
		assert_non_null(strstr(text, k->name));
	assert_non_null(strstr(text, "routers[].prefixes"));
	assert_non_null(strstr(text, "4..262140"));
	assert_non_null(strstr(text, "auto, ebpf, ip6tnl"));
	assert_null(strstr(text, "routers[].line"));
}

/* libconfig forgets a string that a syntax error follows */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(defaults_fill_what_is_missing),
		cmocka_unit_test(ipv4_and_addresses_as_prefixes),
		cmocka_unit_test(lists_have_defaults),
		cmocka_unit_test(warnings_and_single_values),
		cmocka_unit_test(unknown_keys_name_the_nearest),
		cmocka_unit_test(wrong_types_are_mistakes),
		cmocka_unit_test(ranges_are_kept),
		cmocka_unit_test(texts_of_addresses_are_checked),
		cmocka_unit_test(required_keys_are_missed),
		cmocka_unit_test(list_elements_have_their_own_lines),
		cmocka_unit_test(all_mistakes_come_at_once),
		cmocka_unit_test(words_and_lines_stay_what_they_are),
		cmocka_unit_test(syntax_errors_have_their_line),
		cmocka_unit_test(what_is_not_ascii_has_its_places),
		cmocka_unit_test(a_file_that_cant_be_read),
		cmocka_unit_test(callers_add_mistakes),
		cmocka_unit_test(cut_and_broken_files_are_survived),
		cmocka_unit_test(help_names_every_key),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests_name("conf", tests, NULL, NULL);
	unlink(path);
	return failed;
}
