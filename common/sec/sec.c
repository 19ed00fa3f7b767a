/* sec.c - protection of the signalling: one table of peers, and per mode what goes out and what may
 * come in; the authentication option is in sec_auth.c.  Nothing is allocated and no state changes
 * before a message is known to be authentic. */
/* A filter of 128 KB: that a key is not there is mostly told without a look at others. */
#define HASH_BLOOM 20
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "common/core/rd.h"
#include "common/sec/peer.h"

#define MAX_FOUND   256        /* home agents found by a router */
#define OUT_AHEAD   1024       /* ESP numbers reserved with one write to the disk */
#define REKEY_AT    (1u << 15) /* messages; payload.h needs it to be below 2^16 */
#define MAX_UNHEARD 3
#define LAST_SENT   8                /* packets that an error may be about */
#define TOLD_NTP    SEC_SECOND       /* a router without keys here is told so this often at most */
#define DOUBT_NTP   (5 * SEC_SECOND) /* and believes it this often at most */

const char *const sec_modes[] = {[SEC_NONE] = "none",
	[SEC_AUTH] = "auth-option",
	[SEC_ESP_STATIC] = "esp-static",
	[SEC_ESP] = "esp",
	NULL};
const char *const sec_payloads[] = {[SEC_PAYLOAD_NONE] = "none", [SEC_PAYLOAD_ESP] = "esp", NULL};

struct sec *sec_new(bool home_agent, enum sec_mode strangers, const struct sec_hooks *hooks)
{
	struct sec *s = OPENSSL_zalloc(sizeof(*s));

	if (!s)
		return NULL;
	s->home_agent = home_agent;
	s->strangers = strangers;
	s->hooks = *hooks;
	return s;
}

static struct peer *find(const struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa)
{
	struct pair id = {*ha, *hoa};
	struct peer *p;

	HASH_FIND(hh, s->peers, &id, sizeof(id), p);
	return p;
}

static uint64_t esp_mark(const struct esp_sa *sa, uint32_t number)
{
	return (uint64_t)sa->spi << 32 | number;
}

/* Numbers go on where they were, for the same SPI: another one has other keys. */
static void add_esp(struct sec *s, struct peer *p, const struct keys *k)
{
	struct sec_mark m = {.kind = SEC_MARK_IN, .ha = p->id.ha, .hoa = p->id.hoa};

	p->esp.in = k->esp[s->home_agent ? KEYS_TO_HA : KEYS_TO_MR];
	p->esp.out = k->esp[s->home_agent ? KEYS_TO_MR : KEYS_TO_HA];
	p->esp.reserved = 0;
	if (s->hooks.recall(s->hooks.arg, &m) && m.value >> 32 == p->esp.in.spi) {
		p->esp.in.seq = (uint32_t)m.value;
		p->esp.in.seen = UINT64_MAX;
	}
	m.kind = SEC_MARK_OUT;
	if (s->hooks.recall(s->hooks.arg, &m) && m.value >> 32 == p->esp.out.spi)
		p->esp.out.seq = p->esp.reserved = (uint32_t)m.value;
}

/* What was made with another secret than that of now is not the peer's any more. */
static void add_negotiated(struct sec *s, struct peer *p, const struct keys *k)
{
	struct sec_sas sas;

	p->esp.secret = keys_hash(k);
	if (!s->hooks.recall_sas ||
		!s->hooks.recall_sas(s->hooks.arg, &p->id.ha, &p->id.hoa, &sas) ||
		sas.secret != p->esp.secret)
		return;
	p->esp.in = sas.in;
	p->esp.out = sas.out;
	p->esp.next_out = sas.next_out;
	p->esp.old = sas.old;
	p->esp.since = sas.since;
	p->esp.reserved = sas.out.seq;
	OPENSSL_cleanse(&sas, sizeof(sas));
}

int sec_add(struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa, const char *name,
	enum sec_mode mode, const struct keys *k)
{
	const struct pair id = {*ha, *hoa};
	struct peer *p;
	unsigned hash;

	HASH_VALUE(&id, sizeof(id), hash);
	HASH_FIND_BYHASHVALUE(hh, s->peers, &id, sizeof(id), hash, p);
	if (p)
		return -EEXIST;
	p = OPENSSL_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->id = id;
	p->mode = mode;
	p->name_size = (uint8_t)strnlen(name, MH_MAX_ID);
	memcpy(p->name, name, p->name_size);
	if (mode == SEC_AUTH)
		sec_auth_add(p, k);
	else if (mode == SEC_ESP_STATIC)
		add_esp(s, p, k);
	else if (mode == SEC_ESP)
		add_negotiated(s, p, k);
	HASH_ADD_BYHASHVALUE(hh, s->peers, id, sizeof(p->id), hash, p);
	return 0;
}

