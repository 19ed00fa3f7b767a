/* metrics.c - what the daemons answer, as Prometheus wants it: all samples of a family together,
 * base units, counters that end in _total. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "common/ctl/metrics.h"

/* For a daemon that hangs: Prometheus gives up after 10 s, and would then know nothing of the
 * others and no nemo_up of this one. */
#define WAIT_S    2
#define NAME_SIZE 96

enum about { DAEMON, ROUTER, UPLINK }; /* what a series is about, besides its daemon */

/* Members of the answers that become series. */
static const struct field {
	const char *kind, *cmd, *key; /* NULL: of any daemon */
	enum about about;
	const char *is; /* 1 if the member is this string, else 0 */
	const char *type, *metric, *help;
} fields[] = {
	{NULL, "status", "uptime_s", DAEMON, NULL, "gauge", "nemo_uptime_seconds",
		"Time since the daemon's start."},
	{PEER_HA, "status", "routers", DAEMON, NULL, "gauge", "nemo_ha_routers",
		"Mobile routers in the prefix table."},
	{PEER_HA, "status", "bindings", DAEMON, NULL, "gauge", "nemo_ha_bindings",
		"Mobile routers that are bound."},
	{PEER_HA, "status", "draining", DAEMON, NULL, "gauge", "nemo_ha_draining",
		"1: takes no new bindings (nemoctl ha drain)."},
	{PEER_HA, "routers", "bound", ROUTER, NULL, "gauge", "nemo_ha_router_bound",
		"1: the mobile router is bound."},
	{PEER_HA, "routers", "barred", ROUTER, NULL, "gauge", "nemo_ha_router_barred",
		"1: revoked, and not allowed again."},
	{PEER_HA, "routers", "last_status", ROUTER, NULL, "gauge", "nemo_ha_router_last_status",
		"Status of the last Binding Acknowledgement sent to it; from 128 on a refusal."},
	{PEER_HA, "routers", "last_seen_s", ROUTER, NULL, "gauge",
		"nemo_ha_router_last_seen_age_seconds", "Time since its last Binding Update."},
	{PEER_HA, "bindings", "remaining_s", ROUTER, NULL, "gauge",
		"nemo_ha_binding_remaining_seconds", "What is left of the binding's lifetime."},
	{PEER_HA, "bindings", "moves", ROUTER, NULL, "counter", "nemo_ha_binding_moves_total",
		"Changes of the care-of address since the binding began."},
	{PEER_HA, "bindings", "rx_packets", ROUTER, NULL, "counter",
		"nemo_ha_router_receive_packets_total", "Packets out of its tunnel."},
	{PEER_HA, "bindings", "rx_bytes", ROUTER, NULL, "counter",
		"nemo_ha_router_receive_bytes_total", "Octets out of its tunnel."},
	{PEER_HA, "bindings", "tx_packets", ROUTER, NULL, "counter",
		"nemo_ha_router_transmit_packets_total", "Packets into its tunnel."},
	{PEER_HA, "bindings", "tx_bytes", ROUTER, NULL, "counter",
		"nemo_ha_router_transmit_bytes_total", "Octets into its tunnel."},
	{PEER_MR, "status", "state", DAEMON, "bound", "gauge", "nemo_mr_bound",
		"1: the home agent has accepted the binding."},
	{PEER_MR, "status", "state", DAEMON, "at home", "gauge", "nemo_mr_at_home",
		"1: on the home link, without a binding."},
	{PEER_MR, "status", "remaining_s", DAEMON, NULL, "gauge",
		"nemo_mr_binding_remaining_seconds", "What is left of the binding's lifetime."},
	{PEER_MR, "status", "last_status", DAEMON, NULL, "gauge", "nemo_mr_last_status",
		"Status of the last Binding Acknowledgement; from 128 on a refusal."},
	{PEER_MR, "status", "handovers", DAEMON, NULL, "counter", "nemo_mr_handovers_total",
		"Changes of the care-of address, the first one included."},
	{PEER_MR, "status", "uplinks.state", UPLINK, "ready", "gauge", "nemo_mr_uplink_ready",
		"1: the uplink has a care-of address and a router."},
	{PEER_MR, "status", "rx_packets", DAEMON, NULL, "counter", "nemo_mr_receive_packets_total",
		"Packets out of the tunnel."},
	{PEER_MR, "status", "rx_bytes", DAEMON, NULL, "counter", "nemo_mr_receive_bytes_total",
		"Octets out of the tunnel."},
	{PEER_MR, "status", "tx_packets", DAEMON, NULL, "counter", "nemo_mr_transmit_packets_total",
		"Packets into the tunnel."},
	{PEER_MR, "status", "tx_bytes", DAEMON, NULL, "counter", "nemo_mr_transmit_bytes_total",
		"Octets into the tunnel."},
	{PEER_NAT64, "status", "engine", DAEMON, "ebpf", "gauge", "nemo_nat64_engine_ebpf",
		"1: programs in the kernel take ordinary packets."},
	{PEER_NAT64, "status", "mappings", DAEMON, NULL, "gauge", "nemo_nat64_mappings",
		"Explicit mappings."},
	{PEER_NAT64, "status", "reloads", DAEMON, NULL, "counter", "nemo_nat64_reloads_total",
		"How often the configuration was replaced."},
	{PEER_NAT64, "status", "loaded_s", DAEMON, NULL, "gauge",
		"nemo_nat64_configuration_age_seconds", "Age of the running configuration."},
};
#define N_FIELDS (sizeof(fields) / sizeof(*fields))

