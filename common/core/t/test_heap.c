/* Timer heap, against a plain array; and sequence numbers (RFC 6275 s9.5.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include "common/core/heap.h"
#include "common/core/seq16.h"

static void empty_heap_has_no_first(void **state)
{
	struct heap h = {0};
	struct heap_node n = {0};

	(void)state;
	assert_null(heap_first(&h));
	heap_drop(&h, &n);
	assert_null(heap_first(&h));
	heap_free(&h);
}

static void nodes_come_out_in_order_of_time(void **state)
{
	static const uint64_t at[] = {5, 3, UINT64_MAX, 0, 7, 3, 9};
	static const uint64_t want[] = {0, 3, 3, 5, 7, 9, UINT64_MAX};
	struct heap_node n[7] = {0}, *first;
	struct heap h = {0};

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(heap_put(&h, &n[i], at[i]), 0);
	for (unsigned i = 0; i < 7; i++) {
		first = heap_first(&h);
		assert_true(first->at == want[i]);
		heap_drop(&h, first);
		assert_int_equal(first->pos, 0);
	}
	assert_null(heap_first(&h));
	heap_free(&h);
}

static void a_queued_node_moves_both_ways(void **state)
{
	struct heap_node n[3] = {0};
	struct heap h = {0};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(heap_put(&h, &n[i], 10 * i), 0);
	assert_int_equal(heap_put(&h, &n[0], 100), 0);
	assert_ptr_equal(heap_first(&h), &n[1]);
	assert_int_equal(heap_put(&h, &n[2], 1), 0);
	assert_ptr_equal(heap_first(&h), &n[2]);
	assert_int_equal(h.n, 3);
	heap_free(&h);
}

enum { N = 300 };

static void check_against(const struct heap *h, const struct heap_node *n, const bool *queued)
{
	const struct heap_node *first = heap_first(h);
	unsigned count = 0;

	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(n[i].pos != 0, queued[i]);
		if (!queued[i])
			continue;
		count++;
		assert_ptr_equal(h->v[n[i].pos - 1], &n[i]);
		assert_true(first->at <= n[i].at);
	}
	assert_int_equal(h->n, count);
	assert_int_equal(first == NULL, count == 0);
}

static void random_puts_and_drops_keep_the_earliest_first(void **state)
{
	static struct heap_node n[N];
	static bool queued[N];
	struct heap h = {0};

	(void)state;
	srandom(1);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)random() % N;

		if (random() % 3 == 0) {
			heap_drop(&h, &n[i]);
			queued[i] = false;
		} else {
			assert_int_equal(heap_put(&h, &n[i], (uint64_t)random() % 500), 0);
			queued[i] = true;
		}
		check_against(&h, n, queued);
	}
	heap_free(&h);
}

static void hostile_9_sequence_window(void **state)
{
	(void)state;
	assert_false(seq16_newer(15, 15));
	assert_true(seq16_newer(16, 15));
	assert_true(seq16_newer(32782, 15));
	assert_false(seq16_newer(32783, 15));
	assert_false(seq16_newer(65535, 15));
	assert_false(seq16_newer(14, 15));
	assert_true(seq16_newer(0, 65535));
	assert_false(seq16_newer(65535, 0));
	for (unsigned last = 0; last < 65536; last += 257) { /* 32767 newer, 32769 not */
		unsigned newer = 0;

		for (unsigned seq = 0; seq < 65536; seq++)
			newer += seq16_newer((uint16_t)seq, (uint16_t)last);
		assert_int_equal(newer, 32767);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_heap_has_no_first),
		cmocka_unit_test(nodes_come_out_in_order_of_time),
		cmocka_unit_test(a_queued_node_moves_both_ways),
		cmocka_unit_test(random_puts_and_drops_keep_the_earliest_first),
		cmocka_unit_test(hostile_9_sequence_window),
	};

	return cmocka_run_group_tests_name("heap, seq16", tests, NULL, NULL);
}
