/* protect.c - key files, and what protection keeps over a restart: floors against replay in the
 * state file, negotiated keys where no disk is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/os/daemon.h"
#include "common/os/keying.h"
#include "common/os/log.h"
#include "common/os/protect.h"
#include "common/os/tell.h"

#define MAX_KEY_FILE 8192 /* octets */

struct protect {
	struct sec *sec;
	struct keying *keying; /* NULL: no key exchange */
	struct mhio *io;       /* borrowed; NULL: none yet */
	struct store *state;   /* borrowed */
	const char *session_file;
	struct store *keys;     /* negotiated ones; NULL: they are not kept */
	bool old;               /* what 'state' had may be old: floors are not to be trusted */
	bool told;              /* that it can't be written: once is enough */
	struct esptun *tunnels; /* borrowed; NULL: their packets are in clear */
	unsigned in_clear;
	bool esp; /* some pair has it */
	bool home_agent;
};

/* --- key files --- */

static uid_t owner; /* whom the daemon becomes; 0: nobody in particular */

void protect_owner(const char *user)
{
	const struct passwd *p = *user ? getpwnam(user) : NULL;

	owner = p ? p->pw_uid : 0;
}

const char *protect_secret_file(int fd)
{
	static char text[80];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "is not a file";
	if (st.st_uid != 0 && st.st_uid != owner && st.st_uid != geteuid())
		return "belongs to another user; chown it to root";
	if (!(st.st_mode & (S_IRWXG | S_IRWXO)))
		return NULL;
	snprintf(text, sizeof(text), "others can get at it (mode %04o); chmod 600 it",
		st.st_mode & 07777);
	return text;
}

#define KEYS_DIR "/etc/nemo/keys"

const char *protect_find_secret(const char *name, char buf[PATH_MAX], bool *credential)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	*credential = false;
	if (strchr(name, '/'))
		return name;
	if (dir) {
		snprintf(buf, PATH_MAX, "%s/keys_%s", dir, name);
		*credential = access(buf, F_OK) == 0;
	}
	if (!*credential)
		snprintf(buf, PATH_MAX, KEYS_DIR "/%s", name);
	return buf;
}

bool protect_denied(const char *name)
{
	char buf[PATH_MAX];
	bool credential;

	return access(protect_find_secret(name, buf, &credential), R_OK) < 0 && errno == EACCES;
}

/* Its text in 'buf'; false: reported. */
static bool read_file(struct conf *c, unsigned line, const char *name, char *buf, size_t room)
{
	bool credential; /* systemd sees to who may read it, by an ACL */
	char found[PATH_MAX];
	const char *path = protect_find_secret(name, found, &credential);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *bad = fd < 0 ? strerror(errno) : credential ? NULL : protect_secret_file(fd);
	ssize_t n = -1;

	if (bad)
		conf_error(c, line, "keys", "%s: %s", path, bad);
	else if ((n = read(fd, buf, room)) < 0)
		conf_error(c, line, "keys", "%s: %s", path, strerror(errno));
	else if (n == (ssize_t)room)
		conf_error(c, line, "keys", "%s: is larger than %zu octets", path, room - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0 || n == (ssize_t)room)
		return false;
	buf[n] = '\0';
	return true;
}

static const char *missing(enum sec_mode mode, const struct keys *k, bool certified)
{
	switch (mode) {
	case SEC_AUTH: return k->n_auth ? NULL : "has no auth line";
	case SEC_ESP_STATIC:
		return k->esp[KEYS_TO_HA].spi && k->esp[KEYS_TO_MR].spi
			       ? NULL
			       : "has no esp line for each of to-ha and to-mr";
	case SEC_ESP: return k->psk.id[0] || certified ? NULL : "has no psk line";
	case SEC_NONE:
	case SEC_N_MODES: break;
	}
	return NULL;
}

void protect_read_keys(struct conf *c, unsigned line, enum sec_mode mode, const char *path,
	bool certified, struct keys *out)
{
	char text[MAX_KEY_FILE];
	const char *file = c->file, *wrong;
	unsigned at;
	size_t size;

	memset(out, 0, sizeof(*out));
	if (mode == SEC_NONE || (mode == SEC_ESP && certified && !*path))
		return;
	if (!*path) {
		conf_error(c, line, "keys", "is missing: protection = \"%s\" needs a key file%s",
			sec_modes[mode], mode == SEC_ESP ? ", or certificates" : "");
		return;
	}
	if (!read_file(c, line, path, text, sizeof(text)))
		return;
	size = strlen(text);
	wrong = keys_parse(text, out, &at);
	OPENSSL_cleanse(text, size);
	if (wrong) {
		c->file = path;
		conf_error(c, at, NULL, "%s", wrong);
		c->file = file;
	} else if ((wrong = missing(mode, out, certified))) {
		conf_error(c, line, "keys", "%s: %s, which protection = \"%s\" needs", path, wrong,
			sec_modes[mode]);
	}
}