/* Groups of counters that are one family, told apart by a label; HELP has all their sentences.
 * The counters of other groups are families of their own. */
static const struct group {
	const char *kind, *group, *metric, *label, *help;
} groups[] = {
	{PEER_HA, "rejected", "nemo_ha_rejected_updates_total", "status",
		"Binding Updates refused, by status"},
	{PEER_MR, "rejected", "nemo_mr_rejected_updates_total", "status",
		"Binding Updates that the home agent refused, by status"},
	{NULL, "drop", "nemo_tunnel_dropped_packets_total", "reason",
		"Packets dropped at the tunnel, by reason"},
	{PEER_NAT64, "translation", "nemo_nat64_packets_total", "result",
		"Packets by what became of them"},
};
#define N_GROUPS (sizeof(groups) / sizeof(*groups))

struct family {
	char name[NAME_SIZE];
	char *help;    /* owned */
	FILE *samples; /* owned; writes to 'text' */
	char *text;    /* owned */
	size_t size;
	const char *type;
	UT_hash_handle hh;
};

static struct family *family(struct family **all, const char *type, const char *name)
{
	struct family *f;

	HASH_FIND_STR(*all, name, f);
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (f)
		f->samples = open_memstream(&f->text, &f->size);
	if (!f || !f->samples)
		abort();
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->type = type;
	HASH_ADD_STR(*all, name, f);
	return f;
}

static void set_help(struct family *f, const char *help)
{
	if (!f->help)
		f->help = strdup(help);
}

static void put_escaped(FILE *out, const char *s, bool label)
{
	for (; *s; s++) {
		if (*s == '\\' || (label && *s == '"'))
			putc('\\', out);
		if (*s == '\n')
			fputs("\\n", out);
		else
			putc(*s, out);
	}
}

static void label(FILE *out, const char *name, const char *value)
{
	fprintf(out, ",%s=\"", name);
	put_escaped(out, value ? value : "", true);
	putc('"', out);
}

/* NAME{daemon="...",name="..." */
static void begin(struct family *f, const char *suffix, const struct peer *p)
{
	fprintf(f->samples, "%s%s{daemon=\"%s\"", f->name, suffix, p->kind);
	label(f->samples, "name", p->name);
}

static void end(struct family *f, double value)
{
	fprintf(f->samples, "} %.17g\n", value);
}

