/* edge.c - sets the translator up, answers commands, and changes the configuration under way: new
 * routes first, then the engines, then the routes that are not wanted any more, so that a packet
 * finds either configuration as a whole. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/ctl.h"
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/net.h"
#include "common/os/privileges.h"
#include "nat64/dev.h"
#include "nat64/edge.h"
#include "nat64/engine.h"
#include "nat64/routes.h"
#include "nat64/show.h"

#define PROVED_US 5000000 /* from then on a crash is bridged (keep.h) */

struct nat64_edge {
	const char *path; /* of the configuration */
	sd_event *event;
	struct nat64_file *file; /* owned: the running configuration */
	struct ctl *ctl;
	struct net *net; /* for what happens to the device */
	bool down;
	struct nat64_engine *tun;
	struct nat64_bpf *bpf;  /* NULL: the TUN engine does it all */
	char why_tun[WHY_SIZE]; /* and this is the reason */
	char failed[WHY_SIZE];  /* why the last reload changed nothing; "" */
	struct nat64_routes *routes;
	struct nat64_kept kept;   /* of an earlier run, until it is taken over */
	sd_event_source *proved;  /* a timer */
	bool stored;              /* the service manager has what is to outlive us */
	uint64_t started, loaded; /* ms */
	unsigned n_reloads;
};

/* --- commands --- */