void protect_check_payload(struct conf *c, const char *engine, unsigned line, enum sec_mode mode)
{
	char why[256];

	if (strcmp(engine, "ebpf") == 0)
		conf_error(c, 0, "payload",
			"\"esp\" needs engine = \"ip6tnl\" (or \"auto\"): what engine ebpf sends "
			"passes the kernel's IPsec by");
	if (mode != SEC_ESP)
		conf_error(c, line, "payload",
			"\"esp\" needs protection = \"esp\", whose keys it uses, not \"%s\"",
			sec_modes[mode]);
	if (c->n_errors == 0 && xfrm_probe(why) < 0)
		conf_error(c, 0, "payload", "\"esp\": %s", why);
}

/* --- what is kept --- */

static void not_kept(struct protect *p, int r)
{
	if (!p->told)
		log_err("what protection has to remember can't be written: %s: after a restart old "
			"messages may be taken for new",
			strerror(-r));
	p->told = true;
}

static void keep(void *arg, const struct sec_mark *m)
{
	struct protect *p = arg;
	const struct store_key k = {.kind = m->kind, .a = m->ha, .b = m->hoa};
	int r = store_put(p->state, &k, &m->value, sizeof(m->value),
		m->kind == SEC_MARK_OUT ? STORE_SYNC : STORE_FAST);

	if (r < 0)
		not_kept(p, r);
}

static bool recall(void *arg, struct sec_mark *m)
{
	const struct protect *p = arg;
	const struct store_key k = {.kind = m->kind, .a = m->ha, .b = m->hoa};

	/* Better to ask for a new timestamp than to trust an old floor; of ESP numbers an old floor
	 * is better than none. */
	return !(p->old && m->kind == SEC_MARK_FLOOR) &&
	       store_get(p->state, &k, &m->value, sizeof(m->value));
}

static struct store_key sas_key(const struct in6_addr *ha, const struct in6_addr *hoa)
{
	return (struct store_key){.kind = KEPT_SAS, .format = SEC_SAS_FORMAT, .a = *ha, .b = *hoa};
}

static void keep_sas(
	void *arg, const struct in6_addr *ha, const struct in6_addr *hoa, const struct sec_sas *sas)
{
	struct protect *p = arg;
	const struct store_key k = sas_key(ha, hoa);
	int r = p->keys ? store_put(p->keys, &k, sas, sizeof(*sas), STORE_FAST) : 0;

	if (r < 0)
		not_kept(p, r);
}

static bool recall_sas(
	void *arg, const struct in6_addr *ha, const struct in6_addr *hoa, struct sec_sas *sas)
{
	const struct protect *p = arg;
	const struct store_key k = sas_key(ha, hoa);

	return p->keys && store_get(p->keys, &k, sas, sizeof(*sas));
}

static void open_keys(struct protect *p, const char *path)
{
	enum store_state state;
	int r = store_open(&p->keys, path, true, &state);

	if (r == -EMEDIUMTYPE)
		log_warn("session_file: %s is not on a tmpfs: negotiated keys are not kept, and "
			 "made anew after a restart",
			path);
	else if (r < 0)
		log_warn("session_file: %s: %s: negotiated keys are not kept", path, strerror(-r));
	if (r < 0 || state == STORE_WHOLE)
		return;
	/* Numbers that go backwards would be used, or accepted, twice. */
	store_empty(p->keys);
}

/* The kernel's, not a generator of this process: a clone of a virtual machine would go on with the
 * same numbers. */
static void randomize(void *arg, void *out, size_t size)
{
	(void)arg;
	if (getrandom(out, size, 0) != (ssize_t)size)
		abort(); /* nothing may be sent with an IV that can be guessed */
}

static void renew(void *arg)
{
	struct protect *p = arg;

	if (p->keying)
		keying_hurry(p->keying);
}

int protect_open(struct protect **out, bool home_agent, enum sec_mode strangers,
	struct store *state, bool old, const char *session_file)
{
	struct protect *p = calloc(1, sizeof(*p));
	struct sec_hooks hooks = {p, keep, recall, randomize, renew, keep_sas, recall_sas};