void sec_add_any(struct sec *s, const struct in6_addr *hoa, const char *name, enum sec_mode mode,
	const struct keys *k)
{
	s->any.there = true;
	s->any.hoa = *hoa;
	s->any.mode = mode;
	s->any.keys = *k;
	memcpy(s->any.name, name, strnlen(name, MH_MAX_ID));
}

void sec_change_any(struct sec *s, const struct keys *k)
{
	struct peer *p, *next;
	struct esp_sa in;

	s->any.keys = *k;
	HASH_ITER (hh, s->peers, p, next) {
		in = p->esp.in;
		p->esp.outdated = p->mode == SEC_ESP;
		if (p->mode == SEC_ESP_STATIC) {
			add_esp(s, p, k);
			if (in.spi != p->esp.in.spi)
				p->esp.old = in;
		}
		if (p->mode == SEC_AUTH)
			sec_auth_add(p, k);
	}
	OPENSSL_cleanse(&in, sizeof(in));
}

/* Where a message goes to: a home agent that is new to us gets its pair now. */
static struct peer *find_or_add(
	struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa)
{
	struct peer *p = find(s, ha, hoa);
	const struct any *a = &s->any;

	if (p || !a->there || !addr6_eq(hoa, &a->hoa) || HASH_COUNT(s->peers) >= MAX_FOUND)
		return p;
	return sec_add(s, ha, hoa, a->name, a->mode, &a->keys) < 0 ? NULL : find(s, ha, hoa);
}

void sec_keep(struct sec *s, const struct peer *p, uint8_t kind, uint64_t value)
{
	struct sec_mark m = {kind, p->id.ha, p->id.hoa, value};

	s->hooks.keep(s->hooks.arg, &m);
}

static void keep_sas(struct sec *s, const struct peer *p)
{
	struct sec_sas sas = {
		p->esp.in, p->esp.out, p->esp.next_out, p->esp.old, p->esp.since, p->esp.secret};

	if (!s->hooks.keep_sas || p->mode != SEC_ESP)
		return;
	sas.out.seq = p->esp.reserved;
	s->hooks.keep_sas(s->hooks.arg, &p->id.ha, &p->id.hoa, &sas);
	OPENSSL_cleanse(&sas, sizeof(sas));
}

enum mh_verdict sec_drop(struct sec *s, enum sec_counter c)
{
	s->counters[c]++;
	return MH_DROP_SEC;
}

/* These can do no more than make a router renew its binding, at the rate it may. */
bool sec_harmless(uint8_t type)
{
	return type == MH_BRR || type == MH_BE || type == MH_HB;
}

/* --- ESP --- */

static enum mh_verdict check_esp(struct sec *s, enum esp_verdict v)
{
	switch (v) {
	case ESP_OK: s->counters[SEC_C_esp_ok]++; return MH_OK;
	case ESP_SHORT: return sec_drop(s, SEC_C_esp_short);
	case ESP_SPI: return sec_drop(s, SEC_C_esp_spi);
	case ESP_REPLAY: return sec_drop(s, SEC_C_esp_replay);
	case ESP_ICV: return sec_drop(s, SEC_C_esp_icv);
	case ESP_PADDING: return sec_drop(s, SEC_C_esp_padding);
	case ESP_DUMMY: return sec_drop(s, SEC_C_esp_dummy);
	}
	return MH_DROP_SEC;
}

/* By SPI: the present one, or that before. */
static struct esp_sa *find_sa(struct peer *p, const struct ip6_pkt *ip)
{
	struct rd r = rd_init(ip->payload, ip->payload_size);
	uint32_t spi = rd_u32(&r);

	return spi && spi == p->esp.old.spi ? &p->esp.old : &p->esp.in;
}

/* The other end has the new keys: the old ones have had their time. */
static void use_new(struct peer *p)
{
	OPENSSL_cleanse(&p->esp.old, sizeof(p->esp.old));
	if (!p->esp.next_out.spi)
		return;
	p->esp.out = p->esp.next_out;
	p->esp.reserved = 0;
	OPENSSL_cleanse(&p->esp.next_out, sizeof(p->esp.next_out));
}