static json_t *text_or_null(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

static json_t *cmd_status(void *arg, const json_t *req, char *err)
{
	const struct nat64_edge *e = arg;
	const struct nat64_file *f = e->file;
	struct nat64_counters sum = {0};
	json_t *interfaces = json_array(), *awaited = json_array();
	uint64_t now = daemon_now();

	(void)req, (void)err;
	for (unsigned i = 0; i < f->n_interfaces && e->bpf; i++)
		json_array_append_new(
			nat64_bpf_is_on(e->bpf, f->interfaces[i]) ? interfaces : awaited,
			json_string(f->interfaces[i]));
	nat64_tun_counters(e->tun, &sum);
	if (e->bpf)
		nat64_bpf_counters(e->bpf, &sum);
	return json_pack("{ss ss ss ss so so so ss so sI sI sI sI sI si so sI sI}", "daemon",
		"nemo-nat64", "version", NEMO_VERSION, "name", f->device, "engine",
		e->bpf ? "ebpf" : "tun", "why_tun", text_or_null(e->why_tun), "interfaces",
		interfaces, "interfaces_awaited", awaited, "forward",
		f->nat64.conf.forward_stack ? "stack" : "direct", "prefixes",
		nat64_show_prefixes(&f->nat64), "mappings", (json_int_t)f->nat64.n_eams, "routes4",
		(json_int_t)nat64_routes_count(e->routes, false), "routes6",
		(json_int_t)nat64_routes_count(e->routes, true), "translated_6to4",
		(json_int_t)sum.n[NAT64_translated_6to4], "translated_4to6",
		(json_int_t)sum.n[NAT64_translated_4to6], "reloads", (int)e->n_reloads,
		"reload_error", text_or_null(e->failed), "loaded_s",
		(json_int_t)((now - e->loaded) / 1000), "uptime_s",
		(json_int_t)((now - e->started) / 1000));
}

static json_t *cmd_stats(void *arg, const json_t *req, char *err)
{
	const struct nat64_edge *e = arg;
	struct nat64_counters tun = {0}, ebpf = {0};
	uint64_t own[NAT64_TUN_N_COUNTERS];

	(void)req, (void)err;
	nat64_tun_counters(e->tun, &tun);
	if (e->bpf)
		nat64_bpf_counters(e->bpf, &ebpf);
	for (unsigned i = 0; i < NAT64_TUN_N_COUNTERS; i++)
		own[i] = nat64_tun_counter(e->tun, i);
	return json_pack("{so}", "counters", nat64_show_counters(&tun, &ebpf, own));
}

static json_t *cmd_mappings(void *arg, const json_t *req, char *err)
{
	const struct nat64_edge *e = arg;

	(void)req, (void)err;
	return nat64_show_mappings(&e->file->nat64);
}

static json_t *cmd_explain(void *arg, const json_t *req, char *err)
{
	const struct nat64_edge *e = arg;

	return nat64_show_explain(&e->file->nat64, req, err);
}

static json_t *cmd_reload(void *arg, const json_t *req, char *err)
{
	struct nat64_edge *e = arg;

	(void)req;
	if (nat64_edge_reload(e, err) < 0)
		return NULL;
	return json_pack("{sI so}", "mappings", (json_int_t)e->file->nat64.n_eams, "prefixes",
		nat64_show_prefixes(&e->file->nat64));
}

static const struct ctl_cmd commands[] = {
	{"status", "what this daemon is and does", cmd_status, false},
	{"stats", "every counter with its meaning", cmd_stats, false},
	{"mappings", "which addresses stand for which", cmd_mappings, false},
	{"explain", "what becomes of an address or a packet, and why", cmd_explain, false},
	{"reload", "read the configuration again", cmd_reload, true},
	{0},
};

/* --- reload --- */

static void file_free(struct nat64_file *file)
{
	if (file)
		nat64_conf_free(file);
	free(file);
}

/* Steps that can fail come first, and can be undone. */
static int change_to(struct nat64_edge *e, struct nat64_file *file, char *why)
{
	int r = nat64_routes_stage(e->routes, &file->nat64, why);

	if (r < 0)
		return r;
	r = e->bpf ? nat64_bpf_swap(e->bpf, &file->nat64) : 0;
	if (r < 0) {
		snprintf(why, WHY_SIZE, "eBPF engine: %s", strerror(-r));
		nat64_routes_revert(e->routes);
		return r;
	}
	nat64_tun_swap(e->tun, &file->nat64);
	nat64_routes_commit(e->routes);
	return 0;
}

static int reload(void *arg, struct conf *conf)
{
	struct nat64_edge *e = arg;
	struct nat64_file *file = calloc(1, sizeof(*file)), *old = e->file;
	char why[WHY_SIZE] = "";
	int r = -EINVAL;

	if (!file)
		return -ENOMEM;
	if (nat64_conf_load(conf, file) == 0 && conf_may_reload(conf, nat64_conf_keys, old, file)) {
		r = change_to(e, file, why);
		if (r < 0)
			conf_error(conf, 0, NULL, "%s", why);
	}
	if (r < 0) {
		file_free(file);
		return r;
	}
	e->file = file;
	e->loaded = daemon_now();
	e->n_reloads++;
	file_free(old);
	return 0;
}

static void tell_status(void *arg, char out[DAEMON_STATUS_SIZE])
{
	const struct nat64_edge *e = arg;

	snprintf(out, DAEMON_STATUS_SIZE, "device %s, engine %s: %zu mappings, %u prefixes",
		e->file->device, e->bpf ? "ebpf" : "tun", e->file->nat64.n_eams,
		e->file->nat64.conf.n_prefixes);
}

int nat64_edge_reload(struct nat64_edge *e, char why[WHY_SIZE])
{
	const struct daemon_reload d = {e->path, e, reload, tell_status};
	int r = daemon_reload(&d, why);

	memcpy(e->failed, r < 0 ? why : "", r < 0 ? WHY_SIZE : 1);
	return r;
}

/* --- start and stop --- */

/* The kernel removes the routes of a device that is switched off, and leaves it at that. */
static void on_link(void *arg, const struct net_link *l)
{
	struct nat64_edge *e = arg;
	char why[WHY_SIZE] = "";

	if (e->bpf)
		nat64_bpf_link(e->bpf, l);
	if (l->ifindex != nat64_tun_ifindex(e->tun) || l->gone || l->running == !e->down)
		return;
	e->down = !l->running;
	if (e->down)
		log_warn("device %s was switched off: nothing is translated", l->name);
	else if (nat64_routes_restore(e->routes, why) < 0)
		log_err("device %s is up again, but not all routes: %s", l->name, why);
	else
		log_info("device %s is up again, its routes too", l->name);
}

static int open_engines(struct nat64_edge *e)
{
	const struct nat64_file *f = e->file;
	struct nat64_engine_conf conf = {
		.mtu = f->mtu,
		.queues = f->queues,
		.n_interfaces = f->n_interfaces,
		.interfaces = (const char(*)[IFNAMSIZ])f->interfaces,
		.error_rate = f->errors_per_second,
		.kept = &e->kept,
	};
	int r;

	snprintf(conf.dev, sizeof(conf.dev), "%s", f->device);
	r = nat64_tun_open(&e->tun, e->event, &conf, &f->nat64);
	if (r < 0)
		return r;
	if (f->engine == NAT64_ENGINE_TUN) {
		snprintf(e->why_tun, WHY_SIZE, "engine = \"tun\" in the configuration");
	} else if (!f->n_interfaces) {
		snprintf(e->why_tun, WHY_SIZE,
			"no interfaces in the configuration for the eBPF engine");
		r = f->engine == NAT64_ENGINE_EBPF ? -EINVAL : 0;
	} else {
		r = nat64_bpf_open(
			&e->bpf, &conf, &f->nat64, nat64_tun_ifindex(e->tun), e->why_tun);
		if (r < 0 && !e->why_tun[0])
			snprintf(e->why_tun, WHY_SIZE, "%s", strerror(-r));
		if (r == 0)
			e->why_tun[0] = '\0';
		else if (f->engine == NAT64_ENGINE_AUTO)
			r = 0;
	}
	if (r < 0)
		log_err("engine ebpf can't be used here: %s", e->why_tun);
	else if (!e->bpf)
		log_msg(f->engine == NAT64_ENGINE_AUTO && f->n_interfaces ? LOG_WARNING : LOG_INFO,
			"engine tun: %s", e->why_tun);
	return r;
}

static int open_routes(struct nat64_edge *e, bool left)
{
	char why[WHY_SIZE] = "";
	const struct net_handlers on = {.link = on_link, .arg = e};
	int r = nat64_routes_open(&e->routes, e->event, nat64_tun_ifindex(e->tun));

	if (r == 0 && left)
		r = nat64_routes_left(e->routes);
	if (r == 0)
		r = net_open(&e->net, e->event, &on);
	if (r == 0)
		r = nat64_routes_stage(e->routes, &e->file->nat64, why);
	if (r < 0)
		log_err("%s", why[0] ? why : strerror(-r));
	else
		nat64_routes_commit(e->routes);
	return r;
}

/* Device, programs, routes; in place of an earlier run's, or as a change of them. */
static int open_all(struct nat64_edge *e)
{
	unsigned n_left = e->kept.n_queues;
	int r = open_engines(e);

	if (r == 0)
		r = open_routes(e, n_left && !e->kept.n_queues);
	/* Only now: until here its programs have worked. */
	nat64_bpf_sweep(e->bpf, e->kept.program);
	nat64_keep_release(&e->kept);
	return r;
}

int nat64_edge_open(struct nat64_edge **out, sd_event *event, const char *path,
	struct nat64_file *file, const struct nat64_kept *kept)
{
	struct nat64_edge *e = calloc(1, sizeof(*e));
	int r;

	*out = e;
	if (!e) {
		file_free(file);
		return -ENOMEM;
	}
	e->kept = *kept;
	e->path = path;
	e->event = event;
	e->file = file;
	e->started = e->loaded = daemon_now();
	/* First of all: a second translator must not take the first one's device. */
	r = ctl_open(&e->ctl, event, file->control, commands, e);
	if (r < 0)
		return r;
	r = ctl_groups(e->ctl, file->control_group, file->control_readers);
	if (r == 0)
		r = daemon_lock(file->device);
	if (r == 0)
		r = open_all(e);
	if (r == 0)
		nat64_dev_check_host();
	return r;
}

static void store(struct nat64_edge *e)
{
	struct nat64_kept k = {.program = -1, .counters = -1};

	nat64_tun_keep(e->tun, &k);
	if (e->bpf)
		nat64_bpf_keep(e->bpf, &k);
	e->stored = nat64_keep_put(&k);
}

static int on_proved(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)s, (void)usec;
	store(arg);
	return 0;
}

