/* path.c - path MTU of each tunnel, errors from inside the paths. */
#include "common/tunnel/path.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOLD_MS 600000 /* RFC 8201 s5.2 */
#define AGING_S 2      /* how often it is looked at, while there is anything to forget */
#define LOST_MS 5000   /* a router that migrates may be nowhere for so long */
#define LULL_MS 10000  /* a longer one without an error ends such a time */

struct path {
	struct book *book;
	struct slow *slow;
	enum tunnel_role role;
	unsigned dev_mtu; /* octets */
	unsigned limit;   /* sent with packets that bring none; 0: none */
	uint64_t (*now_ms)(void);
	sd_event_source *aging;
	path_changed_fn *changed;
};

static uint64_t boottime_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool ip6_is(const struct ip6 *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

struct slow *path_slow(struct path *p)
{
	return p ? p->slow : NULL;
}

unsigned path_overhead(const struct path *p)
{
	return TUNNEL_OVERHEAD + (p->limit ? SLOW_LIMIT_SIZE : 0);
}

unsigned path_route_mtu(const struct path *p, const struct entry *e)
{
	unsigned mtu;

	if (!p || !e->info.mtu)
		return 0;
	mtu = e->info.mtu < QUOTE_MIN_MTU + path_overhead(p) ? QUOTE_MIN_MTU
							     : e->info.mtu - path_overhead(p);
	return mtu < p->dev_mtu ? mtu : 0;
}

/* What the link and the kernel's own knowledge give, less if errors told so. */
static void set_mtu(struct path *p, struct entry *e)
{
	e->info.mtu = slow_path_mtu(p->slow, &e->info.remote, e->info.oif);
	if (e->told_mtu && e->told_until <= p->now_ms())
		e->told_mtu = 0;
	if (e->told_mtu && (!e->info.mtu || e->told_mtu < e->info.mtu))
		e->info.mtu = e->told_mtu;
}

static struct entry *change_mtu(struct path *p, struct entry *e)
{
	uint32_t before = e->info.mtu;

	set_mtu(p, e);
	return e->info.mtu == before ? e : p->changed(p->book->set, e);
}

void path_set(struct path *p, struct entry *e, const struct entry *old)
{
	if (!p)
		return;
	if (old && !memcmp(&old->info.local, &e->info.local, sizeof(e->info.local)) &&
		!memcmp(&old->info.remote, &e->info.remote, sizeof(e->info.remote))) {
		e->told_mtu = old->told_mtu; /* the same path as before */
		e->told_until = old->told_until;
		if (old->left) {
			e->info.mtu = old->info.mtu;
			return;
		}
	}
	set_mtu(p, e);
}

static void age(struct path *p)
{
	sd_event_source_set_time_relative(p->aging, AGING_S * 1000000ULL);
	sd_event_source_set_enabled(p->aging, SD_EVENT_ONESHOT);
}

void path_adopt(struct path *p, struct entry *e)
{
	if (!p || !e->info.mtu || e->info.mtu >= p->dev_mtu + TUNNEL_OVERHEAD)
		return;
	e->told_mtu = e->info.mtu;
	e->told_until = p->now_ms() + TOLD_MS;
	age(p);
}

static int on_aging(sd_event_source *src, uint64_t usec, void *arg)
{
	struct path *p = arg;
	uint64_t now = p->now_ms();
	struct entry *e, *next;
	bool more = false;

	(void)usec;
	HASH_ITER (hh, p->book->entries, e, next) {
		if (e->told_mtu && e->told_until <= now)
			change_mtu(p, e);
		else
			more |= e->told_mtu != 0;
	}
	if (!more)
		return 0;
	sd_event_source_set_time_relative(src, AGING_S * 1000000ULL);
	return sd_event_source_set_enabled(src, SD_EVENT_ONESHOT);
}

/* --- errors --- */

static bool find_info(void *arg, uint32_t number, struct map_info *out)
{
	struct path *p = arg;
	const struct entry *e = book_number(p->book, number);

	if (e)
		*out = e->info;
	return e != NULL;
}

/* The tunnel that sent what is quoted: between these ends, to a network behind the far one, at a
 * mobile router from a network of its own. */
static struct entry *find_sender(const struct path *p, const struct quote *q)
{
	struct entry *e = book_route(p->book, &q->inner_dst);

	if (!e || !ip6_is(&e->info.local, &q->src) || !ip6_is(&e->info.remote, &q->dst))
		return NULL;
	return p->role == TUNNEL_MR && !book_inner(p->book, &q->inner_src) ? NULL : e;
}

/* Packet Too Big.  False: it can't be true (RFC 8201 s4: below 1280 is discarded), or it tells
 * nothing new. */
static bool learn(struct path *p, struct entry **e, const struct quote *q)
{
	uint32_t mtu = q->error.param;

	if (mtu < QUOTE_MIN_MTU || q->outer_size <= mtu)
		return false;
	if (!(*e)->info.mtu || mtu < (*e)->info.mtu) {
		(*e)->told_mtu = mtu;
		(*e)->told_until = p->now_ms() + TOLD_MS;
		*e = change_mtu(p, *e);
		slow_counts(p->slow)[TUNNEL_COUNT_icmp_mtu]++;
		age(p);
	}
	return true;
}

/* A home agent's tunnel whose far end does not answer its neighbours (code 3) most likely leads to
 * where a router was a moment ago.  Connections that are being made would fail by such an error,
 * and at once, while they get over the gap without.  It is relayed if it goes on; each Binding
 * Update begins a new time. */
static bool hold_back(const struct path *p, struct entry *e, const struct quote *q)
{
	uint64_t now = p->now_ms();

	if (p->role != TUNNEL_HA || q->error.type != QUOTE_UNREACHABLE || q->error.code != 3)
		return false;
	if (now - e->lost_last > LULL_MS)
		e->lost_since = now;
	e->lost_last = now;
	return now - e->lost_since < LOST_MS;
}

static void on_error(void *arg, const struct in6_addr *to, const struct quote *q)
{
	struct path *p = arg;
	struct entry *e = find_sender(p, q);
	struct quote_error relayed;

	if (to && !book_local(p->book, to))
		return;
	if (!e || (q->error.type == QUOTE_TOO_BIG && !learn(p, &e, q))) {
		slow_counts(p->slow)[TUNNEL_COUNT_icmp_ignored]++;
		return;
	}
	if (hold_back(p, e, q))
		slow_counts(p->slow)[TUNNEL_COUNT_icmp_held]++;
	else if (quote_relay(q, &relayed))
		slow_error(p->slow, &e->info, &relayed, q->inner, q->inner_quoted);
}

/* What a program would have said of a packet that comes from the kernel's tunnel device. */
static bool look(void *arg, const void *pkt, size_t size, struct slow_head *out)
{
	struct path *p = arg;
	const uint8_t *head = pkt;
	struct in6_addr src, dst;
	const struct entry *e;
	unsigned at = 0;
	int limit;

	memcpy(&src, head + 8, sizeof(src));
	memcpy(&dst, head + 24, sizeof(dst));
	if (!addr6_is_routable(&dst))
		return false; /* a multicast report of the kernel, on the way to user space */
	e = book_route(p->book, &dst);
	if (!e || (ip6_is(&e->info.local, &src) && ip6_is(&e->info.remote, &dst))) {
		slow_drops(p->slow)[e ? TUNNEL_DROP_tx_loop : TUNNEL_DROP_tx_no_tunnel]++;
		return false;
	}
	limit = quote_limit(pkt, size, &at);
	if (limit == 0)
		slow_drops(p->slow)[TUNNEL_DROP_tx_encap_limit]++;
	*out = (struct slow_head){.number = e->number,
		.pointer = (uint16_t)at,
		.why = limit == 0 ? SLOW_LIMIT : SLOW_SIZE,
		.has_limit = limit > 0 || (limit < 0 && p->limit),
		.limit = (uint8_t)(limit > 0 ? limit - 1 : (int)p->limit)};
	return true;
}

int path_open(struct path **out, struct book *book, const struct tunnel_dev *dev,
	enum slow_kind kind, const struct tunnel_conf *conf, path_changed_fn *changed, char *why)
{
	struct path *p = conf->event ? calloc(1, sizeof(*p)) : NULL;
	const struct slow_handlers on = {find_info, look, on_error, p};
	int rc;

	if (!p) {
		snprintf(why, 256, conf->event ? "out of memory" : "no event loop");
		return conf->event ? -ENOMEM : -EINVAL;
	}
	p->book = book;
	p->role = conf->role;
	p->dev_mtu = conf->mtu;
	p->limit = conf->encap_limit;
	p->now_ms = conf->now_ms ? conf->now_ms : boottime_ms;
	p->changed = changed;
	rc = slow_open(&p->slow, kind, dev, conf, &on, why);
	if (rc >= 0)
		rc = sd_event_add_time_relative(conf->event, &p->aging, CLOCK_BOOTTIME,
			AGING_S * 1000000ULL, 1000000, on_aging, p);
	if (rc < 0) {
		path_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

void path_close(struct path *p)
{
	if (!p)
		return;
	sd_event_source_disable_unref(p->aging);
	slow_close(p->slow);
	free(p);
}
