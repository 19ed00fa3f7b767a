/* privileges.c - user, capabilities, no_new_privs. */
#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/privileges.h"

/* Those of a service manager's (AmbientCapabilities) are given up as well. */
static int keep_some(const int *keep)
{
	if (capng_get_caps_process() < 0)
		return -EINVAL;
	for (const int *k = keep; *k >= 0; k++)
		if (!capng_have_capability(CAPNG_PERMITTED, (unsigned)*k))
			return 0; /* what can be done without them, who knows */
	capng_clear(CAPNG_SELECT_CAPS);
	for (; *keep >= 0; keep++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)*keep) < 0)
			return -EINVAL;
	errno = EPERM; /* for a failure that sets none */
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -errno : 0;
}

static int change(const struct passwd *to, const int *keep)
{
	capng_clear(CAPNG_SELECT_BOTH);
	for (; *keep >= 0; keep++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)*keep) < 0)
			return -EINVAL;
	errno = EPERM; /* for a failure that sets none */
	if (!to)
		return capng_apply(CAPNG_SELECT_BOTH) < 0 ? -errno : 0;
	return capng_change_id((int)to->pw_uid, (int)to->pw_gid,
		       CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) < 0
		       ? -errno
		       : 0;
}

bool privileges_suffice(void)
{
	if (capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
		return true;
	log_err("not permitted to change the network: start it as root, or by its unit");
	return false;
}

int privileges_drop(const char *user, const int *keep)
{
	const struct passwd *to = *user ? getpwnam(user) : NULL;
	int r;

	if (*user && !to)
		log_info("user: there is no user %s: the user id stays %d", user, (int)geteuid());
	r = geteuid() == 0 ? change(to, keep) : keep_some(keep);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			      prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		r = -errno;
	if (r < 0)
		log_err("could not give up privileges: %s", strerror(-r));
	return r;
}
