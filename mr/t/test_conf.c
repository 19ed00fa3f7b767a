/* test_conf.c - what has to fit together in a mobile router's configuration: each mistake is told
 * with its line, and the examples have none (HOSTILE input 17). */
#include <fcntl.h>
#include <unistd.h>
#include "common/wire/t/packet.h"
#include "mr/conf.h"

static char path[] = "/tmp/test_mr_conf.XXXXXX";
static char told[4096];

/* Reads 'file'; what goes to stderr meanwhile stands in told[]. */
static unsigned read_file(const char *file, struct mr_file *out)
{
	FILE *tmp = tmpfile();
	int saved = dup(2);
	unsigned n;

	assert_non_null(tmp);
	fflush(stderr);
	dup2(fileno(tmp), 2);
	n = mr_conf_read(file, out);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(tmp);
	told[fread(told, 1, sizeof(told) - 1, tmp)] = '\0';
	fclose(tmp);
	return n;
}

static const struct text { /* a whole file, of one value each that can be wrong */
	const char *hoa, *ha, *uplinks, *networks, *more;
} good = {"2001:db8:100::1", "2001:db8:1::1", "{ interface = \"eth0\"; }",
	"{ prefix = \"2001:db8:100:1::/64\"; interface = \"eth9\"; }", ""};

static unsigned read_text(const struct text *t, struct mr_file *out)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f,
		"protection = \"none\"; name = \"a\"; home_address = \"%s\";\nhome_agents = ( "
		"%s%s%s );\n"
		"uplinks = (\n%s );\nnetworks = (\n%s );\n%s",
		t->hoa, *t->ha ? "\"" : "", t->ha, *t->ha ? "\"" : "", t->uplinks, t->networks,
		t->more);
	fclose(f);
	return read_file(path, out);
}

/* Just one mistake, told with this line (0: none can be named) and these words. */
static void mistake(struct text t, unsigned line, const char *words)
{
	struct mr_file f;
	char at[64];

	snprintf(at, sizeof(at), line ? "%s:%u:" : "%s:", path, line);
	if (read_text(&t, &f) != 1 || strncmp(told, at, strlen(at)) != 0 || !strstr(told, words))
		fail_msg("expected \"%s ... %s\", got:\n%s", at, words, told);
	mr_conf_free(&f);
}

