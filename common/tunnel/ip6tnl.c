#include <errno.h>
#include <stdio.h>
#include "common/tunnel/tunnel.h"
static int ip6tnl_open(struct tunnel_set **set, const struct tunnel_conf *conf, char *why)
{
	(void)set, (void)conf;
	snprintf(why, 256, "not built yet");
	return -EOPNOTSUPP;
}
const struct tunnel_engine tunnel_ip6tnl = {.name = "ip6tnl", .open = ip6tnl_open};
