/* edge_cmd.c - the commands of the control socket (doc/control.md). */
#include <stdio.h>
#include "common/os/daemon.h"
#include "mr/edge_state.h"

static json_t *cmd_status(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;
	const struct handover *last = handover_last(&e->handovers);
	json_t *s = mr_show(e->mr, daemon_now());
	struct tunnel_stats st = {0};

	(void)req;
	(void)err;
	json_object_set_new(s, "daemon", json_string("nemo-mr"));
	json_object_set_new(s, "version", json_string(NEMO_VERSION));
	json_object_set_new(s, "engine", json_string(e->engine->name));
	json_object_set_new(s, "protection", json_string(sec_modes[e->file->protection]));
	json_object_set_new(s, "payload", json_string(sec_payloads[e->file->payload]));
	json_object_set_new(
		s, "uptime_s", json_integer((json_int_t)((daemon_now() - e->started) / 1000)));
	e->engine->stats(e->tunnels, &e->file->core.hoa, &st);
	json_object_update_new(s, tell_traffic(&st));
	json_object_set_new(s, "handovers", json_integer((json_int_t)e->handovers.n));
	json_object_set_new(s, "last_handover", last ? handover_show(last) : json_null());
	return s;
}

static json_t *cmd_handovers(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;

	(void)req;
	(void)err;
	return handovers_show(&e->handovers);
}

static json_t *cmd_rehome(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;
	const char *want = json_string_value(json_object_get(req, "uplink"));
	json_t *done = json_array();

	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct mr_event ev = {.type = MR_EV_REHOME, .uplink = i};

		if (want && strcmp(want, e->uplinks[i].name) != 0)
			continue;
		mr_edge_run(e, &ev);
		json_array_append_new(done, json_string(e->uplinks[i].name));
	}
	if (json_array_size(done))
		return json_pack("{so}", "uplinks", done);
	json_decref(done);
	snprintf(err, 256, "no uplink is called %s; `nemoctl mr status` lists them", want);
	return NULL;
}

static json_t *cmd_reload(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;

	(void)req;
	if (mr_edge_reload(e, err) < 0)
		return NULL;
	return json_pack("{si si}", "uplinks", (int)e->file->core.n_uplinks, "networks",
		(int)e->file->core.n_networks);
}

static json_t *cmd_stop(void *arg, const json_t *req, char *err)
{
	(void)err;
	mr_edge_stop(arg, json_is_true(json_object_get(req, "keep")));
	return json_object();
}

static json_t *cmd_stats(void *arg, const json_t *req, char *err)
{
	static const struct {
		const char *name, *help;
	} c[] = {
#define X(name, text) {#name, text},
		MR_COUNTERS(X)
#undef X
	};
	struct mr_edge *e = arg;
	json_t *list = json_array();

	(void)req;
	(void)err;
	for (unsigned i = 0; i < MR_N_COUNTERS; i++)
		tell_counter(list, "protocol", c[i].name, mr_counter(e->mr, i), c[i].help);
	tell_counter(list, "protocol", "nd_bad", nd_dropped(e->nd),
		"router and neighbour advertisements that failed the checks of RFC 4861");
	tell_statuses(list, mr_rejects(e->mr));
	tell_mhio(list, e->io);
	protect_stats(e->protect, list);
	tell_tunnel(list, e->engine, e->tunnels);
	return json_pack("{so so}", "counters", list, "handover_phases",
		handover_phases_show(&e->handovers));
}

const struct ctl_cmd mr_commands[] = {
	{"status", "what this daemon is and does", cmd_status, false},
	{"handovers", "the last moves and their phases", cmd_handovers, false},
	{"rehome", "look for the link anew: {\"uplink\": NAME} or all", cmd_rehome, true},
	{"reload", "read the configuration again", cmd_reload, true},
	{"stop", "end; {\"keep\": true} leaves the binding for a restart", cmd_stop, true},
	{"stats", "every counter with its meaning", cmd_stats, false},
	{0},
};
