/* edge_tell.c - notes told when there is time for it.  A log line and a monitor event wake other
 * processes; in a guest with one processor that has just been migrated each of them costs
 * milliseconds, so while a move is under way notes wait, with the time at which they came. */
#include <time.h>
#include "mr/edge_state.h"

#define HOLD_MS    500 /* the longest that notes wait */
#define SETTLED_MS 50  /* and after the acknowledgement: the first packets go before them */

static void hold(struct mr_edge *e, uint64_t ms)
{
	e->later.held = true;
	sd_event_source_set_time(e->later.timer, mr_now_us() + ms * 1000);
	sd_event_source_set_enabled(e->later.timer, SD_EVENT_ONESHOT);
}

static void flush(struct mr_edge *e)
{
	for (unsigned i = 0; i < e->later.n; i++)
		tell_note_at(e->ctl, "nemo-mr", &e->later.v[i].note, &e->later.v[i].at);
	e->later.n = 0;
}

static int on_due(sd_event_source *s, uint64_t usec, void *arg)
{
	struct mr_edge *e = arg;

	(void)s, (void)usec;
	mr_tell_release(e);
	return 0;
}

int mr_tell_open(struct mr_edge *e)
{
	int r = sd_event_add_time(
		e->event, &e->later.timer, CLOCK_BOOTTIME, UINT64_MAX, 1, on_due, e);

	return r < 0 ? r : sd_event_source_set_enabled(e->later.timer, SD_EVENT_OFF);
}

void mr_tell(struct mr_edge *e, const struct note *n)
{
	if (e->later.n == MR_LATER)
		flush(e);
	e->later.v[e->later.n].note = *n;
	clock_gettime(CLOCK_REALTIME, &e->later.v[e->later.n++].at);
	if (n->type == NOTE_MR_HINT)
		hold(e, HOLD_MS);
	else if (n->type == NOTE_MR_REGISTERED && e->later.held)
		hold(e, SETTLED_MS);
	else if (n->type != NOTE_MR_MOVED && n->type != NOTE_MR_LINK)
		e->later.held = false;
}

void mr_tell_due(struct mr_edge *e)
{
	if (!e->later.held)
		mr_tell_release(e);
}

void mr_tell_release(struct mr_edge *e)
{
	e->later.held = false;
	sd_event_source_set_enabled(e->later.timer, SD_EVENT_OFF);
	flush(e);
}
