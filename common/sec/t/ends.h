/* ends.h - a home agent and a router with RFC 4285 keys that know each other, and one packet
 * between them, which seal() makes and open_at() takes: for test_sec.c and test_sec_esp.c. */
#pragma once
#include "common/sec/t/pair.h"

static struct end ha, mr;
static struct keys keys;
static uint64_t now;
static uint8_t pkt[IP6_SIG_MAX];
static size_t size;
static struct mh_env got;
static struct sec_clear clear;

static inline int setup(void **state)
{
	(void)state;
	now = 3900000000 * NTP_S;
	memset(&keys, 0, sizeof(keys));
	keys.n_auth = 2;
	for (unsigned i = 0; i < 2; i++) {
		keys.auth[i].spi = 256 + i;
		keys.auth[i].size = 32;
		memset(keys.auth[i].secret, (int)i + 1, 32);
	}
	end_start(&ha, true, SEC_AUTH, &keys);
	end_start(&mr, false, SEC_AUTH, &keys);
	/* The home agent's floor, as if it had served this router before. */
	end_keep(&ha, &(struct sec_mark){SEC_MARK_FLOOR, A(HA_ADDR), A(HOA_ADDR), now - 100});
	end_start(&ha, true, SEC_AUTH, &keys);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	sec_free(ha.sec);
	sec_free(mr.sec);
	memset(&ha, 0, sizeof(ha));
	memset(&mr, 0, sizeof(mr));
	return 0;
}

static inline void seal(struct end *from, const struct mh_env *e)
{
	int n = sec_seal(from->sec, e, now, pkt, sizeof(pkt));

	assert_true(n > 0);
	size = (size_t)n;
}

static inline enum mh_verdict open_at(struct end *to)
{
	uint8_t *copy = exact(pkt, size);
	enum ip6_verdict chain;
	unsigned where;
	enum mh_verdict v = sec_unwrap(to->sec, copy, size, now, &clear);

	if (v == MH_OK)
		v = sec_open(to->sec, &clear, now, &got, &chain, &where);

	free(copy);
	return v;
}

static inline uint64_t count(const struct end *e, enum sec_counter c)
{
	return sec_counter(e->sec, c);
}

/* An update arrives; what has to be answered to it. */
static inline unsigned deliver(uint16_t seq)
{
	struct mh_env bu = update(seq);

	seal(&mr, &bu);
	assert_int_equal(open_at(&ha), MH_OK);
	return got.refuse;
}

static inline enum mh_verdict deliver_answer(uint8_t status)
{
	struct mh_env ba = answer(&got, status);

	seal(&ha, &ba);
	return open_at(&mr);
}