/* An example as it is, but for the key files that this machine doesn't have. */
static unsigned read_example(const char *file, struct mr_file *out)
{
	char text[8192], *at;
	FILE *f = fopen(file, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	fclose(f);
	text[n] = '\0';
	at = strstr(text, "\"esp\"");
	assert_non_null(at);
	f = fopen(path, "w");
	fprintf(f, "%.*s\"none\"%s", (int)(at - text), text, at + 5);
	fclose(f);
	return read_file(path, out);
}

static void the_examples_are_accepted(void **state)
{
	unsigned found = 0;

	(void)state;
	for (unsigned i = 1; i <= 10; i++) {
		struct mr_file f;
		char example[64];

		snprintf(example, sizeof(example), "conf/wide-cloud/nemo-mr-%u.conf", i);
		if (access(example, R_OK) != 0)
			continue;
		found++;
		if (read_example(example, &f) != 0)
			fail_msg("%s", told);
		assert_int_equal(f.core.n_networks, 1);
		assert_int_equal(f.core.n_has, 1);
		mr_conf_free(&f);
	}
	if (!found)
		skip();
}

static void a_file_without_mistakes_is_accepted(void **state)
{
	struct text t = good;
	struct mr_file f;

	(void)state;
	t.more = "known_links = ( { uplink = \"eth0\"; router = \"fe80::1\";"
		 " mac = \"02:00:00:00:00:01\"; prefix = \"2001:db8:a::/64\"; } );";
	if (read_text(&t, &f) != 0)
		fail_msg("%s", told);
	assert_int_equal(f.core.n_known, 1);
	assert_int_equal(f.core.known[0].mac[5], 1);
	assert_int_equal(f.core.retransmit_ms, 150);
	assert_int_equal(f.core.heartbeat_s, 1);
	assert_int_equal(f.core.heartbeat_misses, 3); /* RFC 5847 s5 */
	mr_conf_free(&f);
}

static void without_home_agents_there_is_a_home_prefix(void **state)
{
	struct prefix6 home = P("2001:db8:100::/64"), told_so = P("2001:db8:101::/64");
	struct text t = good;
	struct mr_file f;

	(void)state;
	t.ha = "";
	assert_int_equal(read_text(&t, &f), 0);
	assert_int_equal(f.core.n_has, 0);
	assert_true(prefix6_eq(&f.core.home_prefix, &home)); /* the home address' /64 */
	mr_conf_free(&f);
	t.more = "home_prefix = \"2001:db8:101::/64\";";
	assert_int_equal(read_text(&t, &f), 0);
	assert_true(prefix6_eq(&f.core.home_prefix, &told_so));
	mr_conf_free(&f);
}

static void heartbeats_are_an_hour_apart_at_most(void **state) /* RFC 5847 s5 */
{
	struct text t = good;
	struct mr_file f;

	(void)state;
	t.more = "heartbeat = 3600;";
	if (read_text(&t, &f) != 0)
		fail_msg("%s", told);
	assert_int_equal(f.core.heartbeat_s, 3600);
	mr_conf_free(&f);
	t.more = "heartbeat = 3601;";
	assert_int_equal(read_text(&t, &f), 1);
	assert_non_null(strstr(told, "heartbeat"));
	mr_conf_free(&f);
}

static void interfaces_that_clash_are_told(void **state)
{
	struct text t = good;

	(void)state;
	t.uplinks = "{ interface = \"eth0\"; },\n{ interface = \"eth0\"; }";
	mistake(t, 5, "eth0 is an uplink already, in line 4");
	t = good;
	t.networks = "{ prefix = \"2001:db8:100:1::/64\"; interface = \"eth0\"; }";
	mistake(t, 6, "eth0 is an uplink");
}

static void networks_that_clash_are_told(void **state)
{
	struct text t = good;

	(void)state;
	t.networks = "{ prefix = \"2001:db8:100:1::/64\"; interface = \"eth8\"; },\n"
		     "{ prefix = \"2001:db8:100::/56\"; interface = \"eth9\"; }";
	mistake(t, 7, "overlaps 2001:db8:100:1::/64 of line 6");
	t.networks = "{ prefix = \"::/0\"; interface = \"eth9\"; }";
	t.ha = "2001:db8:1::1";
	struct mr_file f;

	assert_true(read_text(&t, &f) >= 1); /* it also swallows the home agent */
	assert_non_null(strstr(told, "::/0 is no prefix for a network"));
	mr_conf_free(&f);
	t.networks = "{ prefix = \"fe80::/64\"; interface = \"eth9\"; }";
	mistake(t, 6, "fe80::/64 is no prefix for a network");
}

static void addresses_that_cannot_work_are_told(void **state)
{
	struct text t = good;

	(void)state;
	t.hoa = "fe80::1";
	mistake(t, 0, "home_address");
	t = good;
	t.ha = "ff02::1";
	mistake(t, 0, "home_agents");
	t.ha = "2001:db8:100:1::1";
	mistake(t, 6, "inside the mobile network");
	t = good;
	t.more = "mtu = 1000;";
	mistake(t, 0, "1280");
}

static void a_home_link_that_cannot_be_is_told(void **state)
{
	struct text t = good;
	struct mr_file f;

	(void)state;
	t.more = "return_home = true;"; /* the /64 of the home address */
	assert_int_equal(read_text(&t, &f), 0);
	assert_int_equal(f.core.home_prefix.len, 64);
	mr_conf_free(&f);
	t.more = "return_home = true; home_prefix = \"2001:db8:101::/64\";";
	mistake(t, 0, "home_prefix");
	t.more = "return_home = true; home_prefix = \"2001:db8:100::/48\";";
	mistake(t, 6, "overlaps home_prefix");
	t.hoa = "2001:db8:100:1::1"; /* out of the network: the home link may be any other */
	t.more = "return_home = true; home_prefix = \"2001:db8:101::/64\";";
	assert_int_equal(read_text(&t, &f), 0);
	mr_conf_free(&f);
}

static void known_links_that_cannot_be_are_told(void **state)
{
#define KNOWN(uplink, router, prefix) \
	"known_links = (\n{ uplink = \"" uplink "\"; router = \"" router \
	"\"; mac = \"02:00:00:00:00:01\"; prefix = \"" prefix "\"; } );"
	struct text t = good;

	(void)state;
	t.more = KNOWN("eth7", "fe80::1", "2001:db8:a::/64");
	mistake(t, 8, "eth7 is no uplink");
	t.more = KNOWN("eth0", "2001:db8:a::1", "2001:db8:a::/64");
	mistake(t, 8, "link-local");
	t.more = KNOWN("eth0", "fe80::1", "2001:db8:a::/63");
	mistake(t, 8, "has to be a /64");
}

static void announcements_that_cannot_be_are_told(void **state)
{
	static const struct {
		const char *more;
		unsigned line;
		const char *words;
	} v[] = {
		{"mode = \"implicit\"; announce = ( \"2001:db8:100:1:8000::/65\" );", 6,
			"overlaps network"},
		{"mode = \"implicit\"; announce = ( \"ff0e::/16\" );", 0, "no prefix"},
		{"mode = \"explicit\"; announce = ( \"2001:db8:500::/40\" );", 0,
			"has to be \"implicit\""},
		{"announce = ( \"2001:db8:500::/40\" );", 0, "has to be \"implicit\""},
	};
	struct text t = good;

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		t.more = v[i].more;
		mistake(t, v[i].line, v[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_are_accepted),
		cmocka_unit_test(a_file_without_mistakes_is_accepted),
		cmocka_unit_test(without_home_agents_there_is_a_home_prefix),
		cmocka_unit_test(heartbeats_are_an_hour_apart_at_most),
		cmocka_unit_test(interfaces_that_clash_are_told),
		cmocka_unit_test(networks_that_clash_are_told),
		cmocka_unit_test(addresses_that_cannot_work_are_told),
		cmocka_unit_test(a_home_link_that_cannot_be_is_told),
		cmocka_unit_test(known_links_that_cannot_be_are_told),
		cmocka_unit_test(announcements_that_cannot_be_are_told),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
