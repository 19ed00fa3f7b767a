/* Whatever happens, in whatever order: at most three updates a second (RFC 6275 s11.8), the actions
 * fit, no deadline stays due after its tick, and no care-of address out of our own prefixes.  Each
 * event takes 4 octets: type, uplink and router, value, time passed. */
#include <stdlib.h>
#include "mr/core.h"

static struct in6_addr has[2];
static struct mr_uplink_conf uplinks[MR_MAX_UPLINKS];
static struct mr_network_conf network;
static struct mr_conf conf = {
	.has = has, .uplinks = uplinks, .n_networks = 1, .networks = &network, .lifetime_s = 40};

static struct {
	struct mr *mr;
	uint64_t now, bu_at[3];
	unsigned n_bu;
	struct mr_out out;
} f;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(const struct mr_event *ev)
{
	mr_step(f.mr, ev, f.now, &f.out);
	for (unsigned i = 0; i < f.out.n; i++) {
		const struct mr_action *a = &f.out.v[i];

		if (a->type == MR_DO_COA_PUT && prefix6_has(&network.prefix, &a->addr))
			abort();
		if (a->type != MR_DO_SEND_MH || a->mh.m.type != MH_BU)
			continue;
		if (f.n_bu++ >= 3 && f.now < f.bu_at[0] + 1000)
			abort();
		f.bu_at[0] = f.bu_at[1];
		f.bu_at[1] = f.bu_at[2];
		f.bu_at[2] = f.now;
	}
}

static void run(uint64_t until)
{
	struct mr_event tick = {.type = MR_EV_TICK};

	while (mr_deadline(f.mr) <= until) {
		if (mr_deadline(f.mr) > f.now)
			f.now = mr_deadline(f.mr);
		step(&tick);
		if (mr_deadline(f.mr) <= f.now)
			abort();
	}
	f.now = until;
}

static void make_nd(const uint8_t *b, struct mr_event *ev)
{
	struct ndp_msg *m = &ev->nd.msg;

	ev->type = MR_EV_ND;
	ev->nd.mac[5] = b[1] >> 5 & 3;
	m->src.s6_addr[0] = 0xfe;
	m->src.s6_addr[1] = 0x80;
	m->src.s6_addr[15] = b[1] >> 3 & 3;
	m->target = m->src;
	if (b[0] & 0x80) {
		m->type = NDP_NA;
		m->na = (struct ndp_na){true, b[2] & 1, true};
		if (b[2] & 2)
			m->target = conf.hoa;
		return;
	}
	m->type = NDP_RA;
	m->ra.lifetime_s = b[2] & 0x80 ? 0 : 1 + (b[2] & 0x40);
	m->ra.n_prefix = 1;
	prefix6_parse("2001:db8:100::/64", &m->ra.prefix[0].prefix);
	m->ra.prefix[0].prefix.addr.s6_addr[7] = b[2] & 7;
	m->ra.prefix[0].autonomous = true;
	m->ra.prefix[0].on_link = b[2] & 0x10;
	m->ra.prefix[0].router_addr = b[2] & 0x20;
	m->ra.prefix[0].addr = has[0];
	m->ra.prefix[0].valid_s = m->ra.prefix[0].preferred_s = b[2] & 8 ? 10 : 86400;
}

static void make_control(const uint8_t *b, struct mh_msg *m)
{
	static const uint8_t types[] = {MH_HAS, MH_HB, MH_HB, MH_BR, MH_BRR};

	m->type = types[m->type];
	if (m->type == MH_HAS) {
		m->has.n = b[2] & 1;
		m->has.ha[0] = has[b[2] >> 1 & 1];
	} else if (m->type == MH_HB) {
		m->hb = (struct mh_hb){b[2] & 1, b[2] & 2, f.mr->control.hb.seq + (b[2] >> 2 & 1)};
		m->o.has_restart = b[2] & 8;
		m->o.restart = b[2] >> 4 & 1;
	} else if (m->type == MH_BR) {
		m->br = (struct mh_br){
			.type = MH_BRI + (b[2] & 1), .code = b[2] >> 1 & 15, .seq = b[2] >> 5 & 1};
	}
}

