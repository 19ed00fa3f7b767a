/* test_conf.c - what has to fit together in the home agent's configuration: each mistake is told
 * with its line, and the examples have none (HOSTILE input 17). */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/wire/t/packet.h"
#include "ha/conf.h"

static const char HEAD[] = "address = \"2001:db8:1::1\"; interfaces = ( \"eth0\" );\n"
			   "home_prefixes = ( \"2001:db8:100::/64\" ); protection = \"none\";\n";
static char path[] = "/tmp/test_ha_conf.XXXXXX";
static char told[4096];

/* Reads 'file'; what goes to stderr meanwhile stands in told[]. */
static unsigned read_file(const char *file, struct ha_file *out)
{
	FILE *tmp = tmpfile();
	int saved = dup(2);
	unsigned n;

	assert_non_null(tmp);
	fflush(stderr);
	dup2(fileno(tmp), 2);
	n = ha_conf_read(file, out);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(tmp);
	told[fread(told, 1, sizeof(told) - 1, tmp)] = '\0';
	fclose(tmp);
	return n;
}

static unsigned read_text(const char *head, const char *text, struct ha_file *out)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f, "%s%s", head, text);
	fclose(f);
	return read_file(path, out);
}

/* Just one mistake, told with this line (0: none can be named) and these words. */
static void mistake(const char *head, const char *text, unsigned line, const char *words)
{
	struct ha_file f;
	char at[64];

	snprintf(at, sizeof(at), line ? "%s:%u:" : "%s:", path, line);
	if (read_text(head, text, &f) != 1 || strncmp(told, at, strlen(at)) != 0 ||
		!strstr(told, words))
		fail_msg("expected \"%s ... %s\", got:\n%s", at, words, told);
	ha_conf_free(&f);
}

/* An example as it is, but for the key files that this machine doesn't have. */
static unsigned read_example(const char *file, struct ha_file *out)
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

static void the_example_is_accepted(void **state)
{
	static const char example[] = "conf/wide-cloud/nemo-ha.conf";
	struct ha_file f;

	(void)state;
	if (access(example, R_OK) != 0)
		skip();
	if (read_example(example, &f) != 0)
		fail_msg("%s", told);
	assert_int_equal(f.core.n_routers, 10);
	assert_true(f.core.routers[0].mobile_router);
	assert_int_equal(f.core.routers[0].tenant_id, f.core.routers[9].tenant_id);
	ha_conf_free(&f);
}

static void a_tenant_has_one_number(void **state)
{
	struct ha_file f;

	(void)state;
	assert_int_equal(
		read_text(HEAD,
			"routers = ("
			"{ name = \"a\"; home_address = \"2001:db8:100::1\"; tenant = \"x\"; },"
			"{ name = \"b\"; home_address = \"2001:db8:100::2\"; tenant = \"y\"; },"
			"{ name = \"c\"; home_address = \"2001:db8:100::3\"; tenant = \"x\"; });"
			"allow = ( { from = \"y\"; to = \"x\"; } );",
			&f),
		0);
	assert_int_not_equal(f.core.routers[0].tenant_id, 0);
	assert_int_not_equal(f.core.routers[1].tenant_id, f.core.routers[0].tenant_id);
	assert_int_equal(f.core.routers[2].tenant_id, f.core.routers[0].tenant_id);
	assert_int_equal(f.n_allow, 1);
	assert_int_equal(f.allow_ids[0].from, f.core.routers[1].tenant_id);
	assert_int_equal(f.allow_ids[0].to, f.core.routers[0].tenant_id);
	ha_conf_free(&f);
}

#define R(name, hoa, more) \
	"{ name = \"" name "\"; home_address = \"" hoa "\"; tenant = \"t\"; " more " }"