static const char *string_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void field(struct family **all, const struct field *d, const struct peer *p,
	const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);
	struct family *f;

	if (!v || json_is_null(v))
		return;
	f = family(all, d->type, d->metric);
	set_help(f, d->help);
	begin(f, "", p);
	if (d->about == ROUTER) {
		label(f->samples, "router", string_of(row, "name"));
		label(f->samples, "tenant", string_of(row, "tenant"));
	} else if (d->about == UPLINK) {
		label(f->samples, "interface", string_of(row, "interface"));
	}
	if (d->is)
		end(f, strcmp(json_string_value(v), d->is) == 0);
	else
		end(f, json_is_boolean(v) ? json_is_true(v) : json_number_value(v));
}

/* All series of the answer to one command. */
static void answer(struct family **all, const struct peer *p, const char *cmd, const json_t *data)
{
	for (const struct field *d = fields; d < fields + N_FIELDS; d++) {
		const char *dot = strchr(d->key, '.');
		const json_t *list = dot ? json_object_getn(data, d->key, (size_t)(dot - d->key))
					 : data;
		const json_t *row;
		size_t i;

		if (strcmp(d->cmd, cmd) != 0 || (d->kind && strcmp(d->kind, p->kind) != 0))
			continue;
		if (!json_is_array(list))
			field(all, d, p, data, d->key);
		else
			json_array_foreach ((json_t *)list, i, row)
				field(all, d, p, row, dot ? dot + 1 : d->key);
	}
}

/* The group's sentence and, for each of its counters, what it means. */
static char *group_help(const struct group *g, const json_t *counters)
{
	const json_t *c;
	char *text = NULL;
	size_t size, i;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		abort();
	fputs(g->help, f);
	json_array_foreach ((json_t *)counters, i, c)
		if (strcmp(string_of(c, "group"), g->group) == 0)
			fprintf(f, "; %s: %s", string_of(c, "name"), string_of(c, "help"));
	fclose(f);
	return text;
}

static bool of_group(
	struct family **all, const struct peer *p, const json_t *c, const json_t *counters)
{
	static const char *const engines[] = {"tun", "ebpf"};

	for (const struct group *g = groups; g < groups + N_GROUPS; g++) {
		struct family *f;

		if (strcmp(g->group, string_of(c, "group")) != 0 ||
			(g->kind && strcmp(g->kind, p->kind) != 0))
			continue;
		f = family(all, "counter", g->metric);
		if (!f->help)
			f->help = group_help(g, counters);
		for (unsigned i = 0; i < 2; i++) {
			const json_t *part = json_object_get(c, engines[i]);

			if (!part && i)
				continue;
			begin(f, "", p);
			label(f->samples, g->label, string_of(c, "name"));
			if (part)
				label(f->samples, "engine", engines[i]);
			end(f, json_number_value(part ? part : json_object_get(c, "value")));
		}
		return true;
	}
	return false;
}

static void counter(
	struct family **all, const struct peer *p, const json_t *c, const json_t *counters)
{
	const char *group = string_of(c, "group"), *name = string_of(c, "name");
	bool gauge = strcmp(name, "in_clear") == 0, own = strcmp(group, "protocol") == 0;
	char metric[NAME_SIZE];
	struct family *f;

	if (of_group(all, p, c, counters))
		return;
	if (strncmp(name, "sec_", 4) == 0)
		name += 4; /* a unit to Prometheus, and the group's name says it */
	/* A protocol's counters are its daemon's, those of the rest mean the same everywhere. */
	snprintf(metric, sizeof(metric), "nemo_%s_%s%s", own ? strchr(p->kind, '-') + 1 : group,
		name, gauge ? "" : "_total");
	f = family(all, gauge ? "gauge" : "counter", metric);
	set_help(f, string_of(c, "help"));
	begin(f, "", p);
	end(f, json_number_value(json_object_get(c, "value")));
}

static void bucket(
	struct family *f, const struct peer *p, const char *phase, const char *le, double n)
{
	begin(f, "_bucket", p);
	label(f->samples, "phase", phase);
	label(f->samples, "le", le);
	end(f, n);
}

