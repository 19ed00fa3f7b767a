/* drive.h - moves a mobile router core through virtual time and keeps what it does.  After every
 * step: no fourth Binding Update within a second (RFC 6275 s11.8), numbers only go forward unless
 * the home agent sent another, and no deadline stays due after its tick.
 *
 *   home agents 2001:db8:1::1, ::2, ::3; home address 2001:db8:100::1; network 2001:db8:100:1::/64
 *   uplinks eth0, eth1, eth2 */
#pragma once
#include "common/wire/t/packet.h"
#include "mr/core.h"

#define DID_MAX 2048

struct did { /* an action and when it was done */
	uint64_t at;
	struct mr_action a;
};

static struct {
	struct mr_conf conf;
	struct in6_addr has[3];
	struct mr_uplink_conf uplinks[MR_MAX_UPLINKS];
	struct mr_network_conf networks[2];
	struct mr_known_conf known[LINK_MAX_KNOWN + 4];
	struct mr *mr;
	uint64_t now;
	struct mr_out out;
	unsigned n; /* of did[] */
	struct did did[DID_MAX];
	uint64_t bu_at[3]; /* the last three updates */
	unsigned n_bu;
	unsigned most_actions; /* in one step */
} d;

static const uint8_t OWN_MAC[6] = {2, 0, 0, 0, 0, 0x99};

static inline void drive_conf(void)
{
	memset(&d, 0, sizeof(d));
	d.now = 1000000;
	snprintf(d.conf.name, sizeof(d.conf.name), "mr");
	d.conf.hoa = A("2001:db8:100::1");
	d.conf.has = d.has;
	d.has[0] = A("2001:db8:1::1");
	d.has[1] = A("2001:db8:1::2");
	d.has[2] = A("2001:db8:1::3");
	d.conf.n_has = 1;
	d.conf.uplinks = d.uplinks;
	d.conf.n_uplinks = 1;
	for (unsigned i = 0; i < MR_MAX_UPLINKS; i++) {
		snprintf(d.uplinks[i].interface, IFNAMSIZ, "eth%u", i);
		d.uplinks[i].preference = 10;
	}
	d.conf.networks = d.networks;
	d.conf.n_networks = 1;
	d.networks[0].prefix = P("2001:db8:100:1::/64");
	d.networks[1].prefix = P("2001:db8:100:2::/64");
	d.conf.known = d.known;
	d.conf.lifetime_s = 600;
	d.conf.retransmit_ms = 150;
	d.conf.next_ha_ms = 1500;
	d.conf.mode = MR_EXPLICIT;
	d.conf.dad = MR_DAD_OPTIMISTIC;
}

static inline void drive_new(void)
{
	d.mr = mr_new(&d.conf, 1);
	assert_non_null(d.mr);
}

static inline void keep(const struct mr_action *a)
{
	assert_true(d.n < DID_MAX);
	d.did[d.n].at = d.now;
	d.did[d.n++].a = *a;
	if (a->type != MR_DO_SEND_MH || a->mh.m.type != MH_BU)
		return;
	assert_true(d.n_bu < 3 || d.now >= d.bu_at[0] + 1000);
	memmove(&d.bu_at[0], &d.bu_at[1], 2 * sizeof(d.bu_at[0]));
	d.bu_at[2] = d.now;
	d.n_bu++;
}

static inline void step(const struct mr_event *ev)
{
	mr_step(d.mr, ev, d.now, &d.out);
	for (unsigned i = 0; i < d.out.n; i++)
		keep(&d.out.v[i]);
	if (d.out.n > d.most_actions)
		d.most_actions = d.out.n;
}

/* Ticks whenever one is due, up to and at 'at'. */
static inline void run_until(uint64_t at)
{
	struct mr_event tick = {.type = MR_EV_TICK};

	while (mr_deadline(d.mr) <= at) {
		if (mr_deadline(d.mr) > d.now)
			d.now = mr_deadline(d.mr);
		step(&tick);
		assert_true(mr_deadline(d.mr) > d.now); /* else the edge spins */
	}
	d.now = at;
}

static inline void run(uint64_t ms)
{
	run_until(d.now + ms);
}

/* --- events --- */

static inline void carrier(unsigned uplink, bool running)
{
	struct mr_event ev = {.type = MR_EV_LINK, .uplink = uplink, .link = {.running = running}};

	memcpy(ev.link.mac, OWN_MAC, 6);
	ev.link.mac[4] = (uint8_t)uplink;
	step(&ev);
}

static inline void migrated(unsigned uplink)
{
	struct mr_event ev = {.type = MR_EV_LINK,
		.uplink = uplink,
		.link = {.running = true, .notify_peers = true}};

	memcpy(ev.link.mac, OWN_MAC, 6);
	ev.link.mac[4] = (uint8_t)uplink;
	step(&ev);
}

/* A router is named by its link-local address' last octet and its MAC's. */
static inline struct in6_addr router_addr(unsigned r)
{
	struct in6_addr a = A("fe80::");

	a.s6_addr[15] = (uint8_t)r;
	return a;
}

static inline struct mr_event nd_event(uint8_t type, unsigned uplink, unsigned r, unsigned mac)
{
	struct mr_event ev = {.type = MR_EV_ND, .uplink = uplink};

	memset(&ev.nd, 0, sizeof(ev.nd));
	ev.nd.mac[0] = 2;
	ev.nd.mac[4] = (uint8_t)(mac >> 8);
	ev.nd.mac[5] = (uint8_t)mac;
	ev.nd.msg.type = type;
	ev.nd.msg.src = router_addr(r);
	ev.nd.msg.dst = A("ff02::1");
	return ev;
}

