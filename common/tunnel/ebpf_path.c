/* ebpf_path.c - the eBPF engine's path MTU of each tunnel and errors from inside the paths (RFC
 * 2473 s6.7, s8).  An error counts only if it quotes what this tunnel can have sent; it never
 * changes more than the tunnel's MTU, never below 1280, and that for ten minutes (RFC 8201 s4). */
#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/tunnel/ebpf.h"

#define TOLD_MS 600000 /* RFC 8201 s5.2 */
#define AGING_S 10     /* how often it is looked at */
#define LOST_MS 5000   /* a router that migrates may be nowhere for so long */
#define LULL_MS 10000  /* a longer one without an error ends such a time */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool ip6_is(const struct ip6 *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

unsigned ebpf_route_mtu(const struct tunnel_set *set, const struct entry *e)
{
	unsigned overhead = TUNNEL_OVERHEAD + (set->encap_limit ? 8 : 0), mtu;

	if (!e->info.mtu)
		return 0;
	mtu = e->info.mtu < QUOTE_MIN_MTU + overhead ? QUOTE_MIN_MTU : e->info.mtu - overhead;
	return mtu < set->mtu ? mtu : 0;
}

/* What the link and the kernel's own knowledge give, less if errors told so. */
static void set_mtu(struct tunnel_set *set, struct entry *e)
{
	e->info.mtu = slow_path_mtu(set->slow, &e->info.remote, e->info.oif);
	if (e->told_mtu && e->told_until <= now_ms())
		e->told_mtu = 0;
	if (e->told_mtu && (!e->info.mtu || e->told_mtu < e->info.mtu))
		e->info.mtu = e->told_mtu;
}

static void change_mtu(struct tunnel_set *set, struct entry *e)
{
	uint32_t before = e->info.mtu;

	set_mtu(set, e);
	if (e->info.mtu == before)
		return;
	ebpf_info_put(set, e);
	ebpf_routes_put(set, e);
}

void ebpf_path_set(struct tunnel_set *set, struct entry *e, const struct entry *old)
{
	if (!set->slow)
		return;
	if (old && !memcmp(&old->info.local, &e->info.local, sizeof(e->info.local)) &&
		!memcmp(&old->info.remote, &e->info.remote, sizeof(e->info.remote))) {
		e->told_mtu = old->told_mtu; /* the same path as before */
		e->told_until = old->told_until;
	}
	set_mtu(set, e);
}

static int on_aging(sd_event_source *src, uint64_t usec, void *arg)
{
	struct tunnel_set *set = arg;
	uint64_t now = now_ms();
	struct entry *e;

	for (e = set->book.entries; e; e = e->hh.next) {
		if (e->told_mtu && e->told_until <= now)
			change_mtu(set, e);
	}
	sd_event_source_set_time(src, usec + AGING_S * 1000000ULL);
	return sd_event_source_set_enabled(src, SD_EVENT_ONESHOT);
}

/* --- errors --- */

static bool number_of(const struct tunnel_set *set, enum key_table table,
	const struct in6_addr *addr, uint32_t *number)
{
	struct map_prefix key = {.len = 128};

	memcpy(&key.addr, addr, sizeof(key.addr));
	return bpf_map_lookup_elem(ebpf_map_fd(set, table), &key, number) == 0;
}

static bool find_info(void *arg, uint32_t number, struct map_info *out)
{
	struct tunnel_set *set = arg;

	return bpf_map_lookup_elem(bpf_map__fd(set->bpf->maps.infos), &number, out) == 0;
}

/* The tunnel that sent what is quoted: between these ends, to a network behind the far one, at a
 * mobile router from a network of its own. */
static struct entry *find_sender(struct tunnel_set *set, const struct quote *q)
{
	struct map_info info;
	struct in6_addr id;
	uint32_t number;

	if (!number_of(set, KEY_ROUTES, &q->inner_dst, &number) || !find_info(set, number, &info) ||
		!ip6_is(&info.local, &q->src) || !ip6_is(&info.remote, &q->dst))
		return NULL;
	if (set->role == TUNNEL_MR && !number_of(set, KEY_INNER, &q->inner_src, &number))
		return NULL;
	memcpy(&id, &info.id, sizeof(id));
	return book_find(&set->book, &id);
}

/* Packet Too Big.  False: it can't be true (RFC 8201 s4: below 1280 is discarded), or it tells
 * nothing new. */
static bool learn(struct tunnel_set *set, struct entry *e, const struct quote *q)
{
	uint32_t mtu = q->error.param;

	if (mtu < QUOTE_MIN_MTU || q->outer_size <= mtu)
		return false;
	if (!e->info.mtu || mtu < e->info.mtu) {
		e->told_mtu = mtu;
		e->told_until = now_ms() + TOLD_MS;
		change_mtu(set, e);
		slow_counts(set->slow)[TUNNEL_COUNT_icmp_mtu]++;
	}
	return true;
}

/* A home agent's tunnel whose far end does not answer its neighbours (code 3) most likely leads to
 * where a router was a moment ago.  Connections that are being made would fail by such an error,
 * and at once, while they get over the gap without.  It is relayed if it goes on; each Binding
 * Update begins a new time. */
static bool hold_back(const struct tunnel_set *set, struct entry *e, const struct quote *q)
{
	uint64_t now = now_ms();

	if (set->role != TUNNEL_HA || q->error.type != QUOTE_UNREACHABLE || q->error.code != 3)
		return false;
	if (now - e->lost_last > LULL_MS)
		e->lost_since = now;
	e->lost_last = now;
	return now - e->lost_since < LOST_MS;
}

static void on_error(void *arg, const struct quote *q)
{
	struct tunnel_set *set = arg;
	struct entry *e = find_sender(set, q);
	struct quote_error relayed;

	if (!e || (q->error.type == QUOTE_TOO_BIG && !learn(set, e, q))) {
		slow_counts(set->slow)[TUNNEL_COUNT_icmp_ignored]++;
		return;
	}
	if (hold_back(set, e, q))
		slow_counts(set->slow)[TUNNEL_COUNT_icmp_held]++;
	else if (quote_relay(q, &relayed))
		slow_error(set->slow, &e->info, &relayed, q->inner, q->inner_quoted);
}

int ebpf_path_open(struct tunnel_set *set, const struct tunnel_conf *conf, char *why)
{
	const struct slow_handlers on = {find_info, on_error, set};
	int rc;

	if (!conf->event) {
		snprintf(why, 256, "no event loop");
		return -EINVAL;
	}
	rc = slow_open(&set->slow, &set->dev, conf, &on, why);
	if (rc >= 0)
		rc = sd_event_add_time_relative(conf->event, &set->aging, CLOCK_BOOTTIME,
			AGING_S * 1000000ULL, 1000000, on_aging, set);
	return rc;
}

void ebpf_path_close(struct tunnel_set *set)
{
	sd_event_source_disable_unref(set->aging);
	slow_close(set->slow);
}
