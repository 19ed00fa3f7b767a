/* control.h - a home agent's messages to the driven router, and the router's to it: for
 * test_control.c and test_heartbeat.c. */
#pragma once
#include "mr/t/drive.h"

static inline int setup_conf(void **state)
{
	(void)state;
	drive_conf();
	d.conf.n_has = 3;
	return 0;
}

static inline int setup(void **state)
{
	setup_conf(state);
	drive_new();
	mr_set_restart(d.mr, 77);
	return 0;
}

static inline int setup_heartbeat(void **state)
{
	setup_conf(state);
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	mr_set_restart(d.mr, 77);
	return 0;
}

/* --- what goes in and comes out --- */

static inline struct mr_event message(unsigned ha, uint8_t type)
{
	struct mr_event ev = {.type = MR_EV_MH};

	memset(&ev.mh, 0, sizeof(ev.mh));
	ev.mh.src = d.has[ha];
	ev.mh.dst = d.mr->bul.coa;
	ev.mh.hoa = d.conf.hoa;
	ev.mh.rh2 = true;
	ev.mh.m.type = type;
	return ev;
}

static inline struct mr_event bri(unsigned ha, uint8_t trigger, uint16_t seq)
{
	struct mr_event ev = message(ha, MH_BR);

	ev.mh.m.br = (struct mh_br){.type = MH_BRI, .code = trigger, .seq = seq};
	return ev;
}

static inline struct mr_event heartbeat(unsigned ha, bool response, bool unsolicited, uint32_t seq)
{
	struct mr_event ev = message(ha, MH_HB);

	ev.mh.m.hb = (struct mh_hb){response, unsolicited, seq};
	return ev;
}

static inline const struct did *sent(
	uint8_t type, unsigned n) /* the n-th of a type, from 0; or NULL */
{
	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == MR_DO_SEND_MH && d.did[i].a.mh.m.type == type && n-- == 0)
			return &d.did[i];
	return NULL;
}

static inline unsigned n_sent(uint8_t type)
{
	unsigned n = 0;

	while (sent(type, n))
		n++;
	return n;
}

static inline const struct mh_env *last_sent(uint8_t type)
{
	assert_true(n_sent(type) > 0);
	return &sent(type, n_sent(type) - 1)->a.mh;
}

static inline void assert_to(const struct mh_env *e, unsigned ha)
{
	assert_memory_equal(&e->dst, &d.has[ha], 16);
	assert_memory_equal(&e->src, &d.mr->bul.coa, 16);
	assert_memory_equal(&e->hoa, &d.conf.hoa, 16);
	assert_false(e->rh2);
}

/* The next update has gone to 'ha', and is accepted there. */
static inline void accept_at(unsigned ha)
{
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[ha], 16);
	ack(ha, 0, last_sent(MH_BU)->m.bu.seq, 600);
}

static inline void respond(uint32_t counter)
{
	struct mr_event ev = heartbeat(d.mr->bul.bound_ha, true, false, last_sent(MH_HB)->m.hb.seq);

	ev.mh.m.o.has_restart = true;
	ev.mh.m.o.restart = counter;
	step(&ev);
}

static inline void bind_here(void)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	forget();
	ack(0, 0, d.mr->bul.seq, 600);
}
