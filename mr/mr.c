/* mr.c - mobile router core: events to the uplinks and the binding, choice of the uplink, what is
 * shown. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/core/rng.h"
#include "mr/core.h"

struct mr_action *mr_action(struct mr *mr, enum mr_action_type type)
{
	assert(mr->out->n < MR_MAX_ACTIONS);
	struct mr_action *a = &mr->out->v[mr->out->n++];

	memset(a, 0, sizeof(*a));
	a->type = type;
	return a;
}

struct note *mr_note(struct mr *mr, enum note_type type, const char *fmt, ...)
{
	struct note *n = &mr_action(mr, MR_DO_NOTE)->note;
	va_list ap;

	n->type = type;
	n->name = mr->conf->name;
	n->hoa = mr->conf->hoa;
	n->coa = mr->bul.coa;
	n->status = -1;
	va_start(ap, fmt);
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
	return n;
}

uint64_t mr_random(struct mr *mr)
{
	return rng_next(&mr->rng);
}

const struct prefix6 *mr_behind(const struct mr_conf *c, unsigned i)
{
	if (i < c->n_networks)
		return &c->networks[i].prefix;
	return i - c->n_networks < c->n_announce ? &c->announce[i - c->n_networks] : NULL;
}

int mr_conf_uplink(const struct mr_conf *c, const char *interface)
{
	for (unsigned i = 0; i < c->n_uplinks; i++)
		if (strcmp(c->uplinks[i].interface, interface) == 0)
			return (int)i;
	return -1;
}

struct mr *mr_new(const struct mr_conf *conf, uint64_t seed)
{
	struct mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	mr->now_conf = *conf;
	mr->conf = &mr->now_conf;
	mr->now_conf.has = mr->has;
	for (unsigned i = 0; i < conf->n_has; i++)
		mr->has[i] = conf->has[i];
	mr->n_known = conf->n_has;
	mr->discovers = conf->n_has == 0;
	dhaad_init(mr);
	mps_init(mr);
	mr->rng = seed;
	mr->active = -1;
	mr->n_links = conf->n_uplinks;
	for (unsigned i = 0; i < mr->n_links; i++)
		link_init(mr, &mr->links[i], i);
	mr->home.ask_until = mr->home.announce_at = UINT64_MAX;
	bul_init(mr);
	mr_control_init(mr);
	return mr;
}

void mr_set_restart(struct mr *mr, uint32_t counter)
{
	mr->control.restart = counter;
}

void mr_adopt(struct mr *mr, uint64_t now)
{
	bul_adopt(mr, now);
}

void mr_exit(struct mr *mr, bool keep)
{
	for (unsigned i = 0; i < mr->n_links && !keep; i++)
		link_close(mr, &mr->links[i]);
	mr_action(mr, MR_DO_EXIT);
}

/* The best usable uplink; among equals the first, as the default routes have it (metric() in
 * link.c): the tunnel's packets take the kernel's best way. */
static int best_uplink(const struct mr *mr)
{
	int best = -1;

	for (unsigned i = 0; i < mr->n_links; i++) {
		if (!link_usable(&mr->links[i]))
			continue;
		if (best < 0 ||
			mr->conf->uplinks[i].preference > mr->conf->uplinks[best].preference)
			best = (int)i;
	}
	return best;
}

void mr_select_anew(struct mr *mr)
{
	int best = best_uplink(mr);

	if (best >= 0 && best != mr->active)
		mr->links[best].cause = "configuration";
	mr_select(mr);
}

void mr_select(struct mr *mr)
{
	int best = best_uplink(mr);
	bool had = mr->active >= 0;

	mr->active = best;
	if (best < 0) {
		if (had) {
			bul_lost(mr);
			mr_note(mr, NOTE_MR_LOST, "no uplink has a router; looking for one");
		}
		return;
	}
	const struct link *l = &mr->links[best];

	if (addr6_eq(&mr->bul.coa, &l->current.coa) && mr->bul.uplink == (unsigned)best && had)
		return;
	struct in6_addr old = mr->bul.coa;

	mr->counters[MR_C_moves]++;
	if (mr->home.state != ATHOME_AWAY && mr->home.uplink != (unsigned)best)
		athome_leave(mr); /* another uplink is better */
	if (l->current.home)
		athome_arrive(mr, (unsigned)best);
	else
		bul_move(mr, &l->current.coa, (unsigned)best);
	mr_note(mr, NOTE_MR_MOVED, "uplink %s, after %s%s", mr->conf->uplinks[best].interface,
		l->cause,
		l->current.home ? ", home link"
		: l->from_known ? ", known link"
				: "")
		->old_coa = old;
}

static void receive_nd(struct mr *mr, struct link *l, const struct mr_event *ev)
{
	if (ev->nd.msg.type == NDP_RA) {
		link_ra(mr, l, &ev->nd.msg, ev->nd.mac);
	} else if (ev->nd.msg.type == NDP_NA) {
		athome_na(mr, l, &ev->nd.msg, ev->nd.mac);
		link_na(mr, l, &ev->nd.msg, ev->nd.mac);
	}
}

