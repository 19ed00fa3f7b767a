/* tunnel.c - choice of the engine, names of the drop reasons. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/tunnel/tunnel.h"

#define WHY_SIZE 256

static const struct tunnel_engine *const engines[] = {&tunnel_ebpf, &tunnel_ip6tnl, &tunnel_fake};

int tunnel_open(const char *name, const struct tunnel_conf *conf,
	const struct tunnel_engine **engine, struct tunnel_set **set, char *why)
{
	bool any = !strcmp(name, "auto");
	char first[WHY_SIZE] = "", reason[WHY_SIZE] = "";
	int rc = -ENOENT;

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (any ? engines[i] == &tunnel_fake : strcmp(name, engines[i]->name) != 0)
			continue;
		rc = engines[i]->open(set, conf, reason);
		if (rc >= 0) {
			*engine = engines[i];
			return 0;
		}
		snprintf(why, WHY_SIZE, "%.80s%s%s: %.150s", first, *first ? "; " : "",
			engines[i]->name, reason);
		snprintf(first, sizeof(first), "%s", why);
	}
	if (rc == -ENOENT && !*first)
		snprintf(why, WHY_SIZE, "there is no engine \"%.32s\"", name);
	return rc;
}

const char *tunnel_drop_name(enum tunnel_drop drop)
{
	static const char *const names[] = {
#define X(name, text) #name,
		TUNNEL_DROPS(X)
#undef X
	};

	return names[drop];
}

const char *tunnel_drop_text(enum tunnel_drop drop)
{
	static const char *const texts[] = {
#define X(name, text) text,
		TUNNEL_DROPS(X)
#undef X
	};

	return texts[drop];
}