int nat64_edge_start(struct nat64_edge *e)
{
	/* Routes, programs of interfaces that come later; a map for each new configuration. */
	static const int keep[] = {CAP_NET_ADMIN, -1}, keep_bpf[] = {CAP_NET_ADMIN, CAP_BPF, -1};
	int r = privileges_drop(e->file->user, e->bpf ? keep_bpf : keep);

	if (r == 0)
		r = nat64_tun_start(e->tun);
	return r < 0 ? r
		     : sd_event_add_time_relative(
			       e->event, &e->proved, CLOCK_BOOTTIME, PROVED_US, 0, on_proved, e);
}

void nat64_edge_ready(struct nat64_edge *e)
{
	char status[DAEMON_STATUS_SIZE];

	tell_status(e, status);
	daemon_ready(status);
}

void nat64_edge_give_up(struct nat64_kept *kept)
{
	nat64_bpf_sweep(NULL, kept->program);
	nat64_keep_release(kept);
}

void nat64_edge_close(struct nat64_edge *e, bool keep)
{
	unsigned ifindex;

	if (!e)
		return;
	ifindex = e->tun ? nat64_tun_ifindex(e->tun) : 0;
	if (keep && !e->stored)
		store(e);
	keep = keep && e->stored;
	ctl_close(e->ctl);
	net_close(e->net);
	sd_event_source_disable_unref(e->proved);
	nat64_bpf_close(e->bpf, keep);
	nat64_tun_close(e->tun); /* the routes go with the device */
	if (!keep && ifindex)
		nat64_dev_delete(ifindex); /* whoever else holds it */
	nat64_routes_close(e->routes);
	nat64_edge_give_up(&e->kept);
	file_free(e->file);
	free(e);
}
