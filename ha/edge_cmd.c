/* edge_cmd.c - the home agent's control commands (doc/control.md). */
#include <arpa/inet.h>
#include <stdio.h>
#include "common/os/daemon.h"
#include "ha/edge_state.h"

static json_t *cmd_status(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;
	json_t *aggregates = json_array();
	char s[PREFIX6_STRLEN];

	(void)req;
	(void)err;
	for (unsigned i = 0; i < e->file->core.n_aggregates; i++)
		json_array_append_new(
			aggregates, json_string(prefix6_str(&e->file->core.aggregates[i], s)));
	return json_pack("{ss ss ss ss ss ss ss sb sI sI so sI}", "daemon", "nemo-ha", "version",
		NEMO_VERSION, "name", e->file->name, "address",
		addr6_str(&e->file->core.address, s), "engine", e->engine->name, "protection",
		sec_modes[e->file->protection], "payload", sec_payloads[e->file->payload],
		"draining", ha_draining(e->ha), "bindings", (json_int_t)ha_n_bound(e->ha),
		"routers", (json_int_t)e->file->core.n_routers, "aggregates", aggregates,
		"uptime_s", (json_int_t)((daemon_now() - e->started) / 1000));
}

static json_t *cmd_bindings(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;
	json_t *list = ha_show_bindings(e->ha, daemon_now()), *b;
	size_t i;

	(void)req;
	(void)err;
	json_array_foreach (list, i, b) {
		struct tunnel_stats st = {0};
		struct in6_addr id;

		inet_pton(AF_INET6, json_string_value(json_object_get(b, "home_address")), &id);
		e->engine->stats(e->tunnels, &id, &st);
		json_object_update_new(b, tell_traffic(&st));
	}
	return list;
}

static void on_refused(void *arg, const struct in6_addr *id, const uint64_t drop[TUNNEL_N_DROPS])
{
	json_t *by_address = arg, *o = json_object();
	char s[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < TUNNEL_N_DROPS; i++)
		if (drop[i])
			json_object_set_new(o, tunnel_drop_name((enum tunnel_drop)i),
				json_integer((json_int_t)drop[i]));
	json_object_set_new(by_address, addr6_str(id, s), o);
}

static json_t *cmd_routers(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;
	json_t *list = ha_show_routers(e->ha, daemon_now()), *r, *drops = json_object();
	size_t i;

	(void)req;
	(void)err;
	e->engine->refused(e->tunnels, on_refused, drops);
	json_array_foreach (list, i, r) {
		const char *hoa = json_string_value(json_object_get(r, "home_address"));

		json_object_set_new(r, "protection",
			json_string(
				sec_modes[ha_conf_protection(e->file, &e->file->core.routers[i])]));
		if (json_object_get(drops, hoa))
			json_object_set(r, "drops", json_object_get(drops, hoa));
		else
			json_object_set_new(r, "drops", json_object());
	}
	json_decref(drops);
	return list;
}

static json_t *about_router(
	struct ha_edge *e, const json_t *req, enum ha_event_type type, char *err)
{
	const char *name = json_string_value(json_object_get(req, "name"));
	int i = name ? ha_find_router(e->ha, name) : -1;
	struct ha_event ev = {.type = type, .router = (unsigned)i};

	if (i < 0) {
		snprintf(err, 256, "no router is called \"%.64s\"; `nemoctl ha routers` lists them",
			name ? name : "");
		return NULL;
	}
	ha_edge_run(e, &ev);
	return json_pack("{ss}", "router", name);
}

static json_t *cmd_revoke(void *arg, const json_t *req, char *err)
{
	return about_router(arg, req, HA_EV_REVOKE, err);
}

static json_t *cmd_allow(void *arg, const json_t *req, char *err)
{
	return about_router(arg, req, HA_EV_ALLOW, err);
}

static json_t *cmd_drain(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;
	struct ha_event ev = {.type = HA_EV_DRAIN};
	json_t *list = json_object_get(req, "home_agents"), *a;
	size_t i;

	if (json_array_size(list) > MH_MAX_HAS) {
		snprintf(err, 256, "more than %u home agents", MH_MAX_HAS);
		return NULL;
	}
	json_array_foreach (list, i, a) {
		struct in6_addr *to = &ev.has.ha[ev.has.n++];
		const char *s = json_string_value(a);

		if (!s || inet_pton(AF_INET6, s, to) != 1 || !addr6_is_routable(to) ||
			addr6_eq(to, &e->file->core.address)) {
			snprintf(err, 256, "%.64s is no other home agent's address", s ? s : "");
			return NULL;
		}
	}
	ha_edge_run(e, &ev);
	return json_pack("{sI}", "bindings", (json_int_t)ha_n_bound(e->ha));
}

static json_t *cmd_undrain(void *arg, const json_t *req, char *err)
{
	struct ha_event ev = {.type = HA_EV_UNDRAIN};

	(void)req;
	(void)err;
	ha_edge_run(arg, &ev);
	return json_object();
}

static json_t *cmd_reload(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;

	(void)req;
	if (ha_edge_reload(e, err) < 0)
		return NULL;
	return json_pack("{sI sI}", "routers", (json_int_t)e->file->core.n_routers, "bindings",
		(json_int_t)ha_n_bound(e->ha));
}

static json_t *cmd_agents(void *arg, const json_t *req, char *err)
{
	struct ha_edge *e = arg;

	(void)req;
	(void)err;
	return ha_show_agents(e->ha, daemon_now());
}

static json_t *cmd_stats(void *arg, const json_t *req, char *err)
{
	static const struct {
		const char *name, *help;
	} c[] = {
#define X(name, text) {#name, text},
		HA_COUNTERS(X)
#undef X
	};
	struct ha_edge *e = arg;
	json_t *list = json_array();

	(void)req;
	(void)err;
	for (unsigned i = 0; i < HA_N_COUNTERS; i++)
		tell_counter(list, "protocol", c[i].name, ha_counter(e->ha, i), c[i].help);
	tell_statuses(list, ha_rejects(e->ha));
	tell_mhio(list, e->io);
	protect_stats(e->protect, list);
	tell_tunnel(list, e->engine, e->tunnels);
	return json_pack("{so}", "counters", list);
}

const struct ctl_cmd ha_commands[] = {
	{"status", "what this daemon is and does", cmd_status, false},
	{"bindings", "registered routers", cmd_bindings, false},
	{"routers", "prefix table and last answers", cmd_routers, false},
	{"revoke", "end the binding of {\"name\": ROUTER} and take no other from it", cmd_revoke,
		true},
	{"allow", "take registrations of {\"name\": ROUTER} again", cmd_allow, true},
	{"drain", "no new bindings; send routers to {\"home_agents\": [ADDRESS...]}", cmd_drain,
		true},
	{"undrain", "take new bindings again", cmd_undrain, true},
	{"reload", "read the configuration again", cmd_reload, true},
	{"agents", "home agents list: what discovery requests are answered", cmd_agents, false},
	{"stats", "every counter with its meaning", cmd_stats, false},
	{0},
};