static void routers_that_clash_are_told(void **state)
{
	(void)state;
	mistake(HEAD,
		"routers = (\n" R(
			"a", "2001:db8:100::1", "prefixes = ( \"2001:db8:a::/48\" );") ",\n" R("b",
			"2001:db8:100::2", "prefixes = ( \"2001:db8:a:5::/64\" );") ");",
		5, "overlaps 2001:db8:a::/48 of a (line 4)");
	mistake(HEAD,
		"routers = (\n" R("a", "2001:db8:100::1",
			"prefixes = ( \"2001:db8:a::/64\", \"2001:db8:a::/64\" );") ");",
		4, "overlaps");
	mistake(HEAD,
		"routers = (\n" R("a", "2001:db8:100::1", "") ",\n" R(
			"b", "2001:db8:100::1", "") ");",
		5, "used before, in line 4");
	mistake(HEAD,
		"routers = (\n" R("a", "2001:db8:100::1", "") ",\n" R(
			"a", "2001:db8:100::2", "") ");",
		5, "name: used before, in line 4");
}

static void addresses_that_cannot_work_are_told(void **state)
{
	(void)state;
	mistake(HEAD, "routers = (\n" R("a", "2001:db8:200::1", "") ");", 4, "home_prefixes");
	mistake(HEAD, "routers = (\n" R("a", "fe80::1", "") ");", 4, "routable");
	mistake(HEAD, "routers = (\n" R("a", "2001:db8:100::1", "prefixes = ( \"::/0\" );") ");", 4,
		"::/0");
	mistake(HEAD,
		"routers = (\n" R("a", "2001:db8:100::1", "prefixes = ( \"fe80::/64\" );") ");", 4,
		"fe80::/64");
	mistake("protection = \"none\"; address = \"ff02::1\"; interfaces = ( \"eth0\" );\n", "", 0,
		"address");
	mistake(HEAD, "mtu = 1279;\n", 0, "1280");
	mistake("address = \"2001:db8:1::1\"; interfaces = ( \"eth0\" );\n"
		"protection = \"none\";",
		"home_link = \"eth1\";\n", 0, "needs home_prefixes");
	mistake(HEAD, "home_routes = true;\n", 0, "needs home_link");
}

static void other_home_agents_have_addresses_of_their_own(void **state)
{
	struct ha_file f;

	(void)state;
	mistake(HEAD, "home_agents = (\n{ address = \"fe80::1\"; } );\n", 4, "home_agents.address");
	mistake(HEAD, "home_agents = (\n{ address = \"2001:db8:1::1\"; } );\n", 4, "our own");
	assert_int_equal(read_text(HEAD,
				 "preference = 5; home_agents = (\n{ address = \"2001:db8:1::2\"; "
				 "preference = 9; }, { address = \"2001:db8:1::3\"; "
				 "mobile_routers = false; } );\n",
				 &f),
		0);
	assert_int_equal(f.core.preference, 5);
	assert_int_equal(f.core.n_agents, 2);
	assert_int_equal(f.core.agents[0].preference, 9);
	assert_true(f.core.agents[0].mobile_routers && !f.core.agents[1].mobile_routers);
	assert_true(f.core.mpa);
	assert_int_equal(f.core.mpa_min_s, 600); /* RFC 6275 s13 */
	assert_int_equal(f.core.mpa_max_s, 86400);
	ha_conf_free(&f);
}

static void a_router_lifetime_that_grants_nothing_is_told(void **state) /* RFC 6275 s6.1.7: 4 s */
{
	(void)state;
	mistake(HEAD, "routers = (\n" R("a", "2001:db8:100::1", "max_lifetime = 3;") ");", 4,
		"max_lifetime");
}

