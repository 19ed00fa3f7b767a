/* pair.h - a home agent's and a router's protection at the two ends of a wire, for tests. */
#pragma once
#include <errno.h>
#include "common/sec/sec.h"
#include "common/wire/t/packet.h"

#define NTP_S ((uint64_t)1 << 32)

static const char HA_ADDR[] = "2001:db8:1::1", HOA_ADDR[] = "2001:db8:100::1",
		  COA_ADDR[] = "2001:db8:a::2";

struct end {
	struct sec *sec;
	struct sec_mark marks[8]; /* what its replay file would hold */
	unsigned n_marks;
	unsigned kept;
	unsigned renewed;
	bool sessions;       /* it has a session file: */
	struct sec_sas *sas; /* what that holds; NULL: nothing */
	struct sec_sas room;
};

static inline void end_keep(void *arg, const struct sec_mark *m)
{
	struct end *e = arg;

	e->kept++;
	for (unsigned i = 0; i < e->n_marks; i++) {
		if (e->marks[i].kind == m->kind && addr6_eq(&e->marks[i].hoa, &m->hoa) &&
			addr6_eq(&e->marks[i].ha, &m->ha)) {
			e->marks[i].value = m->value;
			return;
		}
	}
	assert_true(e->n_marks < 8);
	e->marks[e->n_marks++] = *m;
}

static inline bool end_recall(void *arg, struct sec_mark *m)
{
	const struct end *e = arg;

	for (unsigned i = 0; i < e->n_marks; i++) {
		if (e->marks[i].kind == m->kind && addr6_eq(&e->marks[i].hoa, &m->hoa) &&
			addr6_eq(&e->marks[i].ha, &m->ha)) {
			m->value = e->marks[i].value;
			return true;
		}
	}
	return false;
}

static inline void end_random(void *arg, void *out, size_t size)
{
	(void)arg;
	memset(out, 0x5a, size);
}

static inline void end_renew(void *arg)
{
	struct end *e = arg;

	e->renewed++;
}

static inline void end_keep_sas(
	void *arg, const struct in6_addr *ha, const struct in6_addr *hoa, const struct sec_sas *sas)
{
	struct end *e = arg;

	(void)ha, (void)hoa;
	e->room = *sas;
	e->sas = &e->room;
}

static inline bool end_recall_sas(
	void *arg, const struct in6_addr *ha, const struct in6_addr *hoa, struct sec_sas *sas)
{
	const struct end *e = arg;

	(void)ha, (void)hoa;
	if (e->sas)
		*sas = *e->sas;
	return e->sas;
}

/* Starts it (again): what it kept is all that it knows. */
static inline void end_start(
	struct end *e, bool home_agent, enum sec_mode mode, const struct keys *k)
{
	struct sec_hooks hooks = {.arg = e,
		.keep = end_keep,
		.recall = end_recall,
		.random = end_random,
		.renew = end_renew,
		.keep_sas = e->sessions ? end_keep_sas : NULL,
		.recall_sas = e->sessions ? end_recall_sas : NULL};
	struct in6_addr ha = A(HA_ADDR), hoa = A(HOA_ADDR);

	sec_free(e->sec);
	e->sec = sec_new(home_agent, mode, &hooks);
	assert_non_null(e->sec);
	assert_int_equal(sec_add(e->sec, &ha, &hoa, "mr1@example", mode, k), 0);
	assert_int_equal(sec_add(e->sec, &ha, &hoa, "mr1@example", mode, k), -EEXIST);
}

static inline struct mh_env update(uint16_t seq)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = e.m.o.alt_coa = A(COA_ADDR);
	e.dst = A(HA_ADDR);
	e.hoa = A(HOA_ADDR);
	e.m.type = MH_BU;
	e.m.bu = (struct mh_bu){seq, MH_BU_A | MH_BU_H | MH_BU_R, 600};
	return e;
}

/* As ha/bu.c makes it. */
static inline struct mh_env answer(const struct mh_env *bu, uint8_t status)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = bu->dst;
	e.dst = bu->src;
	e.hoa = bu->hoa;
	e.m.type = MH_BA;
	e.m.ba.status = status;
	e.m.ba.seq = bu->m.bu.seq;
	e.m.o.mac.spi = bu->m.o.mac.spi;
	e.m.o.has_stamp = bu->m.o.has_stamp;
	e.m.o.stamp = bu->m.o.stamp;
	return e;
}
