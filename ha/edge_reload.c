/* edge_reload.c - SIGHUP and `nemoctl ha reload`: the configuration is read and checked as a whole;
 * only then routers come, go or change, one after the other.  A wrong one changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "ha/edge_state.h"

static const struct keys *keys_of(const struct ha_file *f, const struct ha_router *r)
{
	return &f->keys[r - f->core.routers];
}

/* Is this router's signalling protected by the new file 'b' as it was by 'a'?  Who was refused
 * then gets another try. */
static bool same_protection(const struct ha_file *a, const struct ha_router *ra,
	const struct ha_file *b, const struct ha_router *rb)
{
	return ra && rb && !a->refused[ra - a->core.routers] &&
	       ha_conf_protection(a, ra) == ha_conf_protection(b, rb) &&
	       /* Part of the messages with the authentication option only (RFC 4283). */
	       (ha_conf_protection(b, rb) != SEC_AUTH || strcmp(ra->name, rb->name) == 0) &&
	       memcmp(keys_of(a, ra), keys_of(b, rb), sizeof(struct keys)) == 0;
}

/* Those who are gone, or have other secrets, before those who are new: an identity may move.  The
 * first error; who is concerned is refused, and the others are served. */
static int change_protection(
	struct ha_edge *e, const struct ha *old, const struct ha_file *was, const struct ha *new)
{
	struct ha_file *f = e->file;
	int failed = 0;

	for (unsigned i = 0; i < was->core.n_routers; i++) {
		const struct ha_router *m = &was->core.routers[i];

		if (same_protection(was, m, f, ha_router_of(new, &m->hoa)))
			continue;
		protect_drop(e->protect, &was->core.address, &m->hoa, ha_conf_protection(was, m));
		sig_home_drop(mhio_sig(e->io), &m->hoa);
	}
	for (unsigned i = 0; i < f->core.n_routers; i++) {
		const struct ha_router *m = &f->core.routers[i];
		int r;

		if (same_protection(was, ha_router_of(old, &m->hoa), f, m))
			continue;
		r = protect_add(e->protect, &f->core.address, &m->hoa, m->name,
			ha_conf_protection(f, m), &f->keys[i]);
		if (r == 0)
			r = sig_homes_put(mhio_sig(e->io), &m->hoa, 1);
		f->refused[i] = r < 0;
		failed = failed ? failed : r;
	}
	return failed;
}

static void change_routers(struct ha_edge *e, struct ha *old)
{
	unsigned i = 0;

	while (ha_reload_next(e->ha, old, &i, daemon_now(), &e->out)) {
		ha_keep_of(e, old, STORE_FAST);
		ha_keep_changed(e, STORE_FAST);
		ha_edge_do(e);
	}
}

/* Takes '*file' over, or leaves all as it is. */
static int change(struct ha_edge *e, struct ha_file *file)
{
	struct ha_file was = *e->file;
	struct ha *old = e->ha, *new;
	int r;

	*e->file = *file; /* at its old place, which others know */
	new = ha_new(&e->file->core);
	if (!new) {
		*e->file = was;
		return -ENOMEM;
	}
	ha_inherit(new, old, &was.core);
	e->ha = new;
	if (e->home)
		homeio_serve(e->home, new);
	r = change_protection(e, old, &was, new);
	if (r < 0)
		log_err("reload: protection: %s: a router's messages are refused", strerror(-r));
	change_routers(e, old);
	for (unsigned i = 0; e->esptun && i < was.core.n_routers; i++)
		if (!ha_router_of(new, &was.core.routers[i].hoa))
			esptun_forget(e->esptun, &was.core.routers[i].hoa);
	ha_home_routes_changed(e, &was);
	routeio_close(e->routes);
	r = ha_edge_routes(e);
	if (r < 0)
		log_err("reload: learned routes: %s", strerror(-r));
	ha_free(old);
	ha_conf_free(&was);
	return 0;
}

static int reload(void *arg, struct conf *conf)
{
	struct ha_edge *e = arg;
	struct ha_file file;
	int r = -EINVAL;

	if (ha_conf_load(conf, &file, e->file) == 0 &&
		conf_may_reload(conf, ha_conf_keys, e->file, &file)) {
		r = ha_edge_keying(e, &file);
		if (r < 0)
			conf_error(conf, 0, "protection", "the key exchange can't begin: %s",
				strerror(-r));
		else
			r = change(e, &file);
	}
	if (r < 0)
		ha_conf_free(&file);
	return r;
}

void ha_edge_status(void *arg, char out[DAEMON_STATUS_SIZE])
{
	const struct ha_edge *e = arg;

	snprintf(out, DAEMON_STATUS_SIZE, "%s: serving %u routers", e->file->name,
		e->file->core.n_routers);
}

int ha_edge_reload(struct ha_edge *e, char why[WHY_SIZE])
{
	const struct daemon_reload d = {e->file->path, e, reload, ha_edge_status};

	return daemon_reload(&d, why);
}