	if (!p)
		return -ENOMEM;
	p->state = state;
	p->old = old;
	p->session_file = session_file;
	p->home_agent = home_agent;
	p->sec = sec_new(home_agent, strangers, &hooks);
	if (!p->sec) {
		free(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

static void note_mode(struct protect *p, enum sec_mode mode)
{
	p->in_clear += mode == SEC_NONE;
	p->esp |= mode == SEC_ESP || mode == SEC_ESP_STATIC;
}

static int take_esp(struct protect *p)
{
	return sig_take(mhio_sig(p->io), p->tunnels ? SIG_TAKE_ESP_LOW : SIG_TAKE_ESP);
}

int protect_add(struct protect *p, const struct in6_addr *ha, const struct in6_addr *hoa,
	const char *name, enum sec_mode mode, const struct keys *k)
{
	static const struct keys no_keys;
	bool had = p->esp;
	int r;

	note_mode(p, mode);
	r = p->io && p->esp && !had ? take_esp(p) : 0;
	if (r == 0)
		r = sec_add(p->sec, ha, hoa, name, mode, k);
	if (r == 0 && mode == SEC_ESP)
		r = p->keying ? keying_add(p->keying, k, hoa) : -EOPNOTSUPP;
	if (r < 0) {
		log_err("protection of %s: %s", name, strerror(-r));
		/* Without keys all of it is refused; a stranger might be served in clear. */
		sec_add(p->sec, ha, hoa, name, SEC_ESP_STATIC, &no_keys);
	}
	return r;
}

void protect_drop(struct protect *p, const struct in6_addr *ha, const struct in6_addr *hoa,
	enum sec_mode mode)
{
	const struct store_key kept = sas_key(ha, hoa);

	p->in_clear -= mode == SEC_NONE;
	sec_remove(p->sec, ha, hoa);
	if (p->keys)
		store_put(p->keys, &kept, NULL, 0, STORE_FAST);
	if (p->keying)
		keying_drop(p->keying, hoa);
}

int protect_add_any(struct protect *p, const struct in6_addr *hoa, const char *name,
	enum sec_mode mode, const struct keys *k)
{
	note_mode(p, mode);
	sec_add_any(p->sec, hoa, name, mode, k);
	return mode == SEC_ESP ? keying_add(p->keying, k, hoa) : 0;
}

int protect_change_any(struct protect *p, const struct in6_addr *hoa, const struct keys *k)
{
	char s[INET6_ADDRSTRLEN];
	int r = 0;

	if (p->keying) {
		keying_drop(p->keying, hoa);
		r = keying_add(p->keying, k, hoa);
		keying_hurry(p->keying);
	}
	if (r == 0)
		sec_change_any(p->sec, k);
	else
		log_err("protection of %s: %s", addr6_str(hoa, s), strerror(-r));
	return r;
}

static void on_keys(void *arg, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, const struct payload_secret *payload)
{
	struct protect *p = arg;
	char s[INET6_ADDRSTRLEN];
	int r = sec_install(p->sec, ha, hoa, in, out, daemon_now());

	if (r < 0)
		log_err("keys for %s: %s", addr6_str(hoa, s), strerror(-r));
	else
		log_info("keys: new ones for home address %s", addr6_str(hoa, s));
	if (r == 0 && p->tunnels)
		esptun_keys(p->tunnels, ha, hoa, payload);
	if (p->io)
		mhio_resend(p->io);
}

void protect_rekey(struct protect *p, unsigned interval_s)
{
	sec_rekey(p->sec, (uint64_t)interval_s * 1000);
}

static void need_keys(void *arg, const struct mh_env *e)
{
	struct protect *p = arg;

	/* At home the one is the other. */
	keying_start(p->keying, &e->src, &e->dst, addr6_is_any(&e->hoa) ? &e->src : &e->hoa);
}

int protect_keying(struct protect *p, sd_event *event, const struct in6_addr *ha, unsigned port,
	const struct certs_files *files)
{
	int r = p->keying ? -EALREADY : keying_open(&p->keying, event, ha, port, on_keys, p);

	if (r == -EALREADY)
		return 0;
	if (r < 0) {
		log_err("key exchange: port %u: %s", port, strerror(-r));
		return r;
	}
	if (p->tunnels)
		keying_payload(p->keying);
	if (*files->certificate)
		r = keying_certify(p->keying, files);
	if (r < 0) {
		keying_close(p->keying);
		p->keying = NULL;
		return r;
	}
	/* Kept keys have no secret for payload with them: it begins with a new exchange. */
	if (*p->session_file && !p->tunnels)
		open_keys(p, p->session_file);
	if (p->io)
		mhio_on_keys(p->io, need_keys, p);
	return 0;
}

int protect_open_payload(struct protect *p, struct esptun **tunnels)
{
	char why[256] = "";
	int r = esptun_open(&p->tunnels, p->home_agent, why);

	if (r < 0)
		log_err("payload = \"esp\": %s", why[0] ? why : strerror(-r));
	*tunnels = p->tunnels;
	return r;
}

void protect_attach(struct protect *p, struct mhio *io)
{
	p->io = io;
	mhio_protect(io, p->sec);
	if (p->keying)
		mhio_on_keys(io, need_keys, p);
	if (p->esp)
		take_esp(p);
}

void protect_stats(struct protect *p, json_t *list)
{
	static const struct {
		const char *name, *help;
	} c[] = {
#define X(name, text) {#name, text},
		SEC_COUNTERS(X)
#undef X
	};

	for (unsigned i = 0; i < SEC_N_COUNTERS; i++)
		tell_counter(list, "protection", c[i].name, sec_counter(p->sec, i), c[i].help);
	static const struct {
		const char *name, *help;
	} kc[] = {
#define X(name, text) {#name, text},
		KEYING_COUNTERS(X)
#undef X
	};

	for (unsigned i = 0; p->keying && i < KEYING_N_COUNTERS; i++)
		tell_counter(
			list, "protection", kc[i].name, keying_counter(p->keying, i), kc[i].help);
	tell_counter(list, "protection", "in_clear", p->in_clear,
		"pairs of router and home agent whose signalling is in clear: should be 0");
}

void protect_close(struct protect *p)
{
	if (!p)
		return;
	keying_close(p->keying);
	sec_free(p->sec);
	store_close(p->keys);
	free(p);
}
