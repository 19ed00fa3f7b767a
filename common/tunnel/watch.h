/* watch.h - what others do to the tunnel device, its routes and programs, and what is done about
 * it: routes are put again, without the device the daemon ends, to be started anew.  Private to the
 * engines. */
#pragma once
#include "common/tunnel/book.h"
#include "common/tunnel/dev.h"
#include "common/tunnel/tunnel.h"

struct tunnel_watch_handlers {
	struct tunnel_set *set;
	const struct book *book; /* its routes are KEY_ROUTES */
	int (*routes_put)(struct tunnel_set *, const struct entry *); /* 0 or -errno */
	const char *nft_table; /* without it no tunnel works; NULL: the engine has none */
	/* tc programs were removed from an interface, whose ever; NULL: the engine has none */
	void (*programs)(struct tunnel_set *, unsigned ifindex);
};

struct tunnel_watch;
/* 'name' and 'table' as in struct tunnel_conf; 'dev' is borrowed.  0 or -errno. */
int tunnel_watch_open(struct tunnel_watch **, sd_event *, const struct tunnel_dev *dev,
	uint32_t table, const struct tunnel_watch_handlers *);
void tunnel_watch_close(struct tunnel_watch *); /* accepts NULL */
/* 'what' ("device nemo0") was 'how' ("deleted"), and is of no use any more: says so and ends the
 * loop, and with it the daemon, whose next run begins anew. */
void tunnel_watch_end(sd_event *, const char *what, const char *how);
