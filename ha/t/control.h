/* control.h - a home agent with three bound routers, driven in virtual time: for test_control.c and
 * test_heartbeat.c.
 *
 *   home agent 2001:db8:1::1; routers 0..2: home address 2001:db8:100::1..3, prefix
 *   2001:db8:100:1..3::/64, care-of address 2001:db8:a::1..3 */
#pragma once
#include "common/wire/t/packet.h"
#include "ha/binding.h"

#define N_ROUTERS 3
#define DID_MAX   512

static struct prefix6 home, prefixes[N_ROUTERS];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static uint64_t now;
static uint16_t seq;
static struct {
	uint64_t at;
	struct ha_action a;
} did[DID_MAX];
static unsigned n_did;

static inline struct in6_addr coa(unsigned i)
{
	struct in6_addr a = A("2001:db8:a::");

	a.s6_addr[15] = (uint8_t)(i + 1);
	return a;
}

static inline int setup_conf(void **state)
{
	(void)state;
	home = P("2001:db8:100::/64");
	for (unsigned i = 0; i < N_ROUTERS; i++) {
		struct ha_router *r = &routers[i];

		memset(r, 0, sizeof(*r));
		snprintf(r->name, sizeof(r->name), "r%u", i);
		prefixes[i] = P("2001:db8:100::/64");
		prefixes[i].addr.s6_addr[7] = (uint8_t)(i + 1);
		r->hoa = A("2001:db8:100::");
		r->hoa.s6_addr[15] = (uint8_t)(i + 1);
		r->prefixes = &prefixes[i];
		r->n_prefixes = 1;
		r->mobile_router = true;
		r->tenant_id = 1;
	}
	conf = (struct ha_conf){.address = A("2001:db8:1::1"),
		.n_home = 1,
		.home = &home,
		.n_routers = N_ROUTERS,
		.routers = routers,
		.max_lifetime_s = 600,
		.heartbeat_misses = 3, /* RFC 5847 s5 */
		.revoke_ms = 1000,     /* RFC 5846 s11 */
		.revoke_max_ms = 2000,
		.revoke_retries = 1,
		.switch_rate = 1}; /* RFC 5142 s8 */
	now = 1000000;
	seq = 100;
	n_did = 0;
	return 0;
}

static inline void begin(void)
{
	ha = ha_new(&conf);
	assert_non_null(ha);
	ha_set_restart(ha, 77);
}

static inline int setup(void **state)
{
	setup_conf(state);
	begin();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	ha = NULL;
	return 0;
}

static inline void step(const struct ha_event *ev)
{
	struct ha_out out;

	ha_step(ha, ev, now, &out);
	for (unsigned i = 0; i < out.n; i++) {
		assert_true(n_did < DID_MAX);
		did[n_did].at = now;
		did[n_did++].a = out.v[i];
	}
}

static inline void run(uint64_t ms)
{
	struct ha_event tick = {.type = HA_EV_TICK};
	uint64_t end = now + ms;

	while (ha_deadline(ha) <= end) {
		if (ha_deadline(ha) > now)
			now = ha_deadline(ha);
		step(&tick);
	}
	now = end;
}

static inline void operator(enum ha_event_type type, unsigned router)
{
	struct ha_event ev = {.type = type, .router = router};

	step(&ev);
}

static inline struct mh_env from(unsigned i, uint8_t type)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = coa(i);
	e.dst = conf.address;
	e.hoa = routers[i].hoa;
	e.m.type = type;
	return e;
}

static inline void receive(const struct mh_env *e)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = *e};

	step(&ev);
}

static inline void error_2(unsigned i, struct in6_addr src) /* about router i: a message unknown */
{
	struct mh_env e = from(i, MH_BE);

	e.src = src;
	e.hoa = in6addr_any;
	e.m.be.status = 2;
	e.m.be.hoa = routers[i].hoa;
	receive(&e);
}

static inline void assert_addr(const struct in6_addr *a, struct in6_addr want)
{
	assert_memory_equal(a, &want, sizeof(want));
}

static inline const struct mh_env *sent(uint8_t type, unsigned n) /* the n-th of a type, from 0 */
{
	for (unsigned i = 0; i < n_did; i++)
		if (did[i].a.type == HA_DO_SEND && did[i].a.mh.m.type == type && n-- == 0)
			return &did[i].a.mh;
	return NULL;
}

static inline uint64_t sent_at(uint8_t type, unsigned n)
{
	for (unsigned i = 0; i < n_did; i++)
		if (did[i].a.type == HA_DO_SEND && did[i].a.mh.m.type == type && n-- == 0)
			return did[i].at;
	fail_msg("not so many sent");
	return 0;
}

static inline unsigned n_sent(uint8_t type)
{
	unsigned n = 0;

	while (sent(type, n))
		n++;
	return n;
}

static inline unsigned notes(enum note_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_did; i++)
		n += did[i].a.type == HA_DO_NOTE && did[i].a.note.type == type;
	return n;
}

static inline unsigned dropped_tunnels(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_did; i++)
		n += did[i].a.type == HA_DO_TUNNEL_DROP;
	return n;
}

static inline int register_at(unsigned i, struct in6_addr where, uint32_t lifetime_s)
{
	struct mh_env e = from(i, MH_BU);

	e.src = where;
	e.m.bu = (struct mh_bu){++seq, MH_BU_A | MH_BU_H | MH_BU_R, lifetime_s};
	n_did = 0;
	receive(&e);
	assert_non_null(sent(MH_BA, 0));
	return sent(MH_BA, 0)->m.ba.status;
}

static inline void bind_router(unsigned i)
{
	assert_int_equal(register_at(i, coa(i), 600), 0);
	n_did = 0;
}

static inline void answer_bri(unsigned i, uint8_t status)
{
	struct mh_env e = from(i, MH_BR);

	e.m.br = (struct mh_br){.type = MH_BRA, .code = status, .seq = sent(MH_BR, 0)->m.br.seq};
	receive(&e);
}
