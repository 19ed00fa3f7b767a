/* Phases of moves: what is kept of each, and the histograms over all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "mr/handover.h"

#define MS 1000ULL

static double number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* Of the phase's histogram: how many, their sum, and how many within 'ms'. */
static void expect(const struct handovers *h, const char *phase, double n, double sum_ms, int ms,
	double within)
{
	json_t *list = handover_phases_show(h);
	const json_t *p, *w;
	size_t i, k;
	int found = 0;

	json_array_foreach (list, i, p) {
		if (strcmp(json_string_value(json_object_get(p, "phase")), phase) != 0)
			continue;
		assert_true(number(p, "n") == n && number(p, "sum_ms") == sum_ms);
		json_array_foreach (json_object_get(p, "within"), k, w)
			if ((int)number(w, "ms") == ms) {
				assert_true(number(w, "n") == within);
				found++;
			}
	}
	assert_int_equal(found, 1);
	json_decref(list);
}

static void each_phase_counts_once_a_move(void **state)
{
	struct handovers h = {0};

	(void)state;
	handover_count(&h); /* no move yet */
	handover_hint(&h, 1000 * MS);
	handover_rs(&h, 1001 * MS);
	handover_begin(&h, 1002 * MS);
	handover_mark(&h, HANDOVER_ba, 1020 * MS);
	handover_count(&h);
	expect(&h, "rs", 1, 1, 1, 1);
	expect(&h, "ba", 1, 20, 20, 1); /* a bound is in its bucket */
	expect(&h, "ba", 1, 20, 10, 0);
	expect(&h, "first_packet", 0, 0, 10000, 0);
	handover_mark(&h, HANDOVER_first_packet, 1500 * MS);
	handover_count(&h);
	handover_count(&h);
	expect(&h, "ba", 1, 20, 20, 1);
	expect(&h, "first_packet", 1, 500, 500, 1);

	handover_begin(&h, 5000 * MS); /* a move without a hint; its answer comes late */
	handover_mark(&h, HANDOVER_ba, 65000 * MS);
	handover_count(&h);
	expect(&h, "ba", 2, 60020, 10000, 1);
}

static void a_phase_before_the_hint_took_no_time(void **state)
{
	struct handovers h = {0};

	(void)state;
	handover_begin(&h, 1000 * MS);
	handover_mark(&h, HANDOVER_ra, 900 * MS);
	handover_count(&h);
	expect(&h, "ra", 1, 0, 1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_phase_counts_once_a_move),
		cmocka_unit_test(a_phase_before_the_hint_took_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