static void phases(struct family **all, const struct peer *p, const json_t *list)
{
	const json_t *phase, *within;
	struct family *f;
	char le[32];
	size_t i, k;

	json_array_foreach ((json_t *)list, i, phase) {
		const char *name = string_of(phase, "phase");
		double n = json_number_value(json_object_get(phase, "n"));

		f = family(all, "histogram", "nemo_mr_handover_phase_seconds");
		set_help(f, "Time from the hint of a move to the end of the phase: solicitation "
			    "sent (rs), advertisement (ra), care-of address usable (coa), Binding "
			    "Update sent (bu), acknowledged (ba), first packet out of the tunnel.");
		json_array_foreach (json_object_get(phase, "within"), k, within) {
			snprintf(le, sizeof(le), "%g",
				json_number_value(json_object_get(within, "ms")) / 1000);
			bucket(f, p, name, le, json_number_value(json_object_get(within, "n")));
		}
		bucket(f, p, name, "+Inf", n);
		begin(f, "_sum", p);
		label(f->samples, "phase", name);
		end(f, json_number_value(json_object_get(phase, "sum_ms")) / 1000);
		begin(f, "_count", p);
		label(f->samples, "phase", name);
		end(f, n);
	}
}

static void build_info(struct family **all, const struct peer *p)
{
	static const char *const labels[] = {"version", "engine", "protection"};
	struct family *f = family(all, "gauge", "nemo_build_info");

	set_help(f, "Which version runs, with which engine, and how signalling is protected.");
	begin(f, "", p);
	for (unsigned i = 0; i < sizeof(labels) / sizeof(*labels); i++)
		if (json_object_get(p->status, labels[i]))
			label(f->samples, labels[i], string_of(p->status, labels[i]));
	end(f, 1);
}

static void one_daemon(struct family **all, const struct peer *p, bool summary)
{
	static const char *const commands[] = {"stats", "routers", "bindings"};
	bool lists = strcmp(p->kind, PEER_HA) == 0 && !summary;

	build_info(all, p);
	answer(all, p, "status", p->status);
	for (unsigned i = 0; i < (lists ? 3 : 1); i++) {
		json_t *request = json_pack("{ss}", "cmd", commands[i]), *c;
		int code;
		json_t *data = peers_ask_at(p->path, request, &code),
		       *counters = json_object_get(data, "counters");
		size_t k;

		json_array_foreach (counters, k, c)
			counter(all, p, c, counters);
		phases(all, p, json_object_get(data, "handover_phases"));
		answer(all, p, commands[i], data);
		json_decref(data);
		json_decref(request);
	}
}

/* Which sockets are there, and whether somebody answers. */
static void up(struct family **all, const struct peers *peers)
{
	struct family *f = family(all, "gauge", "nemo_up");

	set_help(f, "1: the daemon of this control socket answers.");
	for (size_t i = 0; i < peers->n_paths; i++) {
		bool found = false;

		for (size_t k = 0; k < peers->n; k++)
			found = found || peers->v[k].path == peers->paths[i];
		fputs("nemo_up{socket=\"", f->samples);
		put_escaped(f->samples, peers->paths[i], true);
		fputs("\"", f->samples);
		end(f, found);
	}
}

int metrics_write(struct peers *peers, bool summary, FILE *out)
{
	struct family *all = NULL, *f, *next;
	int code;

	peers->wait_s = WAIT_S;
	code = peers_find(peers, NULL);
	up(&all, peers);
	for (size_t i = 0; i < peers->n; i++)
		one_daemon(&all, &peers->v[i], summary);
	if (peers->n)
		code = 0;
	peers_forget(peers);
	HASH_ITER (hh, all, f, next) {
		HASH_DEL(all, f);
		fclose(f->samples);
		fprintf(out, "# HELP %s ", f->name);
		put_escaped(out, f->help, false);
		fprintf(out, "\n# TYPE %s %s\n", f->name, f->type);
		fwrite(f->text, 1, f->size, out);
		free(f->text);
		free(f->help);
		free(f);
	}
	return code;
}
