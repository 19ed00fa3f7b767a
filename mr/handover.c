/* handover.c - phases of moves. */
#include <stdio.h>
#include <time.h>
#include "mr/handover.h"

static const char *const names[HANDOVER_N_PHASES] = {
#define X(name) #name,
	HANDOVER_PHASES(X)
#undef X
};

void handover_hint(struct handovers *h, uint64_t us)
{
	if (!h->hint_us)
		h->hint_us = us;
}

void handover_rs(struct handovers *h, uint64_t us)
{
	if (h->hint_us && !h->rs_us)
		h->rs_us = us;
}

void handover_forget(struct handovers *h)
{
	h->hint_us = h->rs_us = 0;
}

struct handover *handover_begin(struct handovers *h, uint64_t us)
{
	struct handover *v = &h->v[h->n++ % HANDOVER_KEPT];

	memset(v, 0, sizeof(*v));
	v->n = h->n;
	v->us[HANDOVER_hint] = h->hint_us ? h->hint_us : us;
	v->us[HANDOVER_rs] = h->rs_us;
	handover_forget(h);
	return v;
}

struct handover *handover_last(struct handovers *h)
{
	return h->n ? &h->v[(h->n - 1) % HANDOVER_KEPT] : NULL;
}

void handover_mark(struct handovers *h, enum handover_phase p, uint64_t us)
{
	struct handover *v = handover_last(h);

	if (v && !v->us[p])
		v->us[p] = us;
}

static const unsigned bounds[HANDOVER_N_BOUNDS] = {
#define X(ms) ms,
	HANDOVER_BOUNDS(X)
#undef X
};

void handover_count(struct handovers *h)
{
	struct handover *v = handover_last(h);

	for (unsigned i = HANDOVER_rs; v && i < HANDOVER_N_PHASES; i++) {
		uint64_t us = v->us[i] > v->us[0] ? v->us[i] - v->us[0] : 0;

		if (!v->us[i] || v->counted >> i & 1)
			continue;
		v->counted |= 1U << i;
		h->phases[i].n++;
		h->phases[i].sum_us += us;
		for (unsigned k = 0; k < HANDOVER_N_BOUNDS; k++)
			h->phases[i].within[k] += us <= bounds[k] * 1000ULL;
	}
}

json_t *handover_phases_show(const struct handovers *h)
{
	json_t *list = json_array();

	for (unsigned i = HANDOVER_rs; i < HANDOVER_N_PHASES; i++) {
		json_t *within = json_array();

		for (unsigned k = 0; k < HANDOVER_N_BOUNDS; k++)
			json_array_append_new(
				within, json_pack("{si sI}", "ms", (int)bounds[k], "n",
						(json_int_t)h->phases[i].within[k]));
		json_array_append_new(
			list, json_pack("{ss sI sf so}", "phase", names[i], "n",
				      (json_int_t)h->phases[i].n, "sum_ms",
				      (double)h->phases[i].sum_us / 1000, "within", within));
	}
	return list;
}

json_t *handover_show(const struct handover *v)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], date[32], at[48];
	time_t s = v->wall_ms / 1000;
	struct tm tm;
	json_t *ms = json_object();

	gmtime_r(&s, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(at, sizeof(at), "%s.%03dZ", date, (int)(v->wall_ms % 1000));
	for (unsigned i = 0; i < HANDOVER_N_PHASES; i++)
		json_object_set_new(ms, names[i],
			v->us[i] ? json_real((double)(int64_t)(v->us[i] - v->us[0]) / 1000)
				 : json_null());
	return json_pack("{sI ss so ss ss sb ss so}", "n", (json_int_t)v->n, "cause", v->cause,
		"from",
		addr6_is_any(&v->from) ? json_null() : json_string(addr6_str(&v->from, from)), "to",
		addr6_str(&v->to, to), "uplink", v->uplink, "known_link", v->known_link, "at", at,
		"ms", ms);
}

json_t *handovers_show(const struct handovers *h)
{
	json_t *list = json_array();
	uint64_t first = h->n > HANDOVER_KEPT ? h->n - HANDOVER_KEPT : 0;

	for (uint64_t i = first; i < h->n; i++)
		json_array_append_new(list, handover_show(&h->v[i % HANDOVER_KEPT]));
	return list;
}

const char *handover_text(const struct handover *v, char *buf, size_t size)
{
	size_t k = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < HANDOVER_N_PHASES && k < size; i++)
		if (v->us[i])
			k += (size_t)snprintf(buf + k, size - k, "%s%s %.1f", k ? ", " : "",
				names[i], (double)(int64_t)(v->us[i] - v->us[0]) / 1000);
	if (k < size)
		snprintf(buf + k, size - k, " ms");
	return buf;
}
