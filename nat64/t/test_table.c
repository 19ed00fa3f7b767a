/* test_table.c - the mapping table: what is found, in which order lengths are tried, what is
 * refused; nested mappings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "nat64/overlap.h"
#include "nat64/table.h"

static struct nat64_eam row(const char *v4, unsigned len4, const char *v6, unsigned len6)
{
	struct nat64_eam e = {.side = NAT64_BOTH, .v4.len = (__u8)len4, .v6.len = (__u8)len6};

	assert_int_equal(inet_pton(AF_INET, v4, &e.v4.addr), 1);
	assert_int_equal(inet_pton(AF_INET6, v6, &e.v6.addr), 1);
	return e;
}

static int build(struct nat64 *n, const struct nat64_eam *rows, size_t n_rows, size_t *bad)
{
	*n = (struct nat64){.n_eams = n_rows, .eams = calloc(n_rows + 1, sizeof(*rows))};
	for (size_t i = 0; i < n_rows; i++)
		n->eams[i] = rows[i];
	return nat64_table_build(n, bad);
}

static void both_prefixes_of_a_mapping_are_found(void **state)
{
	const struct nat64_eam rows[] = {row("192.0.2.0", 24, "2001:db8::", 120),
		row("192.0.2.0", 28, "2001:db8::", 124),
		row("198.51.100.7", 32, "2001:db8::7", 128)};
	struct nat64 n;
	size_t bad;

	(void)state;
	assert_int_equal(build(&n, rows, 3, &bad), 0);
	for (size_t i = 0; i < 3; i++) {
		struct nat64_key k4 = {4, rows[i].v4.len, {{rows[i].v4.addr}}},
				 k6 = {6, rows[i].v6.len, rows[i].v6.addr};

		assert_ptr_equal(nat64_table_find(n.table, &k4), &n.eams[i]);
		assert_ptr_equal(nat64_table_find(n.table, &k6), &n.eams[i]);
		k4.len--;
		assert_ptr_not_equal(nat64_table_find(n.table, &k4), &n.eams[i]);
		k6.family = 4;
		assert_null(nat64_table_find(n.table, &k6));
	}
	assert_int_equal(n.conf.n_lens4, 3);
	assert_memory_equal(n.conf.lens4, ((uint8_t[]){32, 28, 24}), 3);
	assert_int_equal(n.conf.n_lens6, 3);
	assert_memory_equal(n.conf.lens6, ((uint8_t[]){128, 124, 120}), 3);
	nat64_release(&n);
	assert_null(n.table);
}

static void every_length_fits(void **state)
{
	struct nat64_eam rows[129];
	struct nat64 n;
	size_t bad;

	(void)state;
	for (unsigned i = 0; i < 129; i++)
		rows[i] = (struct nat64_eam){
			.v4 = {.addr = i >= 33 ? htonl(i) : 0, .len = (__u8)(i < 33 ? i : 32)},
			.v6.len = (__u8)i};
	assert_int_equal(build(&n, rows, 129, &bad), 0);
	assert_int_equal(n.conf.n_lens4, 33);
	assert_int_equal(n.conf.n_lens6, 129);
	for (unsigned i = 0; i < 129; i++)
		assert_int_equal(n.conf.lens6[i], 128 - i);
	nat64_release(&n);
}

/* RFC7757-5/2 */
static void identical_prefixes_are_refused(void **state)
{
	const struct nat64_eam v4[] = {row("192.0.2.1", 32, "2001:db8::1", 128),
		row("192.0.2.2", 32, "2001:db8::2", 128), row("192.0.2.1", 32, "2001:db8::3", 128)};
	const struct nat64_eam v6[] = {row("198.51.100.8", 32, "2001:db8::1", 128),
		row("198.51.100.9", 32, "2001:db8::1", 128)}; /* figure 3 */
	struct nat64 n;
	size_t bad;

	(void)state;
	assert_int_equal(build(&n, v4, 3, &bad), -EEXIST);
	assert_int_equal(bad, 2);
	nat64_release(&n);
	assert_int_equal(build(&n, v6, 2, &bad), -EEXIST);
	assert_int_equal(bad, 1);
	nat64_release(&n);
}

static void an_empty_table_finds_nothing(void **state)
{
	const struct nat64_key key = {.family = 4, .len = 32};
	struct nat64 n;
	size_t bad;

	(void)state;
	assert_int_equal(build(&n, NULL, 0, &bad), 0);
	assert_int_equal(n.conf.n_lens4 + n.conf.n_lens6, 0);
	assert_null(nat64_table_find(n.table, &key));
	assert_null(nat64_table_find(NULL, &key));
	nat64_release(&n);
}

/* --- overlaps --- */

static char told[512];

static void tell(void *arg, const struct nat64_overlap *o)
{
	size_t n = strlen(told);

	(void)arg;
	snprintf(told + n, sizeof(told) - n, "%zu %s %zu (IPv%d)\n", o->inner, o->same ? "=" : "in",
		o->outer, o->is6 ? 6 : 4);
}

static void check_overlaps(const struct nat64_eam *rows, size_t n, const char *want)
{
	told[0] = '\0';
	assert_int_equal(nat64_overlaps(rows, n, tell, NULL), 0);
	assert_string_equal(told, want);
}

static void the_nearest_around_is_named(void **state)
{
	const struct nat64_eam rows[] = {row("192.0.2.0", 24, "2001:db8:1::", 48),
		row("192.0.2.16", 28, "2001:db8:2::", 48),
		row("192.0.2.17", 32, "2001:db8:3::", 48),
		row("192.0.2.128", 25, "2001:db8:4::", 48), row("0.0.0.0", 0, "2001:db8:5::", 48),
		row("192.0.3.0", 24, "2001:db8:5:1::", 64)};

	(void)state;
	check_overlaps(rows, 6,
		"0 in 4 (IPv4)\n1 in 0 (IPv4)\n2 in 1 (IPv4)\n3 in 0 (IPv4)\n5 in 4 (IPv4)\n"
		"5 in 4 (IPv6)\n");
}

static void neighbours_do_not_overlap(void **state)
{
	const struct nat64_eam rows[] = {row("192.0.2.0", 25, "2001:db8::", 127),
		row("192.0.2.128", 25, "2001:db8::2", 127)};

	(void)state;
	check_overlaps(rows, 2, "");
}

static void identical_ones_are_named_once_each(void **state)
{
	const struct nat64_eam rows[] = {row("192.0.2.1", 32, "2001:db8::3", 128),
		row("192.0.2.1", 32, "2001:db8::2", 128), row("192.0.2.1", 32, "2001:db8::1", 128)};

	(void)state;
	check_overlaps(rows, 3, "1 = 0 (IPv4)\n2 = 0 (IPv4)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_prefixes_of_a_mapping_are_found),
		cmocka_unit_test(every_length_fits),
		cmocka_unit_test(identical_prefixes_are_refused),
		cmocka_unit_test(an_empty_table_finds_nothing),
		cmocka_unit_test(the_nearest_around_is_named),
		cmocka_unit_test(neighbours_do_not_overlap),
		cmocka_unit_test(identical_ones_are_named_once_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