/* What may be announced is nobody else's, nor the home network's. */
static void announcements_that_clash_are_told(void **state)
{
	struct ha_file f;

	(void)state;
	assert_int_equal(read_text(HEAD,
				 "routers = (\n" R("a", "2001:db8:100::1",
					 "prefixes = ( \"2001:db8:100:1::/64\" ); learn = ( "
					 "\"2001:db8:500::/40\" );") ");",
				 &f),
		0);
	assert_int_equal(f.core.routers[0].n_learn, 1);
	ha_conf_free(&f);
	mistake(HEAD,
		"routers = (\n" R(
			"a", "2001:db8:100::1", "learn = ( \"2001:db8:a::/48\" );") ",\n" R("b",
			"2001:db8:100::2", "prefixes = ( \"2001:db8:a:1::/64\" );") ");",
		5, "overlaps 2001:db8:a::/48 of a (line 4)");
	mistake(HEAD,
		"routers = (\n" R(
			"a", "2001:db8:100::1", "learn = ( \"2001:db8:a::/48\" );") ",\n" R("b",
			"2001:db8:100::2", "learn = ( \"2001:db8:a:1::/64\" );") ");",
		5, "overlaps 2001:db8:a::/48 of a (line 4)");
	mistake(HEAD,
		"routers = (\n" R(
			"a", "2001:db8:100::1", "learn = ( \"2001:db8:100::/56\" );") ");",
		4, "overlaps home prefix 2001:db8:100::/64");
	mistake(HEAD,
		"routers = (\n" R("a", "2001:db8:100::1", "learn = ( \"2001:db8:1::/48\" );") ");",
		4, "has the home agent's address in it");
	mistake(HEAD, "routers = (\n" R("a", "2001:db8:100::1", "learn = ( \"fe80::/64\" );") ");",
		4, "no prefix for a network");
}

static void tenants_that_nobody_has_are_told(void **state)
{
	(void)state;
	mistake(HEAD,
		"routers = (" R(
			"a", "2001:db8:100::1", "") ");\n"
						    "allow = (\n{ from = \"t\"; to = \"u\"; } );",
		5, "no router has tenant \"u\"");
	mistake(HEAD,
		"routers = (" R(
			"a", "2001:db8:100::1", "") ");\n"
						    "allow = (\n{ from = \"v\"; to = \"t\"; } );",
		5, "no router has tenant \"v\"");
}

/* As a daemon that has given up root reads it again: the key file can't be read any more. */
static int identity_again(const struct ha_file *running, const char *identity)
{
	struct conf conf = {.file = path};
	struct ha_file f;
	bool same;

	if (getuid() == 0 && setuid(65534) < 0)
		return 1;
	if (ha_conf_load(&conf, &f, running) != 0)
		return 2;
	same = strcmp(f.keys[0].psk.id, "blue") == 0;
	for (unsigned i = 0; i < KEYS_CERT_SIZE && same; i++)
		same = f.keys[0].cert_id[i] == (i < strlen(identity) ? identity[i] : 0);
	ha_conf_free(&f);
	return same ? 0 : 3;
}

static void an_identity_changes_though_secrets_can_t_be_read(void **state)
{
	static const char *const identities[] = {"longer.example.org", "mr.example", ""};
	char keys[] = "/tmp/test_ha_keys.XXXXXX", text[512];
	int fd = mkstemp(keys), status;
	struct ha_file running;

	(void)state;
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "psk blue %064d\n", 1) > 0);
	close(fd);
	chmod(path, 0644);
	for (unsigned i = 0; i < 3; i++) {
		struct ha_file f;

		snprintf(text, sizeof(text),
			"certificate = \"/x\"; routers = ( { name = \"a\"; protection = \"esp\"; "
			"home_address = \"2001:db8:100::1\"; tenant = \"t\"; keys = \"%s\"; "
			"identity = \"%s\"; } );",
			keys, identities[i]);
		chmod(keys, 0600);
		read_text(HEAD, text, i ? &f : &running); /* there is no such certificate */
		if (i)
			ha_conf_free(&f);
		chmod(keys, 0);
		fflush(NULL);
		if (fork() == 0)
			_exit(identity_again(&running, identities[i]));
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	ha_conf_free(&running);
	unlink(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_accepted),
		cmocka_unit_test(a_tenant_has_one_number),
		cmocka_unit_test(routers_that_clash_are_told),
		cmocka_unit_test(addresses_that_cannot_work_are_told),
		cmocka_unit_test(other_home_agents_have_addresses_of_their_own),
		cmocka_unit_test(a_router_lifetime_that_grants_nothing_is_told),
		cmocka_unit_test(announcements_that_clash_are_told),
		cmocka_unit_test(tenants_that_nobody_has_are_told),
		cmocka_unit_test(an_identity_changes_though_secrets_can_t_be_read),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