static void make_event(const uint8_t *b, struct mr_event *ev)
{
	static const enum mr_event_type types[] = {MR_EV_LINK, MR_EV_MIGRATED, MR_EV_ND, MR_EV_ND,
		MR_EV_MH, MR_EV_MH, MR_EV_REHOME, MR_EV_SOURCE, MR_EV_ADDR, MR_EV_NEIGH,
		MR_EV_ICMP6, MR_EV_ERROR, MR_EV_LEFT, MR_EV_UNDONE};

	memset(ev, 0, sizeof(*ev));
	ev->type = types[(b[0] & 0x7f) % (sizeof(types) / sizeof(types[0]))];
	ev->uplink = b[1] % MR_MAX_UPLINKS;
	if (ev->type == MR_EV_LINK) {
		ev->link.running = b[2] & 3;
		ev->link.notify_peers = b[2] & 4;
		ev->link.mac[5] = (uint8_t)(0x80 + ev->uplink);
	} else if (ev->type == MR_EV_ND) {
		make_nd(b, ev);
	} else if (ev->type == MR_EV_MH) {
		ev->mh.src = has[b[1] & 1];
		ev->mh.dst = conf.hoa;
		if (!(b[1] & 2)) /* else as an answer comes at home */
			ev->mh.hoa = conf.hoa;
		ev->mh.rh2 = !addr6_is_any(&ev->mh.hoa);
		ev->mh.m.type = b[0] & 0x80 ? b[1] >> 5 : MH_BA;
		if (ev->mh.m.type == MH_BA)
			ev->mh.m.ba = (struct mh_ba){b[2] & 0x80 ? b[2] : 0, b[1] & 4 ? 0 : MH_BA_R,
				(uint16_t)(f.mr->bul.seq + (b[1] & 8 ? b[1] : 0)),
				b[1] & 16 ? 0 : 40};
		else if (ev->mh.m.type == MH_BE)
			ev->mh.m.be.status = b[2] & 3;
		else if (ev->mh.m.type < MH_BU)
			make_control(b, &ev->mh.m);
	} else if (ev->type == MR_EV_ERROR) {
		ev->error.error.type = b[1] & 7;
		ev->error.error.code = b[2] & 7;
		ev->error.src = f.mr->bul.coa;
		ev->error.dst = has[b[1] >> 3 & 1];
		ev->error.hoa = conf.hoa;
		ev->error.esp = b[1] & 16;
		ev->error.seq = f.mr->bul.seq;
	} else if (ev->type == MR_EV_ICMP6) {
		ev->icmp6.type = b[0] & 0x80 ? ICMP6_MPA : ICMP6_DHAAD_REPLY;
		ev->icmp6.dst = f.mr->bul.coa;
		ev->icmp6.id = (uint16_t)(f.mr->dhaad.id + (b[1] >> 7));
		ev->icmp6.mobile_router = b[2] & 1;
		ev->icmp6.n_ha = b[2] >> 4;
		if (ev->icmp6.type == ICMP6_MPA) {
			struct ndp_prefix *p = &ev->icmp6.prefix[ev->icmp6.n_prefix++];

			ev->icmp6.src = f.mr->conf->has[f.mr->bul.bound_ha];
			ev->icmp6.hoa = conf.hoa;
			ev->icmp6.id = (uint16_t)(f.mr->mps.id + (b[1] >> 7));
			prefix6_parse("2001:db8:100::/48", &p->prefix);
			p->valid_s = b[2] & 2 ? UINT32_MAX : b[2];
			p->preferred_s = b[2] & 4 ? p->valid_s : 0;
		}
		for (unsigned i = 0; i < ev->icmp6.n_ha; i++) {
			ev->icmp6.ha[i] = has[i & 1];
			ev->icmp6.ha[i].s6_addr[14] = (uint8_t)(b[2] & 14);
		}
	} else if (ev->type == MR_EV_LEFT) {
		ev->addr = f.mr->links[ev->uplink].known[b[2] % LINK_MAX_KNOWN].coa;
	} else if (ev->type == MR_EV_UNDONE && (b[0] & 0x80)) {
		ev->addr = f.mr->links[ev->uplink].current.coa;
	} else if (ev->type == MR_EV_ADDR || ev->type == MR_EV_NEIGH) {
		const struct attachment *a = &f.mr->links[ev->uplink].current;

		ev->addr = ev->type == MR_EV_ADDR ? a->coa : a->router;
	}
}

