/* test_esptun.c - which associations and policies a home agent wants of the kernel for which
 * router.  The kernel is this file: it stands in the place of xfrm.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "common/os/esptun.h"
#include "common/os/log.h"
#include "common/os/xfrm.h"
#include "common/wire/t/packet.h"

struct xfrm {
	struct policy {
		struct xfrm_pair pair;
		uint32_t reqid;
	} policies[8];
	unsigned n_policies, n_sas;
};
static struct xfrm kernel;

int xfrm_open(struct xfrm **out, char *why)
{
	(void)why;
	memset(&kernel, 0, sizeof(kernel));
	*out = &kernel;
	return 0;
}

int xfrm_probe(char *why)
{
	(void)why;
	return 0;
}

int xfrm_sa_put(struct xfrm *x, const struct in6_addr *src, const struct in6_addr *dst,
	uint32_t reqid, const struct esp_sa *keys)
{
	(void)src, (void)dst, (void)reqid, (void)keys;
	x->n_sas++;
	return 0;
}

int xfrm_sa_drop(struct xfrm *x, const struct in6_addr *dst, uint32_t spi)
{
	(void)dst, (void)spi;
	x->n_sas--;
	return 0;
}

static struct policy *policy_of(struct xfrm *x, const struct xfrm_pair *pair)
{
	for (unsigned i = 0; i < x->n_policies; i++)
		if (memcmp(&x->policies[i].pair, pair, sizeof(*pair)) == 0)
			return &x->policies[i];
	return NULL;
}

int xfrm_policy_put(struct xfrm *x, const struct xfrm_pair *pair, uint32_t reqid)
{
	struct policy *p = policy_of(x, pair);

	if (!p)
		p = &x->policies[x->n_policies++];
	assert_true(x->n_policies <= 8);
	*p = (struct policy){*pair, reqid};
	return 0;
}

int xfrm_policy_drop(struct xfrm *x, const struct xfrm_pair *pair)
{
	struct policy *p = policy_of(x, pair);

	if (p)
		*p = x->policies[--x->n_policies];
	return 0;
}

int xfrm_sweep(struct xfrm *x)
{
	memset(x, 0, sizeof(*x));
	return 0;
}

void xfrm_close(struct xfrm *x)
{
	(void)x;
}

static int bind_at(struct esptun *e, const char *hoa, const char *coa, uint16_t seq)
{
	const struct esptun_put t = {
		.ha = A("2001:db8:1::1"), .hoa = A(hoa), .coa = A(coa), .seq = seq};

	return esptun_put(e, &t);
}

static uint32_t reqid_towards(const char *coa)
{
	const struct xfrm_pair pair = {A("2001:db8:1::1"), A(coa)};
	const struct policy *p = policy_of(&kernel, &pair);

	return p ? p->reqid : 0;
}

static int setup(void **state)
{
	char why[256];

	return esptun_open((struct esptun **)state, true, why);
}

static int teardown(void **state)
{
	esptun_close(*state, false);
	return 0;
}

#define HOA1 "2001:db8:d::1"
#define HOA2 "2001:db8:d::2"
#define COA1 "2001:db8:a::1"
#define COA2 "2001:db8:a::2"

/* The kernel would send him what is the other's, under his keys. */
static void a_care_of_address_is_one_routers(void **state)
{
	uint32_t first, second;

	assert_int_equal(bind_at(*state, HOA1, COA1, 1), 0);
	first = reqid_towards(COA1);
	assert_int_equal(bind_at(*state, HOA2, COA1, 1), -EADDRINUSE);
	assert_int_equal(reqid_towards(COA1), first);

	assert_int_equal(bind_at(*state, HOA2, COA2, 2), 0);
	second = reqid_towards(COA2);
	assert_int_not_equal(first, second);
	assert_int_equal(
		bind_at(*state, HOA2, COA1, 3), -EADDRINUSE); /* a move: it stays where it was */
	assert_int_equal(reqid_towards(COA1), first);
	assert_int_equal(reqid_towards(COA2), second);

	assert_int_equal(bind_at(*state, HOA1, COA1, 4), 0); /* who has it may refresh it */
	assert_int_equal(esptun_drop(*state, (struct in6_addr[]){A(HOA1)}), 0);
	assert_int_equal(reqid_towards(COA1), 0);
	assert_int_equal(bind_at(*state, HOA2, COA1, 5), 0); /* and when he has left, another */
	assert_int_equal(reqid_towards(COA1), second);
	assert_int_equal(reqid_towards(COA2), 0);
	assert_int_equal(kernel.n_policies, 1);
}

/* Nothing is sent under keys of an update that was not the last, and nothing is left over. */
static void each_update_has_its_association(void **state)
{
	const struct in6_addr ha = A("2001:db8:1::1"), hoa = A(HOA1);
	struct payload_secret s = {.spi_to_ha = 256, .spi_to_mr = 257};

	esptun_keys(*state, &ha, &hoa, &s);
	assert_int_equal(kernel.n_sas, 1); /* to the home agent */
	for (uint16_t seq = 1; seq < 5; seq++) {
		assert_int_equal(bind_at(*state, HOA1, seq % 2 ? COA1 : COA2, seq), 0);
		assert_int_equal(kernel.n_sas, 2);
	}
	s.spi_to_ha = 258;
	esptun_keys(*state, &ha, &hoa, &s); /* the old one to the home agent stays good */
	assert_int_equal(kernel.n_sas, 3);
	s.spi_to_ha = 260;
	esptun_keys(*state, &ha, &hoa, &s);
	assert_int_equal(kernel.n_sas, 3);
	esptun_forget(*state, &hoa);
	assert_int_equal(kernel.n_sas, 0);
	assert_int_equal(kernel.n_policies, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_care_of_address_is_one_routers, setup, teardown),
		cmocka_unit_test_setup_teardown(each_update_has_its_association, setup, teardown),
	};

	log_init("test_esptun", LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
