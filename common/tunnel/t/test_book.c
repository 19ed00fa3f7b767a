/* test_book.c - what engines rely on: keys are shared and counted, a refused change leaves no
 * trace, and a prefix has one tunnel. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "common/tunnel/book.h"

struct tunnel_set { /* an engine that counts */
	int held;   /* keys added for the first time less keys gone */
	int add_calls;
	int fail_at; /* this call of add is refused; 0: none */
};

static int on_add(struct tunnel_set *set, const struct key *key, const struct entry *e, bool first)
{
	(void)key, (void)e;
	if (++set->add_calls == set->fail_at)
		return -E2BIG;
	set->held += first;
	return 0;
}

static void on_del(struct tunnel_set *set, const struct key *key, const struct entry *e)
{
	(void)key, (void)e;
	set->held--;
}

static struct tunnel tunnel(const char *id, const char *remote, const char *prefix)
{
	struct tunnel t = {.n_routes = 1};

	assert_int_equal(inet_pton(AF_INET6, id, &t.id), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &t.local), 1);
	assert_int_equal(inet_pton(AF_INET6, remote, &t.remote), 1);
	assert_int_equal(prefix6_parse(prefix, &t.routes[0]), 0);
	return t;
}

/* Puts as an engine does. */
static int put(struct book *b, const struct tunnel *t)
{
	struct entry *old = book_find(b, &t->id), *e = book_entry(b, t);
	int rc = book_hold(b, e);

	if (rc < 0) {
		free(e);
		return rc;
	}
	if (old)
		book_release(b, old);
	book_enter(b, e, old);
	return 0;
}

static void drop(struct book *b, const struct tunnel *t)
{
	struct entry *e = book_find(b, &t->id);

	book_release(b, e);
	book_strike(b, e);
}

static struct book book(struct tunnel_set *set)
{
	return (struct book){.set = set, .add = on_add, .del = on_del};
}

static void shared_keys_stay_until_the_last_tunnel(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel one = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");
	struct tunnel two = tunnel("2001:db8:99::2", "2001:db8:a::2", "2001:db8:2::/64");

	(void)state;
	assert_int_equal(put(&b, &one), 0);
	assert_int_equal(set.held, 3); /* local, pair, prefix */
	assert_int_equal(put(&b, &two), 0);
	assert_int_equal(set.held, 5); /* the local address is the same */
	assert_int_not_equal(book_find(&b, &one.id)->number, book_find(&b, &two.id)->number);
	drop(&b, &one);
	assert_int_equal(set.held, 3);
	drop(&b, &two);
	assert_int_equal(set.held, 0);
	book_free(&b);
}

static void a_change_keeps_number_and_common_keys(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel t = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");
	uint32_t number;

	(void)state;
	assert_int_equal(put(&b, &t), 0);
	number = book_find(&b, &t.id)->number;
	t.old_local = t.local;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::2", &t.local), 1);
	assert_int_equal(put(&b, &t), 0);
	assert_int_equal(book_find(&b, &t.id)->number, number);
	assert_int_equal(set.held, 5); /* two locals, two pairs, the prefix */
	assert_int_equal(put(&b, &t), 0);
	assert_int_equal(set.held, 5);
	book_free(&b);
}

static void a_prefix_has_one_tunnel(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel one = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");
	/* host bits do not make it another prefix */
	struct tunnel two = tunnel("2001:db8:99::2", "2001:db8:a::2", "2001:db8:1::5/64");

	(void)state;
	assert_int_equal(put(&b, &one), 0);
	assert_int_equal(put(&b, &two), -EEXIST);
	assert_int_equal(set.held, 3);
	assert_null(book_find(&b, &two.id));
	drop(&b, &one);
	assert_int_equal(put(&b, &two), 0);
	book_free(&b);
}

static void outer_addresses_are_shared(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel one = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");
	struct tunnel two = tunnel("2001:db8:99::2", "2001:db8:a::1", "2001:db8:2::/64");

	(void)state;
	assert_int_equal(put(&b, &one), 0);
	assert_int_equal(put(&b, &two), 0);
	assert_int_equal(set.held, 4);
	book_free(&b);
}