void mr_step(struct mr *mr, const struct mr_event *ev, uint64_t now, struct mr_out *out)
{
	struct link *l = &mr->links[ev->uplink < mr->n_links ? ev->uplink : 0];

	out->n = 0;
	mr->out = out;
	mr->now = now;
	switch (ev->type) {
	case MR_EV_LINK:
		link_carrier(mr, l, ev->link.running, ev->link.mac);
		if (ev->link.notify_peers)
			link_hint(mr, l, true, "migration event");
		break;
	case MR_EV_MIGRATED:
		for (unsigned i = 0; i < mr->n_links; i++)
			link_hint(mr, &mr->links[i], true, "migration event");
		break;
	case MR_EV_ND: receive_nd(mr, l, ev); break;
	case MR_EV_SOURCE:
		l->lladdr = ev->addr;
		link_source(mr, l);
		break;
	case MR_EV_LEFT: link_left(mr, l, &ev->addr); break;
	case MR_EV_ADDR: link_dad_failed(mr, l, &ev->addr); break;
	case MR_EV_NEIGH: link_neigh_failed(mr, l, &ev->addr); break;
	case MR_EV_UNDONE: link_undone(mr, l, &ev->addr); break;
	case MR_EV_MH:
		if (!mr_control_receive(mr, &ev->mh))
			bul_receive(mr, &ev->mh);
		break;
	case MR_EV_ICMP6:
		if (ev->icmp6.type == ICMP6_DHAAD_REPLY)
			dhaad_receive(mr, &ev->icmp6);
		else if (ev->icmp6.type == ICMP6_MPA)
			mps_receive(mr, &ev->icmp6);
		else
			mr->counters[MR_C_icmp6_unexpected]++;
		break;
	case MR_EV_REHOME:
		link_hint(mr, l, true, "operator");
		bul_restart(mr);
		athome_restart(mr);
		break;
	case MR_EV_ERROR: bul_error(mr, &ev->error); break;
	case MR_EV_LEAVE: mr_leave(mr, ev->reload.conf); break;
	case MR_EV_RELOAD: mr_reload(mr, ev->reload.conf, ev->reload.new_keys); break;
	case MR_EV_STOP: bul_stop(mr, ev->keep); break;
	case MR_EV_TICK:
		for (unsigned i = 0; i < mr->n_links; i++)
			link_tick(mr, &mr->links[i]);
		bul_tick(mr);
		mr_control_tick(mr);
		dhaad_tick(mr);
		mps_tick(mr);
		athome_tick(mr);
		break;
	}
	mr->out = NULL;
}

uint64_t mr_deadline(const struct mr *mr)
{
	uint64_t at = mr_min(bul_deadline(mr), mr_min(mr_control_deadline(mr), mr->dhaad.at));

	at = mr_min(at, mps_deadline(mr));
	at = mr_min(at, athome_deadline(mr));

	for (unsigned i = 0; i < mr->n_links; i++)
		at = mr_min(at, link_deadline(&mr->links[i]));
	return at;
}

bool mr_bound(const struct mr *mr, uint64_t now)
{
	return mr->bul.live && now < mr->bul.ends;
}

struct in6_addr mr_care_of(const struct mr *mr, unsigned *uplink, bool *known, const char **cause)
{
	*uplink = 0;
	*known = false;
	*cause = "start";
	if (mr->active < 0)
		return in6addr_any;
	const struct link *l = &mr->links[mr->active];

	*uplink = l->index;
	*known = l->from_known;
	*cause = l->cause;
	return l->current.coa;
}

uint64_t mr_counter(const struct mr *mr, enum mr_counter c)
{
	return mr->counters[c];
}

const uint64_t *mr_rejects(const struct mr *mr)
{
	return mr->rejects;
}

static json_t *addr_or_null(bool there, const struct in6_addr *a)
{
	char s[INET6_ADDRSTRLEN];

	return there ? json_string(addr6_str(a, s)) : json_null();
}

static json_t *show_uplinks(const struct mr *mr)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < mr->n_links; i++) {
		const struct link *l = &mr->links[i];
		const uint8_t *m = l->current.mac;
		char mac[18];

		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			m[4], m[5]);
		json_array_append_new(
			list, json_pack("{ss si ss so so so si}", "interface",
				      mr->conf->uplinks[i].interface, "preference",
				      (int)mr->conf->uplinks[i].preference, "state",
				      link_state_str(l->state), "care_of",
				      addr_or_null(l->has_current, &l->current.coa), "router",
				      addr_or_null(l->has_current, &l->current.router),
				      "router_mac", l->has_current ? json_string(mac) : json_null(),
				      "known_links", (int)l->n_known));
	}
	return list;
}

json_t *mr_show(const struct mr *mr, uint64_t now)
{
	const struct bul *b = &mr->bul;
	bool bound = mr_bound(mr, now), told = b->last_status >= 0;
	json_t *prefixes = json_array();
	char s[PREFIX6_STRLEN];

	for (unsigned i = 0; i < mr->conf->n_networks; i++)
		json_array_append_new(
			prefixes, json_string(prefix6_str(&mr->conf->networks[i].prefix, s)));
	return json_pack("{ss ss so so so so sI sI sI so so ss so so so}", "name", mr->conf->name,
		"state", bul_state_str(b->state), "home_address",
		addr_or_null(true, &mr->conf->hoa), "home_agent",
		addr_or_null(mr->conf->n_has > 0, &mr->conf->has[b->ha]), "care_of",
		addr_or_null(mr->active >= 0 && mr->home.state == ATHOME_AWAY, &b->coa), "uplink",
		mr->active >= 0 ? json_string(mr->conf->uplinks[mr->active].interface)
				: json_null(),
		"lifetime_s", (json_int_t)(bound ? b->lifetime_s : 0), "remaining_s",
		(json_int_t)(bound ? (b->ends - now) / 1000 : 0), "refresh_in_s",
		(json_int_t)(b->state == BUL_BOUND && b->send_at > now ? (b->send_at - now) / 1000
								       : 0),
		"last_status", told ? json_integer(b->last_status) : json_null(),
		"last_status_text",
		told ? json_string(mh_status_str((unsigned)b->last_status)) : json_null(), "mode",
		b->implicit ? "implicit" : "explicit", "prefixes", prefixes, "uplinks",
		show_uplinks(mr), "home_link", mps_show(mr, now));
}

void mr_free(struct mr *mr)
{
	free(mr);
}
