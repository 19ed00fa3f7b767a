/* Bounded reader and writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/core/rd.h"

static void fields_are_big_endian(void **state)
{
	uint8_t buf[24], want[24] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0xf7, [23] = 0x99};
	struct in6_addr a = {.s6_addr = {[15] = 0x99}};
	struct wr w = wr_init(buf, sizeof(buf));
	struct rd r = rd_init(buf, sizeof(buf));

	(void)state;
	wr_u8(&w, 0x01);
	wr_u16(&w, 0x0203);
	wr_u32(&w, 0x040506f7);
	wr_zero(&w, 1);
	wr_addr6(&w, &a);
	assert_true(wr_ok(&w));
	assert_int_equal(wr_off(&w), 24);
	assert_memory_equal(buf, want, 24);
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_u16(&r), 0x0203);
	assert_int_equal(rd_u32(&r), 0x040506f7);
	rd_skip(&r, 1);
	struct in6_addr b = rd_addr6(&r);
	assert_memory_equal(&a, &b, 16);
	assert_true(rd_ok(&r));
	assert_int_equal(rd_left(&r), 0);
	assert_int_equal(rd_off(&r), 24);
}

static void reader_goes_short_and_stays_so(void **state)
{
	const uint8_t buf[3] = {1, 2, 3};
	struct rd r = rd_init(buf, sizeof(buf));
	struct in6_addr any = IN6ADDR_ANY_INIT, a;

	(void)state;
	assert_int_equal(rd_u16(&r), 0x0102);
	assert_int_equal(rd_u16(&r), 0);
	assert_false(rd_ok(&r));
	assert_int_equal(rd_u8(&r), 0); /* although one octet is left */
	assert_int_equal(rd_u32(&r), 0);
	a = rd_addr6(&r);
	assert_memory_equal(&a, &any, 16);
	assert_null(rd_bytes(&r, 0));
	assert_int_equal(rd_off(&r), 2);
	assert_false(rd_ok(&r));
}

static void huge_sizes_do_not_wrap(void **state)
{
	uint8_t buf[4] = {1, 2, 3, 4};
	struct rd r = rd_init(buf, sizeof(buf));
	struct wr w = wr_init(buf, sizeof(buf));

	(void)state;
	rd_u8(&r);
	assert_null(rd_bytes(&r, SIZE_MAX));
	assert_false(rd_ok(&r));
	wr_zero(&w, SIZE_MAX);
	assert_false(wr_ok(&w));
	assert_int_equal(buf[0], 1);
}

static void sub_reader_ends_at_its_own_end(void **state)
{
	const uint8_t buf[4] = {1, 2, 3, 4};
	struct rd r = rd_init(buf, sizeof(buf)), sub = rd_sub(&r, 2);

	(void)state;
	assert_int_equal(rd_u16(&sub), 0x0102);
	assert_int_equal(rd_u8(&sub), 0);
	assert_false(rd_ok(&sub));
	assert_int_equal(rd_u8(&r), 3);
	sub = rd_sub(&r, 2);
	assert_false(rd_ok(&sub));
	assert_false(rd_ok(&r));
	assert_int_equal(rd_left(&sub), 0);
}

static void empty_buffer_may_be_null(void **state)
{
	struct rd r = rd_init(NULL, 0), sub = rd_sub(&r, 0);
	struct wr w = wr_init(NULL, 0);

	(void)state;
	assert_true(rd_ok(&sub));
	assert_int_equal(rd_u8(&r), 0);
	assert_false(rd_ok(&r));
	wr_zero(&w, 0);
	assert_true(wr_ok(&w));
	wr_u8(&w, 1);
	assert_false(wr_ok(&w));
}

static void writer_writes_all_of_a_field_or_nothing(void **state)
{
	uint8_t buf[4] = {9, 9, 9, 9};
	struct wr w = wr_init(buf, 3);

	(void)state;
	wr_u16(&w, 0x0102);
	wr_u16(&w, 0x0304);
	assert_false(wr_ok(&w));
	wr_u8(&w, 5); /* full stays full */
	assert_int_equal(wr_off(&w), 2);
	assert_memory_equal(buf, ((uint8_t[]){1, 2, 9, 9}), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_big_endian),
		cmocka_unit_test(reader_goes_short_and_stays_so),
		cmocka_unit_test(huge_sizes_do_not_wrap),
		cmocka_unit_test(sub_reader_ends_at_its_own_end),
		cmocka_unit_test(empty_buffer_may_be_null),
		cmocka_unit_test(writer_writes_all_of_a_field_or_nothing),
	};

	return cmocka_run_group_tests_name("rd", tests, NULL, NULL);
}