static const struct entry *behind(const struct book *b, const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return book_route(b, &a);
}

static void the_longest_prefix_names_the_tunnel(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel wide = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8::/32");
	struct tunnel narrow = tunnel("2001:db8:99::2", "2001:db8:a::2", "2001:db8:2::/64");
	const struct entry *e;

	(void)state;
	assert_null(behind(&b, "2001:db8:2::5"));
	assert_int_equal(put(&b, &wide), 0);
	assert_int_equal(put(&b, &narrow), 0);
	e = book_find(&b, &narrow.id);
	assert_ptr_equal(behind(&b, "2001:db8:2::5"), e);
	assert_ptr_equal(book_number(&b, e->number), e);
	assert_ptr_equal(behind(&b, "2001:db8:2:1::5"), book_find(&b, &wide.id));
	assert_null(behind(&b, "2001:db9::1"));
	drop(&b, &narrow);
	assert_ptr_equal(behind(&b, "2001:db8:2::5"), book_find(&b, &wide.id));
	assert_null(book_number(&b, 2));
	book_free(&b);
}

/* Whichever call is refused, everything is as before. */
static void a_refused_change_leaves_no_trace(void **state)
{
	struct tunnel t = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");
	struct tunnel moved = tunnel("2001:db8:99::1", "2001:db8:a::2", "2001:db8:2::/64");

	(void)state;
	for (int fail = 1; fail <= 3; fail++) {
		struct tunnel_set set = {0};
		struct book b = book(&set);

		assert_int_equal(put(&b, &t), 0);
		set.fail_at = set.add_calls + fail;
		assert_int_equal(put(&b, &moved), -E2BIG);
		assert_int_equal(set.held, 3);
		assert_int_equal(put(&b, &moved), 0);
		assert_int_equal(set.held, 3);
		drop(&b, &moved);
		assert_int_equal(set.held, 0);
		book_free(&b);
	}
}

static void a_home_agent_keeps_its_address(void **state)
{
	struct tunnel_set set = {0};
	struct book b = book(&set);
	struct tunnel t = tunnel("2001:db8:99::1", "2001:db8:a::1", "2001:db8:1::/64");

	(void)state;
	b.keep_locals = true;
	assert_int_equal(put(&b, &t), 0);
	drop(&b, &t);
	assert_int_equal(set.held, 1);
	assert_int_equal(put(&b, &t), 0);
	assert_int_equal(set.held, 3);
	book_free(&b);
}

static void the_same_order_is_known_as_the_same(void **state)
{
	struct tunnel_set set = {0};
	struct book b = {.set = &set, .add = on_add, .del = on_del};
	struct tunnel t = tunnel("2001:db8:d::1", "2001:db8:a::2", "2001:db8:d:1::/64");
	struct entry *again;

	(void)state;
	t.routes[t.n_routes++] = (struct prefix6){.addr.s6_addr = {0x20, 1}, .len = 16};
	assert_int_equal(put(&b, &t), 0);
	for (unsigned i = 0; i < 5; i++) {
		struct tunnel other = t;

		if (i == 1)
			other.remote.s6_addr[15]++;
		else if (i == 2)
			other.n_routes--;
		else if (i == 3)
			other.routes[1].len++;
		else if (i == 4) { /* another order of the same */
			other.routes[0] = t.routes[1];
			other.routes[1] = t.routes[0];
		}
		again = book_entry(&b, &other);
		assert_int_equal(entry_same(again, book_find(&b, &t.id)), i == 0 || i == 4);
		free(again);
	}
	book_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_order_is_known_as_the_same),
		cmocka_unit_test(shared_keys_stay_until_the_last_tunnel),
		cmocka_unit_test(a_change_keeps_number_and_common_keys),
		cmocka_unit_test(a_prefix_has_one_tunnel),
		cmocka_unit_test(outer_addresses_are_shared),
		cmocka_unit_test(the_longest_prefix_names_the_tunnel),
		cmocka_unit_test(a_refused_change_leaves_no_trace),
		cmocka_unit_test(a_home_agent_keeps_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