/* The association is the home address's: nobody can use his own for another's. */
static enum mh_verdict open_esp(
	struct sec *s, struct peer *p, struct ip6_pkt *ip, struct sec_clear *out)
{
	uint8_t inner[IP6_SIG_MAX];
	struct esp_sa *sa = find_sa(p, ip);
	uint32_t top = sa->seq, spi = sa->spi;
	enum mh_verdict v;
	size_t size;
	int n;

	if (ip->payload_size > sizeof(inner))
		return sec_drop(s, SEC_C_esp_inner);
	v = check_esp(s, esp_open(sa, ip->payload, ip->payload_size, inner, &size, &ip->proto));
	if (p->mode == SEC_ESP_STATIC && sa == &p->esp.in && sa->seq != top)
		sec_keep(s, p, SEC_MARK_IN, esp_mark(sa, sa->seq));
	if (v != MH_OK)
		return v;
	p->esp.unheard = 0;
	if (sa == &p->esp.in)
		use_new(p);
	keep_sas(s, p);
	ip->payload = inner;
	ip->payload_size = size;
	n = ip->proto == IP6_PROTO_MH || ip->proto == IP6_PROTO_ICMP6
		    ? ip6_encode(ip, out->buf, sizeof(out->buf))
		    : -1;
	if (n < 0)
		return sec_drop(s, SEC_C_esp_inner);
	out->pkt = out->buf;
	out->size = (size_t)n;
	out->esp = true;
	out->spi = spi;
	return MH_OK;
}

/* What was in an authentic ESP packet. */
static enum mh_verdict check_inner(struct sec *s, enum mh_verdict v, const struct mh_env *e)
{
	if (v != MH_OK)
		return sec_drop(s, SEC_C_esp_inner);
	/* RFC 3776 s3.1: the care-of address comes from the option, the IPv6 header is anyone's. */
	if (e->m.type == MH_BU && e->m.bu.lifetime_s > 0 && !addr6_is_any(&e->hoa) &&
		addr6_is_any(&e->m.o.alt_coa))
		return sec_drop(s, SEC_C_esp_care_of);
	return MH_OK;
}

static bool keyless(const struct peer *p)
{
	return p->mode == SEC_ESP && !p->esp.out.spi;
}

/* A home agent that has started anew does not know the keys that its router still uses. */
static enum mh_verdict no_keys(struct sec *s, struct peer *p, const struct ip6_pkt *ip,
	uint64_t now, struct sec_clear *out)
{
	if (p && s->home_agent && keyless(p) && ip->has_hao && now - p->esp.told >= TOLD_NTP) {
		p->esp.told = now;
		out->tell = true;
		out->src = ip->src;
		out->dst = ip->dst;
		out->hoa = ip->hao;
	}
	return sec_drop(s, SEC_C_esp_spi);
}

/* The home agent says in clear, as Binding Errors come, that it does not know us: anybody can say
 * so. If something of ours stays unanswered it is a reason to make new keys, now and then. */
static void doubt(struct sec *s, struct peer *p, const struct mh_env *e, uint64_t now)
{
	if (s->home_agent || !p || p->mode != SEC_ESP || e->m.be.status != 1 ||
		p->esp.unheard == 0 || now - p->esp.told < DOUBT_NTP)
		return;
	p->esp.told = now;
	p->esp.unheard = MAX_UNHEARD;
	s->counters[SEC_C_esp_doubt]++;
	if (s->hooks.renew)
		s->hooks.renew(s->hooks.arg);
}

/* Replaces the message that 'ip' carries by ESP in 'buf'. */
static int seal_esp(struct sec *s, struct peer *p, struct ip6_pkt *ip, uint8_t *buf, size_t room)
{
	uint8_t iv[ESP_IV_MAX];
	int n;

	if (!p->esp.out.spi)
		return -ENOKEY;
	p->esp.unheard++;
	/* Should the process end before the next write, the numbers in between stay unused. */
	if (p->esp.out.seq >= p->esp.reserved && p->esp.out.seq < UINT32_MAX) {
		p->esp.reserved = p->esp.out.seq > UINT32_MAX - OUT_AHEAD
					  ? UINT32_MAX
					  : p->esp.out.seq + OUT_AHEAD;
		if (p->mode == SEC_ESP_STATIC)
			sec_keep(s, p, SEC_MARK_OUT, esp_mark(&p->esp.out, p->esp.reserved));
		else
			keep_sas(s, p);
	}
	s->hooks.random(s->hooks.arg, iv, sizeof(iv));
	n = esp_seal(&p->esp.out, iv, ip->proto, ip->payload, ip->payload_size, buf, room);
	if (n == -EOVERFLOW)
		s->counters[SEC_C_esp_used_up]++;
	if (n < 0)
		return n;
	ip->proto = IP6_PROTO_ESP;
	ip->payload = buf;
	ip->payload_size = (size_t)n;
	return 0;
}