static inline struct mr_event ra_event(
	unsigned uplink, unsigned r, unsigned mac, const char *prefix, uint16_t lifetime_s)
{
	struct mr_event ev = nd_event(NDP_RA, uplink, r, mac);

	ev.nd.msg.ra.lifetime_s = lifetime_s;
	ev.nd.msg.ra.n_prefix = 1;
	ev.nd.msg.ra.prefix[0] = (struct ndp_prefix){.prefix = P(prefix),
		.on_link = true,
		.autonomous = true,
		.valid_s = 86400,
		.preferred_s = 14400};
	return ev;
}

static inline void ra(unsigned uplink, unsigned r, unsigned mac, const char *prefix)
{
	struct mr_event ev = ra_event(uplink, r, mac, prefix, 1800);

	step(&ev);
}

static inline void na(unsigned uplink, unsigned r, unsigned mac)
{
	struct mr_event ev = nd_event(NDP_NA, uplink, r, mac);

	ev.nd.msg.target = ev.nd.msg.src;
	ev.nd.msg.na = (struct ndp_na){.router = true, .solicited = true, .override = true};
	step(&ev);
}

static inline struct mr_event ack_event(unsigned ha, uint8_t status, uint16_t seq, uint32_t s)
{
	struct mr_event ev = {.type = MR_EV_MH};

	memset(&ev.mh, 0, sizeof(ev.mh));
	ev.mh.src = d.has[ha];
	ev.mh.hoa = d.conf.hoa;
	ev.mh.rh2 = true;
	ev.mh.m.type = MH_BA;
	ev.mh.m.ba = (struct mh_ba){status, MH_BA_R, seq, s};
	return ev;
}

static inline void ack(unsigned ha, uint8_t status, uint16_t seq, uint32_t lifetime_s)
{
	struct mr_event ev = ack_event(ha, status, seq, lifetime_s);

	step(&ev);
}

/* --- what was done --- */

static inline unsigned count(enum mr_action_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d.n; i++)
		n += d.did[i].a.type == type;
	return n;
}

static inline unsigned notes(enum note_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d.n; i++)
		n += d.did[i].a.type == MR_DO_NOTE && d.did[i].a.note.type == type;
	return n;
}

static inline const struct did *last(enum mr_action_type type)
{
	for (unsigned i = d.n; i-- > 0;)
		if (d.did[i].a.type == type)
			return &d.did[i];
	fail_msg("no such action");
	return NULL;
}

static inline const struct did *nth(enum mr_action_type type, unsigned n) /* from 0 */
{
	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == type && n-- == 0)
			return &d.did[i];
	fail_msg("not so many such actions");
	return NULL;
}

static inline void forget(void)
{
	d.n = 0;
}

static inline const struct mh_env *last_bu(void)
{
	return &last(MR_DO_SEND_MH)->a.mh;
}
static inline uint16_t last_seq(void)
{
	return last_bu()->m.bu.seq;
}

/* The care-of address lies in 'prefix' and is in use. */
static inline void assert_at(const char *prefix)
{
	struct prefix6 p = P(prefix);
	unsigned uplink;
	bool known;
	const char *cause;
	struct in6_addr coa = mr_care_of(d.mr, &uplink, &known, &cause);

	assert_true(prefix6_has(&p, &coa));
}

static inline bool attached(void)
{
	unsigned uplink;
	bool known;
	const char *cause;
	struct in6_addr coa = mr_care_of(d.mr, &uplink, &known, &cause);

	return !addr6_is_any(&coa);
}

/* On link A (router 1) of uplink 0, bound. */
#define LINK_A "2001:db8:a::/64"
#define LINK_B "2001:db8:b::/64"
static inline void bind_at_a(void)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	run(5000); /* what the arrival began is over */
	forget();
}

static inline int drive_teardown(void **state)
{
	(void)state;
	mr_free(d.mr);
	d.mr = NULL;
	return 0;
}

/* On link A, not bound yet. */
static inline void arrive_at_a(void)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
}

static inline void move_to_b(void)
{
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
}

static inline void move_to_a(void)
{
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
}

/* Visits A, then B, then is back at A, long enough ago. */
static inline void know_a_and_b(void)
{
	bind_at_a();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	ack(0, 0, last_seq(), 600);
	run(5000);
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	ack(0, 0, last_seq(), 600);
	run(5000);
	assert_at(LINK_A);
	forget();
}

static inline bool probed(unsigned r)
{
	struct in6_addr router = router_addr(r);

	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == MR_DO_SEND_PROBE && addr6_eq(&d.did[i].a.router, &router))
			return true;
	return false;
}

static inline unsigned hints(void)
{
	return notes(NOTE_MR_HINT);
}

static inline unsigned asked(void) /* which home agent the last update went to */
{
	return last_bu()->dst.s6_addr[15] - 1u;
}

static inline bool says(enum note_type type, const char *what)
{
	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == MR_DO_NOTE && d.did[i].a.note.type == type &&
			strstr(d.did[i].a.note.text, what))
			return true;
	return false;
}

static inline int drive_setup(void **state)
{
	(void)state;
	drive_conf();
	drive_new();
	return 0;
}

/* As drive_setup(), for tests that change the configuration first. */
static inline int drive_setup_conf(void **state)
{
	(void)state;
	drive_conf();
	return 0;
}

#define DRIVE_TEST(f)      cmocka_unit_test_setup_teardown(f, drive_setup, drive_teardown)
#define DRIVE_TEST_CONF(f) cmocka_unit_test_setup_teardown(f, drive_setup_conf, drive_teardown)
