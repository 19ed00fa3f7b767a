/* Whatever comes in, in whatever order: one answer at most, and only an accepted update or a
 * revocation changes a binding (RFC 6275 s9.5, RFC 3963 s6.2, RFC 5846).  Each event takes 8
 * octets: type and router, address, sequence (2), flags, lifetime, prefix, time passed. */
#include <errno.h>
#include <stdlib.h>
#include "ha/binding.h"

#define N_ROUTERS 3

static const char *const addrs[] = {"2001:db8:a::2", "2001:db8:b::2", "2001:db8:100::1",
	"2001:db8:100:2::9", "2001:db8:1::1", "fe80::1", "::", "ff02::1"};
static const char *const nets[] = {"2001:db8:100:1::/64", "2001:db8:100:2::/64",
	"2001:db8:100:3::/64", "2001:db8:100::/48", "::/0", "2001:db8:100:1::1/64"};
static struct prefix6 home, mnps[N_ROUTERS];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf = {.n_home = 1,
	.home = &home,
	.n_routers = N_ROUTERS,
	.routers = routers,
	.max_lifetime_s = 64,
	.dad_ms = 1000,
	.mpa = true,
	.mpa_min_s = 1,
	.mpa_max_s = 20,
	.heartbeat_s = 2,
	.revoke_ms = 1000,
	.revoke_max_ms = 2000,
	.revoke_retries = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct in6_addr addr(unsigned i)
{
	struct prefix6 p;
	char text[64];

	snprintf(text, sizeof(text), "%s/128", addrs[i % 8]);
	prefix6_parse(text, &p);
	return p.addr;
}

static void set_up(void)
{
	prefix6_parse("2001:db8:100::/64", &home);
	conf.address = addr(4);
	for (unsigned i = 0; i < N_ROUTERS; i++) {
		prefix6_parse(nets[i], &mnps[i]);
		routers[i] = (struct ha_router){.hoa = addr(2),
			.n_prefixes = i < 2,
			.prefixes = &mnps[i],
			.mobile_router = i < 2,
			.tenant_id = 1};
		routers[i].hoa.s6_addr[15] = (uint8_t)(i + 1);
	}
}

/* On the home link: who has a home address, or for how long its prefix is valid. */
static void make_nd(const uint8_t *b, struct ha_event *ev)
{
	struct ndp_msg *m = &ev->nd.msg;

	ev->type = HA_EV_ND;
	m->type = NDP_RA + b[1] % 3;
	m->src = addr(b[2]);
	if (m->type == NDP_RA) {
		m->ra.n_prefix = 1;
		m->ra.prefix[0] = (struct ndp_prefix){
			.prefix = home, .valid_s = b[3] * 100u, .preferred_s = b[4]};
		return;
	}
	m->target = routers[b[3] % N_ROUTERS].hoa;
	if (b[3] & 0x80) {
		memset(&m->target, 0, 8);
		m->target.s6_addr[0] = 0xfe;
		m->target.s6_addr[1] = 0x80;
	}
}

static void make_event(const uint8_t *b, struct ha_event *ev)
{
	static const uint8_t types[] = {MH_BRR, MH_HAS, MH_HB, MH_BR, MH_COT, MH_BU, MH_BA, MH_BE};
	struct mh_env *e = &ev->mh;
	struct prefix6 p;

	memset(ev, 0, sizeof(*ev));
	if (b[0] == 0x0f) {
		make_nd(b, ev);
		return;
	}
	if (b[0] >= 0xf0) { /* the operator */
		ev->type = HA_EV_REVOKE + b[0] % 4;
		ev->router = b[1] % N_ROUTERS;
		return;
	}
	if ((b[0] & 0xc0) == 0x80 && b[7] & 8) {
		ev->type = HA_EV_ICMP6;
		ev->icmp6.type = b[0] & 2 ? ICMP6_MPS : ICMP6_DHAAD_REQUEST;
		ev->icmp6.hoa = routers[b[2] % N_ROUTERS].hoa;
		if (b[0] & 2) {
			ev->icmp6.src = addr(b[1]);
			ev->icmp6.dst = conf.address;
			return;
		}
		ev->icmp6.src = addr(b[1]);
		ev->icmp6.dst = b[0] & 1 ? icmp6_anycast(&home) : addr(b[1] >> 4);
		return;
	}
	ev->type = HA_EV_MH;
	e->src = addr(b[1]);
	e->dst = conf.address;
	if (b[0] & 0x10)
		e->hoa = routers[b[0] % N_ROUTERS].hoa;
	e->m.type = b[0] & 0x80 ? types[b[7] & 7] : MH_BU;
	if (e->m.type == MH_BU)
		e->m.bu = (struct mh_bu){
			(uint16_t)(b[2] << 8 | b[3]), (uint16_t)(b[4] << 8), 4u * b[5]};
	if (e->m.type == MH_HB)
		e->m.hb = (struct mh_hb){b[4] & 1, b[4] & 2, b[5]};
	else if (e->m.type == MH_BR)
		e->m.br = (struct mh_br){MH_BRA, b[4], b[5], 0};
	else if (e->m.type == MH_BE) {
		e->m.be.status = b[4] & 3;
		e->m.be.hoa = e->hoa;
	}
	if (b[0] & 0x20)
		e->m.o.alt_coa = addr(b[1] >> 4);
	e->m.o.has_nonce = b[1] == 0xff;
	e->m.o.mnp_bad = b[6] == 0xff;
	for (unsigned i = 0; i < (b[6] >> 6); i++, e->m.o.n_mnp++) {
		prefix6_parse(nets[(b[6] + i) % 6], &p);
		e->m.o.mnp[i] = p;
	}
}

static unsigned snapshot(const struct ha *ha, struct tunnel t[N_ROUTERS])
{
	unsigned n = 0, i = 0;

	memset(t, 0, N_ROUTERS * sizeof(*t));
	while (ha_next_tunnel(ha, &i, &t[n]))
		if (++n == N_ROUTERS)
			break;
	return n;
}

static bool same_tunnel(const struct tunnel *a, const struct tunnel *b)
{
	bool same = addr6_eq(&a->id, &b->id) && addr6_eq(&a->local, &b->local) &&
		    addr6_eq(&a->remote, &b->remote) && a->n_routes == b->n_routes;

	for (unsigned i = 0; i < a->n_routes && same; i++) /* memcmp() would see the padding */
		same = prefix6_eq(&a->routes[i], &b->routes[i]);
	return same;
}

/* What is said about a message fits what was done about it. */
static void check(const struct ha *ha, const struct ha_out *out, const struct tunnel *before)
{
	struct tunnel after[N_ROUTERS];
	unsigned n_sent = 0, n = snapshot(ha, after);
	bool accepted = false;

	for (unsigned i = 0; i < out->n; i++) {
		const struct ha_action *a = &out->v[i];

		n_sent += a->type == HA_DO_SEND && a->mh.m.type != MH_BE; /* that goes with a
									   * heartbeat */
		if (a->type == HA_DO_SEND && a->mh.m.type == MH_BA)
			accepted |= a->mh.m.ba.status < 128;
		accepted |= a->type == HA_DO_NOTE && a->note.type == NOTE_BINDING_REVOKED;
	}
	if (n_sent > 1 || n != ha_n_bound(ha))
		abort();
	for (unsigned i = 0; i < N_ROUTERS && !accepted; i++)
		if (!same_tunnel(&before[i], &after[i]))
			abort();
	for (unsigned i = 0; i < n; i++)
		if (!addr6_is_routable(&after[i].remote) || prefix6_has(&home, &after[i].remote))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ha_event ev, tick = {.type = HA_EV_TICK},
			    failed = {.type = HA_EV_TUNNEL_FAILED, .error = -ENOMEM};
	struct tunnel before[N_ROUTERS];
	struct ha_out out;
	uint64_t now = 1;
	struct ha *ha;

	set_up();
	conf.home_link = size & 1;
	ha = ha_new(&conf);
	for (; ha && size >= 8; data += 8, size -= 8) {
		now += data[7] * 100u;
		while (ha_deadline(ha) <= now)
			ha_step(ha, &tick, now, &out);
		snapshot(ha, before);
		make_event(data, &ev);
		ha_step(ha, &ev, now, &out);
		if (out.n && out.v[0].type == HA_DO_TUNNEL_PUT && data[0] & 0x40)
			ha_step(ha, &failed, now, &out);
		check(ha, &out, before);
	}
	ha_free(ha);
	return 0;
}