static bool has_esp(const struct peer *p)
{
	return p->mode == SEC_ESP_STATIC || p->mode == SEC_ESP;
}

void sec_rekey(struct sec *s, uint64_t interval_ms)
{
	s->rekey_ms = interval_ms;
}

int sec_install(struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, uint64_t now_ms)
{
	struct peer *p = find(s, ha, hoa);

	if (!p || p->mode != SEC_ESP)
		return -ENOENT;
	/* Not one that was never heard: the last that worked is of more use. */
	if (!p->esp.old.spi || p->esp.in.seq)
		p->esp.old = p->esp.in;
	p->esp.in = *in;
	*(s->home_agent && p->esp.out.spi ? &p->esp.next_out : &p->esp.out) = *out;
	p->esp.unheard = 0;
	p->esp.since = now_ms;
	if (p->esp.outdated)
		p->esp.secret = keys_hash(&s->any.keys);
	p->esp.outdated = false;
	if (!p->esp.next_out.spi)
		p->esp.reserved = 0;
	keep_sas(s, p);
	return 0;
}

static bool too_old(const struct sec *s, const struct peer *p, uint64_t now_ms)
{
	return s->rekey_ms && now_ms - p->esp.since >= s->rekey_ms;
}

bool sec_needs_keys(struct sec *s, const struct mh_env *e, uint64_t now_ms)
{
	const struct in6_addr *hoa = addr6_is_any(&e->hoa) ? &e->src : &e->hoa;
	const struct peer *p = s->home_agent ? NULL : find_or_add(s, &e->dst, hoa);

	return p && p->mode == SEC_ESP &&
	       (!p->esp.out.spi || p->esp.out.seq > REKEY_AT || p->esp.unheard >= MAX_UNHEARD ||
		       p->esp.outdated || too_old(s, p, now_ms));
}

/* --- packets --- */

/* Whose a received packet is: the home address stands for the care-of address (RFC 3776 s4.2). */
static struct peer *find_sender(const struct sec *s, const struct ip6_pkt *ip)
{
	if (s->home_agent)
		return find(s, &ip->dst,
			ip->has_hao   ? &ip->hao
			: ip->has_rh2 ? &ip->rh2
				      : &ip->src);
	return find(s, &ip->src, ip->has_hao ? &ip->hao : ip->has_rh2 ? &ip->rh2 : &ip->dst);
}

enum mh_verdict sec_unwrap(
	struct sec *s, const void *pkt, size_t size, uint64_t now, struct sec_clear *out)
{
	struct ip6_pkt ip;
	struct peer *p;

	out->pkt = pkt;
	out->size = size;
	out->esp = out->tell = false;
	if (ip6_decode(pkt, size, &ip) != IP6_OK || ip.proto != IP6_PROTO_ESP)
		return MH_OK;
	p = find_sender(s, &ip);
	return p && has_esp(p) && p->esp.in.spi ? open_esp(s, p, &ip, out)
						: no_keys(s, p, &ip, now, out);
}

enum mh_verdict sec_open(struct sec *s, const struct sec_clear *c, uint64_t now, struct mh_env *out,
	enum ip6_verdict *chain, unsigned *where)
{
	enum mh_verdict v = mh_decode_packet(c->pkt, c->size, out, chain, where);
	struct ip6_pkt ip;
	struct peer *p;

	if (c->esp) {
		out->spi = c->spi;
		return check_inner(s, v, out);
	}
	if (v != MH_OK || ip6_decode(c->pkt, c->size, &ip) != IP6_OK)
		return v;
	p = find_sender(s, &ip);
	if (!p && out->m.type == MH_BE)
		doubt(s, find(s, &ip.src, &out->m.be.hoa), out, now);
	switch (p ? p->mode : s->strangers) {
	case SEC_NONE: return MH_OK;
	case SEC_AUTH:
		if (!p)
			break;
		return sec_auth_open(s, p, ip.payload, (ip.payload[1] + 1u) * 8, now, out);
	case SEC_ESP_STATIC:
	case SEC_ESP:
		if (!p)
			break;
		return sec_drop(s, SEC_C_sec_clear);
	case SEC_N_MODES: break;
	}
	return sec_harmless(out->m.type) ? MH_OK : sec_drop(s, SEC_C_sec_stranger);
}