static void name_uplink(struct mr_uplink_conf *u, unsigned i)
{
	u->interface[0] = (char)('a' + i % MR_MAX_UPLINKS);
	u->interface[1] = '\0';
}

/* Other uplinks in another order, home agents, networks, timers. */
static void reload(const uint8_t *b)
{
	static struct {
		struct mr_conf conf;
		struct in6_addr has[2];
		struct mr_uplink_conf uplinks[MR_MAX_UPLINKS];
		struct mr_network_conf networks[2];
	} v[2];
	static unsigned turn;
	struct mr_event ev = {.type = MR_EV_LEAVE};
	unsigned first = turn++ % 2;
	struct mr_conf *to = &v[first].conf;

	memset(&v[first], 0, sizeof(v[first]));
	*to = conf;
	to->has = v[first].has;
	to->uplinks = v[first].uplinks;
	to->networks = v[first].networks;
	to->n_uplinks = 1 + b[1] % MR_MAX_UPLINKS;
	for (unsigned i = 0; i < to->n_uplinks; i++) {
		name_uplink(&to->uplinks[i], i + (b[1] >> 3));
		to->uplinks[i].preference = b[2] & 1 ? i : 8 - i;
	}
	to->n_has = (b[2] >> 1 & 3) % 3;
	to->has[0] = has[b[2] >> 3 & 1];
	to->has[1] = has[!(b[2] >> 3 & 1)];
	to->n_networks = 1 + (b[2] >> 4 & 1);
	to->networks[0] = to->networks[1] = network;
	to->networks[1].prefix.addr.s6_addr[7] ^= 4;
	to->heartbeat_s = b[2] >> 5 & 1;
	to->mode = (b[2] >> 6) % 3;
	to->check_ms = b[0] & 0x80 ? 1000 : 0;
	ev.reload.conf = to;
	step(&ev);
	ev.type = MR_EV_RELOAD;
	ev.reload.new_keys = b[0] & 0x40;
	step(&ev);
	memset(&v[!first], 0xee, sizeof(v[0])); /* nobody looks at the one before any more */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mr_event ev;

	if (size < 4)
		return 0;
	for (unsigned i = 0; i < MR_MAX_UPLINKS; i++) {
		uplinks[i].preference = i / 2;
		name_uplink(&uplinks[i], i);
	}
	prefix6_parse("2001:db8:100:1::/64", &network.prefix);
	conf.hoa = network.prefix.addr;
	prefix6_parse("2001:db8:100:3::/64", &conf.home_prefix);
	conf.return_home = data[3] & 2;
	has[0].s6_addr[0] = has[1].s6_addr[0] = 0x20;
	has[1].s6_addr[15] = 1;
	conf.n_uplinks = 1 + data[0] % MR_MAX_UPLINKS;
	conf.n_has = data[1] % 3;
	conf.mode = data[2] % 3;
	conf.next_ha_ms = 1500;
	conf.retransmit_ms = data[2] & 0x80 ? 20 : 150;
	conf.check_ms = data[3] & 1 ? 1000 : 0;
	conf.heartbeat_s = data[3] >> 1 & 1;
	conf.heartbeat_misses = data[3] >> 2 & 3;
	memset(&f, 0, sizeof(f));
	f.now = 1;
	f.mr = mr_new(&conf, data[3]);
	for (data += 4, size -= 4; f.mr && size >= 4; data += 4, size -= 4) {
		if ((data[0] & 0x3f) == 0x3f) {
			reload(data);
		} else {
			make_event(data, &ev);
			step(&ev);
		}
		run(f.now + data[3] * (data[3] & 0x80 ? 40u : 2u));
	}
	mr_free(f.mr);
	return 0;
}
