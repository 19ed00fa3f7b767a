/* edge_phases.c - what the phases of a handover took: marked as their notes come, the first packet
 * first packet seen by looks at the tunnel's counters. */
#include <stdio.h>
#include <time.h>
#include "mr/edge_state.h"

#define WATCH_US    1000 /* how soon the tunnel is looked at for the first packet, microseconds */
#define WATCH_SHARE 10   /* then always after a tenth more of the time that it has taken */
#define WATCH_MAX   3000000 /* and how long after the move, microseconds */

uint64_t mr_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t tunnel_rx(struct mr_edge *e)
{
	struct tunnel_stats st = {0};

	e->engine->stats(e->tunnels, &e->file->core.hoa, &st);
	return st.rx_packets;
}

static void watch_traffic(struct mr_edge *e)
{
	e->watch_rx = tunnel_rx(e);
	e->watch_until = mr_now_us() + WATCH_MAX;
	sd_event_source_set_time(e->watch, mr_now_us() + WATCH_US);
	sd_event_source_set_enabled(e->watch, SD_EVENT_ONESHOT);
}

static void tell_handover(struct mr_edge *e)
{
	const struct handover *v = handover_last(&e->handovers);
	struct note n = {
		.type = NOTE_HANDOVER_DONE,
		.name = e->file->core.name,
		.hoa = e->file->core.hoa,
		.coa = v->to,
		.old_coa = v->from,
		.status = -1,
	};

	handover_text(v, n.text, sizeof(n.text));
	handover_count(&e->handovers);
	mr_tell(e, &n);
	mr_tell_due(e);
}

static int on_watch(sd_event_source *s, uint64_t usec, void *arg)
{
	struct mr_edge *e = arg;
	uint64_t now = mr_now_us();

	(void)usec;
	if (tunnel_rx(e) != e->watch_rx) {
		handover_mark(&e->handovers, HANDOVER_first_packet, now);
		tell_handover(e);
	} else if (now >= e->watch_until) {
		tell_handover(e); /* nobody talks to the network */
	} else {
		uint64_t wait = (now + WATCH_MAX - e->watch_until) / WATCH_SHARE;

		sd_event_source_set_time(s, now + (wait > WATCH_US ? wait : WATCH_US));
		sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	return 0;
}

static void begin_handover(struct mr_edge *e, const struct note *n)
{
	struct handover *v = handover_begin(&e->handovers, e->step_us);
	struct timespec ts;
	const char *cause;
	unsigned uplink;
	struct in6_addr coa = mr_care_of(e->mr, &uplink, &v->known_link, &cause);

	clock_gettime(CLOCK_REALTIME, &ts);
	v->wall_ms = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	v->from = n->old_coa;
	v->to = addr6_is_any(&coa) ? n->coa : coa; /* lost again in the same step */
	snprintf(v->cause, sizeof(v->cause), "%s", cause);
	snprintf(v->uplink, sizeof(v->uplink), "%s", e->uplinks[uplink].name);
	v->us[HANDOVER_ra] = e->ra_us;
	v->us[HANDOVER_coa] = e->coa_us;
	v->us[HANDOVER_bu] = e->bu_us;
	watch_traffic(e);
}

void mr_phases_note(struct mr_edge *e, const struct note *n)
{
	switch (n->type) {
	case NOTE_MR_HINT: handover_hint(&e->handovers, e->step_us); break;
	case NOTE_MR_CONFIRMED: handover_forget(&e->handovers); break;
	case NOTE_MR_MOVED: begin_handover(e, n); break;
	case NOTE_MR_HOME: handover_mark(&e->handovers, HANDOVER_ba, mr_now_us()); break;
	case NOTE_MR_REGISTERED:
		handover_mark(&e->handovers, HANDOVER_ba, mr_now_us());
		if (handover_last(&e->handovers) &&
			!handover_last(&e->handovers)->us[HANDOVER_first_packet])
			watch_traffic(e);
		break;
	case NOTE_BINDING_ACCEPTED:
	case NOTE_BINDING_MOVED:
	case NOTE_BINDING_REFRESHED:
	case NOTE_BINDING_CLOSED:
	case NOTE_BINDING_EXPIRED:
	case NOTE_BINDING_REJECTED:
	case NOTE_BINDING_CONTESTED:
	case NOTE_ROUTE_LEARNED:
	case NOTE_ROUTE_WITHDRAWN:
	case NOTE_ROUTE_REFUSED:
	case NOTE_HOME_CONFLICT:
	case NOTE_BINDING_REVOKED:
	case NOTE_HA_BARRED:
	case NOTE_HA_ALLOWED:
	case NOTE_HA_DRAINING:
	case NOTE_HA_DRAINED:
	case NOTE_HA_RESTORED:
	case NOTE_HA_FORGOT:
	case NOTE_HA_SERVING:
	case NOTE_PEER_RESTARTED:
	case NOTE_PEER_SILENT:
	case NOTE_PEER_ANSWERS:
	case NOTE_MR_REVOKED:
	case NOTE_MR_SWITCH:
	case NOTE_MR_LEFT:
	case NOTE_MR_LINK:
	case NOTE_MR_DISCOVERED:
	case NOTE_MR_PREFIX:
	case NOTE_MR_HOME_ENDS:
	case NOTE_MR_LOST:
	case NOTE_MR_REFRESHED:
	case NOTE_MR_RETRY:
	case NOTE_MR_ASKED:
	case NOTE_MR_REFUSED:
	case NOTE_MR_EXPIRED:
	case NOTE_MR_CLOSED:
	case NOTE_MR_DAD_FAILED:
	case NOTE_HANDOVER_DONE:
	case NOTE_N: break;
	}
}

int mr_phases_open(struct mr_edge *e)
{
	int r = sd_event_add_time(e->event, &e->watch, CLOCK_BOOTTIME, UINT64_MAX, 1, on_watch, e);

	return r < 0 ? r : sd_event_source_set_enabled(e->watch, SD_EVENT_OFF);
}