bool sec_icmp6_ok(struct sec *s, const struct sec_clear *c, const struct icmp6_msg *m)
{
	const struct peer *p;
	enum sec_mode mode;

	if (c->esp || (m->type != ICMP6_MPS && m->type != ICMP6_MPA))
		return true;
	p = s->home_agent ? find(s, &m->dst, &m->hoa) : find(s, &m->src, &m->hoa);
	mode = p ? p->mode : s->home_agent ? SEC_NONE : s->strangers;
	if (mode != SEC_NONE)
		s->counters[SEC_C_sec_clear]++;
	return mode == SEC_NONE;
}

/* To whom a message goes; false: it must not go, in clear for want of memory. */
static bool find_receiver(struct sec *s, const struct in6_addr *src, const struct in6_addr *dst,
	const struct in6_addr *in_header, struct peer **p)
{
	const struct in6_addr *end = s->home_agent ? dst : src;
	const struct in6_addr *hoa = addr6_is_any(in_header) ? end : in_header;

	*p = find_or_add(s, s->home_agent ? src : dst, hoa);
	return *p || !s->any.there || !addr6_eq(hoa, &s->any.hoa) || s->any.mode == SEC_NONE;
}

int sec_seal(struct sec *s, const struct mh_env *e, uint64_t now, void *buf, size_t size)
{
	struct mh_env sealed = *e;
	uint8_t mh[MH_MAX_SIZE], esp[MH_MAX_SIZE + ESP_OVERHEAD];
	struct ip6_pkt ip;
	struct peer *p;
	int n;

	if (!find_receiver(s, &e->src, &e->dst, &e->hoa, &p))
		return -ENOKEY;
	if (p && p->mode == SEC_AUTH && (e->m.type == MH_BU || e->m.type == MH_BA))
		n = sec_auth_seal(s, p, &sealed, now, mh, sizeof(mh));
	else
		n = mh_encode(&sealed.m, mh, sizeof(mh));
	if (n < 0)
		return n;
	mh_frame(&sealed, mh, (size_t)n, &ip);
	if (p && has_esp(p)) {
		n = seal_esp(s, p, &ip, esp, sizeof(esp));
		if (n < 0)
			return n;
	}
	return ip6_encode(&ip, buf, size);
}

int sec_seal_icmp6(struct sec *s, const struct icmp6_msg *m, void *buf, size_t size)
{
	uint8_t icmp[ICMP6_MAX_SIZE], esp[ICMP6_MAX_SIZE + ESP_OVERHEAD];
	struct ip6_pkt ip;
	struct peer *p;
	int n;

	icmp6_frame(m, icmp, &ip);
	if (m->type == ICMP6_MPS || m->type == ICMP6_MPA) {
		if (!find_receiver(s, &m->src, &m->dst, &m->hoa, &p) ||
			(p && p->mode == SEC_AUTH)) /* RFC 4285 s2 */
			return -ENOKEY;
		n = p && has_esp(p) ? seal_esp(s, p, &ip, esp, sizeof(esp)) : 0;
		if (n < 0)
			return n;
	}
	return ip6_encode(&ip, buf, size < ICMP6_MAX_SIZE ? size : ICMP6_MAX_SIZE);
}

bool sec_sent(const struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa, bool esp,
	uint32_t spi, uint32_t number)
{
	const struct peer *p = find(s, ha, hoa);

	if (!p || !has_esp(p) || !esp)
		return !esp && !(p && has_esp(p));
	return p->esp.out.spi && spi == p->esp.out.spi && number <= p->esp.out.seq &&
	       p->esp.out.seq - number < LAST_SENT;
}

void sec_remove(struct sec *s, const struct in6_addr *ha, const struct in6_addr *hoa)
{
	struct peer *p = find(s, ha, hoa);

	if (!p)
		return;
	HASH_DEL(s->peers, p);
	OPENSSL_clear_free(p, sizeof(*p));
}

uint64_t sec_counter(const struct sec *s, enum sec_counter c)
{
	return s->counters[c];
}

void sec_free(struct sec *s)
{
	struct peer *p, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->peers, p, next) {
		HASH_DEL(s->peers, p);
		OPENSSL_clear_free(p, sizeof(*p));
	}
	OPENSSL_clear_free(s, sizeof(*s));
}
