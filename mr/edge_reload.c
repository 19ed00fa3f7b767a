/* edge_reload.c - SIGHUP and `nemoctl mr reload`: the configuration is read and checked as a whole;
 * only then something changes, what can fail before what can't. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include "common/os/log.h"
#include "mr/edge_state.h"
#include "mr/policy.h"

static bool has_network(const struct mr_conf *c, const char *interface)
{
	for (unsigned i = 0; i < c->n_networks; i++)
		if (strcmp(c->networks[i].interface, interface) == 0)
			return true;
	return false;
}

/* Those that are no more are left alone from now on; the others have the core's new numbers. */
static void move_uplinks(struct mr_edge *e, const struct mr_conf *was, const struct mr_conf *to)
{
	struct uplink old[MR_MAX_UPLINKS];

	memcpy(old, e->uplinks, sizeof(old));
	memset(e->uplinks, 0, sizeof(e->uplinks));
	for (unsigned i = 0; i < to->n_uplinks; i++) {
		int k = mr_conf_uplink(was, to->uplinks[i].interface);

		if (k >= 0)
			e->uplinks[i] = old[k];
		e->uplinks[i].name = to->uplinks[i].interface;
		e->uplinks[i].was_inside |= has_network(was, to->uplinks[i].interface);
	}
	for (unsigned k = 0; k < was->n_uplinks; k++) {
		if (mr_conf_uplink(to, was->uplinks[k].interface) >= 0)
			continue;
		if (old[k].ifindex) {
			e->engine->detach(e->tunnels, old[k].ifindex);
			sig_detach(mhio_sig(e->io), old[k].ifindex);
			nd_detach(e->nd, old[k].ifindex);
		}
		if (has_network(to, was->uplinks[k].interface)) /* a router there, then */
			net_sysctl6(was->uplinks[k].interface, "forwarding", "1");
	}
}

/* Takes '*file' over, or leaves all as it is. */
static int change(struct mr_edge *e, struct mr_file *file)
{
	struct mr_event ev = {.type = MR_EV_LEAVE, .reload = {.conf = &file->core}};
	struct mr_file was = *e->file;
	int r = policy_change(e->net, &was, file);

	ev.reload.new_keys = memcmp(&was.keys, &file->keys, sizeof(was.keys)) != 0;
	if (r == 0 && ev.reload.new_keys) {
		r = protect_change_any(e->protect, &was.core.hoa, &file->keys);
		if (r < 0)
			protect_change_any(e->protect, &was.core.hoa, &was.keys);
	}
	if (r < 0) {
		policy_change(e->net, file, &was);
		return r;
	}
	mr_edge_run(e, &ev);
	move_uplinks(e, &was.core, &file->core);
	*e->file = *file; /* at its old place, which others know */
	ev.type = MR_EV_RELOAD;
	ev.reload.conf = &e->file->core;
	e->former = true;
	mr_edge_run(e, &ev);
	protect_rekey(e->protect, e->file->rekey_s);
	mr_edge_tell_interfaces(e->file);
	mr_conf_free(&was);
	r = net_dump(e->net); /* of interfaces and addresses that are new to us */
	if (r < 0)
		log_err("reload: interfaces: %s", strerror(-r));
	return 0;
}

static int reload(void *arg, struct conf *conf)
{
	struct mr_edge *e = arg;
	struct mr_file file;
	int r = -EINVAL;

	if (mr_conf_load(conf, &file, e->file) == 0 &&
		conf_may_reload(conf, mr_conf_keys, e->file, &file))
		r = change(e, &file);
	if (r < 0)
		mr_conf_free(&file);
	OPENSSL_cleanse(&file.keys, sizeof(file.keys));
	return r;
}

static void tell_status(void *arg, char out[DAEMON_STATUS_SIZE])
{
	const struct mr_edge *e = arg;

	snprintf(out, DAEMON_STATUS_SIZE, "%s: %u uplinks, %u networks", e->file->core.name,
		e->file->core.n_uplinks, e->file->core.n_networks);
}

int mr_edge_reload(struct mr_edge *e, char why[WHY_SIZE])
{
	const struct daemon_reload d = {e->file->path, e, reload, tell_status};

	return daemon_reload(&d, why);
}
