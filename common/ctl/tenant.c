/* tenant.c - mobile routers come and go: a line of the home agent's prefix table, its secret, and
 * the seed of its virtual machine.  What may be in a configuration is nemo-ha's to say.
 *
 * One command at a time has the configuration's folder locked, and is not to be interrupted: what
 * is there afterwards is all of it or nothing. */
#include "common/ctl/tenant.h"
#include "common/ctl/tenant_text.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_MAX_SIZE   63
#define KEY_SIZE        32
#define SEED_KB         "1024"         /* of the seed disk */
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* of UTF-8: some editors begin a file with it */

struct work {
	const struct tenant *t;
	char dir[PATH_MAX / 2];       /* of the configuration, as it was named; absolute */
	char *conf;                   /* the file itself, behind links; owned */
	char fresh[PATH_MAX];         /* what is to take its place */
	char home[INET6_ADDRSTRLEN];  /* address */
	char agent[INET6_ADDRSTRLEN]; /* the home agent's */
	bool esp;                     /* with keys; else in clear */
	bool payload;                 /* = "esp" */
	int key_port;                 /* 0: the usual one */
	char key[2 * KEY_SIZE + 1];   /* hex */
	char *text;                   /* the configuration; owned */
	struct tenant_list list;      /* in it */
	struct stat st;
	const struct passwd *owner; /* whom the daemon runs as; NULL: root */
	sigset_t mask;              /* before */
	int lock;                   /* folder of the configuration; -1: none */
};

__attribute__((format(printf, 1, 2))) static int refuse(const char *fmt, ...)
{
	va_list ap;

	fputs("nemoctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static char *path_of(const struct work *w, const char *suffix, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s%s", w->dir, w->t->name, suffix);
	return path;
}

/* Where the secret goes: beside the configuration, or into a folder "keys" there. */
static char *keys_path(const struct work *w, char path[PATH_MAX])
{
	struct stat st;

	snprintf(path, PATH_MAX, "%s/keys", w->dir);
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return path_of(w, ".keys", path);
	snprintf(path, PATH_MAX, "%s/keys/%s.keys", w->dir, w->t->name);
	return path;
}

/* --- the configuration --- */

static int read_text(struct work *w)
{
	FILE *f = fopen(w->conf, "re");
	size_t size;
	int r = 0;

	if (!f || fstat(fileno(f), &w->st) < 0) {
		int e = errno;

		if (f)
			fclose(f);
		return refuse("%s: %s", w->t->conf, strerror(e));
	}
	w->text = calloc(1, (size_t)w->st.st_size + 1);
	errno = 0;
	size = w->text ? fread(w->text, 1, (size_t)w->st.st_size, f) : 0;
	if (size != (size_t)w->st.st_size)
		r = refuse("%s: %s", w->t->conf, errno ? strerror(errno) : "it changes meanwhile");
	fclose(f);
	return r;
}

static const char *string_of(const config_setting_t *group, const char *key)
{
	const char *s = "";

	config_setting_lookup_string(group, key, &s);
	return s;
}

static bool same_address(const char *a, const char *b)
{
	struct in6_addr x, y;

	return inet_pton(AF_INET6, a, &x) == 1 && inet_pton(AF_INET6, b, &y) == 1 &&
	       memcmp(&x, &y, sizeof(x)) == 0;
}

/* The router whose string 'key' is 'value', address or not; NULL: there is none.  '*nth': its
 * place. */
static const config_setting_t *router_with(
	const config_t *c, const char *key, const char *value, int *nth)
{
	const config_setting_t *routers = config_lookup(c, "routers"), *r;

	for (*nth = 0; routers && *nth < config_setting_length(routers); ++*nth) {
		r = config_setting_get_elem(routers, (unsigned)*nth);
		if (config_setting_is_group(r) && (strcmp(string_of(r, key), value) == 0 ||
							  same_address(string_of(r, key), value)))
			return r;
	}
	*nth = -1;
	return NULL;
}

/* The first free address of the first home prefix, from ::1 on. */
static int choose_home(struct work *w, const config_t *c)
{
	config_setting_t *prefixes = config_lookup(c, "home_prefixes");
	const char *s = prefixes ? config_setting_get_string_elem(prefixes, 0) : NULL;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;
	int nth;

	if (!s ||
		(size_t)snprintf(text, sizeof(text), "%.*s", (int)strcspn(s, "/"), s) >=
			sizeof(text) ||
		inet_pton(AF_INET6, text, &a) != 1)
		return refuse("%s has no home_prefixes to take a home address from: name one after "
			      "the prefix",
			w->t->conf);
	for (unsigned n = 1; n < 65536; n++) {
		a.s6_addr[14] = (uint8_t)(n >> 8);
		a.s6_addr[15] = (uint8_t)n;
		inet_ntop(AF_INET6, &a, w->home, sizeof(w->home));
		if (!same_address(w->home, w->agent) &&
			!router_with(c, "home_address", w->home, &nth))
			return 0;
	}
	return refuse("no free home address in %s", s);
}

static int parse(const struct work *w, config_t *c)
{
	bool marked = strncmp(w->text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;

	config_init(c);
	return config_read_string(c, w->text + (marked ? strlen(BYTE_ORDER_MARK) : 0))
		       ? 0
		       : refuse("%s:%d: %s", w->t->conf, config_error_line(c),
				 config_error_text(c));
}

static int look_up(struct work *w, const config_t *c)
{
	const config_setting_t *root = config_root_setting(c), *same;
	const char *protection = "esp", *user = "nemo";
	int nth;

	config_setting_lookup_string(root, "protection", &protection);
	config_setting_lookup_string(root, "user", &user);
	config_setting_lookup_int(root, "key_port", &w->key_port);
	w->owner = getpwnam(user);
	snprintf(w->agent, sizeof(w->agent), "%s", string_of(root, "address"));
	w->esp = strcmp(protection, "none") != 0;
	w->payload = strcmp(string_of(root, "payload"), "esp") == 0;
	same = router_with(c, "name", w->t->name, &nth);
	if (same)
		return refuse("%s:%d: name: used before: tenant %s exists already", w->t->conf,
			config_setting_source_line(same), w->t->name);
	if (!tenant_text_find(w->text, -1, &w->list))
		return refuse(
			"%s: there is no list routers = ( ... ) to add to; an empty one will do",
			w->t->conf);
	if (w->esp && strcmp(protection, "esp") != 0)
		return refuse("%s: protection = \"%s\": secrets are made for \"esp\" only",
			w->t->conf, protection);
	if (!w->t->home)
		return choose_home(w, c);
	snprintf(w->home, sizeof(w->home), "%s", w->t->home);
	return 0;
}

/* What goes into files and on lines of other commands. */
static int check_name(const char *name)
{
	if (strlen(name) > NAME_MAX_SIZE)
		return refuse("\"%s\": a name has %d characters at most", name, NAME_MAX_SIZE);
	if (!*name || *name == '.' || *name == '-')
		return refuse("\"%s\" is no name for a tenant", name);
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return refuse("\"%s\": letters, digits, - . and _ make a name", name);
	return 0;
}

static int check_names(const struct tenant *t)
{
	if (check_name(t->name))
		return 1;
	for (const char *p = t->prefix; *p; p++)
		if (!isxdigit((unsigned char)*p) && !strchr(":./", *p))
			return refuse("\"%s\" is no prefix", t->prefix);
	for (const char *p = t->home ? t->home : ""; *p; p++)
		if (!isxdigit((unsigned char)*p) && !strchr(":.", *p))
			return refuse("\"%s\" is no address", t->home);
	return 0;
}

/* --- files --- */

static const char *const made[] = {".keys", ".seed", ".seed.img"};
#define N_MADE (sizeof(made) / sizeof(*made))

static char *made_path(const struct work *w, unsigned i, char path[PATH_MAX])
{
	return i == 0 ? keys_path(w, path) : path_of(w, made[i], path);
}

/* What is there already may be a router's that lives. */
static int check_free(const struct work *w)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < N_MADE; i++)
		if (faccessat(AT_FDCWD, made_path(w, i, path), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return refuse("%s exists already; remove it if no machine uses it", path);
	return 0;
}

/* 0, or 1 after a message: one command at a time, and it is not interrupted. */
static int begin(struct work *w)
{
	const char *slash = strrchr(w->t->conf, '/');
	char *folder = strdup(slash ? w->t->conf : ".");
	sigset_t set;

	w->lock = -1;
	w->conf = realpath(w->t->conf, NULL);
	if (slash)
		folder[slash == w->t->conf ? 1 : slash - w->t->conf] = '\0';
	slash = w->conf ? realpath(folder, NULL) : NULL;
	free(folder);
	if (!slash)
		return refuse("%s: %s", w->t->conf, strerror(errno));
	/* Absolute: the key file's name goes into the configuration. */
	if ((size_t)snprintf(w->dir, sizeof(w->dir), "%s", slash) >= sizeof(w->dir) ||
		(size_t)snprintf(w->fresh, sizeof(w->fresh), "%s.nemoctl", w->conf) >=
			sizeof(w->fresh))
		return refuse("%s: the path is too long", w->t->conf);
	free((char *)slash);
	folder = strdup(w->conf);
	*strrchr(folder, '/') = '\0';
	w->lock = open(*folder ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (w->lock < 0 || flock(w->lock, LOCK_EX) < 0)
		return refuse("%s: its folder can't be locked: %s", w->t->conf, strerror(errno));
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &w->mask);
	unlink(w->fresh); /* of one that was killed */
	return read_text(w);
}

static void end(struct work *w)
{
	if (w->lock >= 0) {
		close(w->lock);
		sigprocmask(SIG_SETMASK, &w->mask, NULL);
	}
	explicit_bzero(w->key, sizeof(w->key));
	free(w->conf);
	free(w->text);
}

static int make_key(struct work *w)
{
	uint8_t key[KEY_SIZE];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return refuse("no random numbers: %s", strerror(errno));
	for (unsigned i = 0; i < KEY_SIZE; i++)
		snprintf(w->key + 2 * i, 3, "%02x", key[i]);
	explicit_bzero(key, sizeof(key));
	return 0;
}

static FILE *create(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd >= 0)
		return fdopen(fd, "w");
	refuse("%s: %s", path, strerror(errno));
	return NULL;
}

static int finish(FILE *f, const char *path)
{
	bool bad = fflush(f) != 0 || fsync(fileno(f)) < 0;
	int e = bad ? errno : EIO; /* for one that was met before */

	bad |= ferror(f) != 0;
	bad |= fclose(f) != 0;
	return bad ? refuse("%s: %s", path, strerror(e)) : 0;
}

static int write_keys(const struct work *w)
{
	char path[PATH_MAX];
	FILE *f = create(keys_path(w, path), 0600);
	int r = 0;

	if (!f)
		return 1;
	/* The daemon reads it at a reload, when it is no longer root. */
	if (w->owner && geteuid() == 0 && fchown(fileno(f), w->owner->pw_uid, w->owner->pw_gid) < 0)
		r = refuse("%s: can't be %s's: %s", path, w->owner->pw_name, strerror(errno));
	fprintf(f, "psk %s %s\n", w->t->name, w->key);
	return finish(f, path) | r;
}

/* As user-data of NoCloud: the configuration, and the secret after its line (mr/image). */
static int write_seed(const struct work *w)
{
	char path[PATH_MAX];
	FILE *f = create(path_of(w, ".seed", path), 0600);

	if (!f)
		return 1;
	fprintf(f,
		"name = \"%s\";\nhome_address = \"%s\";\nhome_agents = ( \"%s\" );\n"
		"uplinks = ( { interface = \"eth0\"; } );\n"
		"networks = ( { prefix = \"%s\"; interface = \"eth1\"; } );\n",
		w->t->name, w->home, w->agent, w->t->prefix);
	if (w->payload)
		fputs("payload = \"esp\";\n", f);
	if (w->key_port)
		fprintf(f, "key_port = %d;\n", w->key_port);
	if (w->esp)
		fprintf(f, "keys = \"/run/nemo/nemo-mr.keys\";\n--- nemo-mr.keys\npsk %s %s\n",
			w->t->name, w->key);
	else
		fputs("protection = \"none\";\n", f);
	return finish(f, path);
}

static void write_router(const struct work *w, FILE *f)
{
	char keys[PATH_MAX];

	fprintf(f, "%.*s%s%.*s", (int)w->list.last, w->text, w->list.last ? "," : "",
		(int)(w->list.end - w->list.last), w->text + w->list.last);
	fprintf(f,
		"  { name = \"%s\"; home_address = \"%s\";\n    prefixes = ( \"%s\" ); tenant = "
		"\"%s\";",
		w->t->name, w->home, w->t->prefix, w->t->name);
	if (w->esp)
		fprintf(f, "\n    keys = \"%s\";", keys_path(w, keys));
	fprintf(f, " }\n%s", w->text + w->list.end);
}

static int write_conf(const struct work *w, bool with_router)
{
	FILE *f = create(w->fresh, 0600);
	int r = 0;

	if (!f)
		return 1;
	/* Also what the umask takes: the daemon is to read it as before. */
	if (fchown(fileno(f), w->st.st_uid, w->st.st_gid) < 0 ||
		fchmod(fileno(f), w->st.st_mode & 07777) < 0)
		r = refuse("%s: can't be given the owner and mode of %s: %s", w->fresh, w->t->conf,
			strerror(errno));
	if (with_router)
		write_router(w, f);
	else
		fputs(w->text, f);
	return finish(f, w->fresh) | r;
}

/* --- other programs --- */

/* Its exit code; 127: there is no such program. */
static int run(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/* Beside nemoctl (a build folder), as installed, or by PATH. */
static const char *find_daemon(char path[PATH_MAX])
{
	static const char *const places[] = {"nemo-ha", "../sbin/nemo-ha"};
	char self[PATH_MAX / 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		for (unsigned i = 0; i < 2; i++) {
			snprintf(path, PATH_MAX, "%s/%s", self, places[i]);
			if (access(path, X_OK) == 0)
				return path;
		}
	}
	return "nemo-ha";
}

static int check_conf(const char *conf)
{
	char path[PATH_MAX];
	char *argv[] = {(char *)find_daemon(path), "-t", "-c", (char *)conf, NULL};
	int code = run(argv);

	if (code == 127)
		return refuse("nemo-ha, which is to check the configuration, can't be run");
	return code ? 1 : 0;
}

static int replace_conf(const struct work *w)
{
	int r = check_conf(w->fresh);

	if (r == 0 && rename(w->fresh, w->conf) < 0)
		r = refuse("%s: %s", w->conf, strerror(errno));
	if (r == 0)
		fsync(w->lock);
	return r;
}

static void make_disk(const struct work *w)
{
	char disk[PATH_MAX], seed[PATH_MAX];
	char *mkfs[] = {"mkfs.vfat", "-n", "CIDATA", "-C", disk, SEED_KB, NULL};
	char *copy[] = {"mcopy", "-i", disk, seed, "::user-data", NULL};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out = dup(STDOUT_FILENO);
	mode_t mask = umask(077);

	path_of(w, ".seed", seed);
	path_of(w, ".seed.img", disk);
	setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	if (run(mkfs) == 0 && run(copy) == 0) {
		dup2(out, STDOUT_FILENO);
		printf("seed disk (NoCloud): %s\n", disk);
	} else {
		dup2(out, STDOUT_FILENO);
		unlink(disk);
		printf("no seed disk: mkfs.vfat (dosfstools) and mcopy (mtools) make one; "
		       "the seed is %s\n",
			seed);
	}
	umask(mask);
	close(null);
	close(out);
}

/* --- commands --- */

static int add(struct work *w)
{
	int (*const steps[])(const struct work *) = {write_keys, write_seed};
	char path[PATH_MAX];
	int r = w->esp ? make_key(w) : 0;

	for (unsigned i = w->esp ? 0 : 1; r == 0 && i < 2; i++)
		r = steps[i](w);
	if (r == 0)
		r = write_conf(w, true);
	if (r == 0)
		r = replace_conf(w);
	if (r == 0)
		return 0;
	unlink(w->fresh);
	for (unsigned i = 0; i < N_MADE; i++) /* none of them was there before */
		unlink(made_path(w, i, path));
	return refuse("nothing is changed");
}

int tenant_add(const struct tenant *t)
{
	struct work w = {.t = t, .lock = -1};
	config_t c = {0};
	int r = check_names(t);

	if (r == 0)
		r = begin(&w);
	if (r == 0) {
		r = parse(&w, &c);
		if (r == 0)
			r = look_up(&w, &c);
		config_destroy(&c);
	}
	if (r == 0)
		r = check_free(&w);
	if (r == 0)
		r = add(&w);
	if (r == 0) {
		printf("tenant %s: network %s, home address %s\n", t->name, t->prefix, w.home);
		make_disk(&w);
		printf("then: nemoctl ha reload, and start the virtual machine with this seed\n");
	}
	end(&w);
	return r;
}

/* Finds it in the text, and says whether its secret is the file that add makes. */
static int find(struct work *w, bool *keys)
{
	const config_setting_t *router;
	char path[PATH_MAX];
	config_t c;
	int nth, r = parse(w, &c);

	if (r == 0) {
		router = router_with(&c, "name", w->t->name, &nth);
		*keys = router && strcmp(string_of(router, "keys"), keys_path(w, path)) == 0;
		if (!router)
			r = refuse("%s: there is no router \"%s\"; nemoctl tenant list shows those "
				   "there are",
				w->t->conf, w->t->name);
		else if (!tenant_text_find(w->text, nth, &w->list) || !w->list.to)
			r = refuse("%s:%d: not in a list routers = ( ... ) of this file",
				w->t->conf, config_setting_source_line(router));
	}
	config_destroy(&c);
	return r;
}

int tenant_remove(const struct tenant *t)
{
	struct work w = {.t = t, .lock = -1};
	char path[PATH_MAX];
	bool keys = false;
	int r = check_name(t->name);

	if (r == 0)
		r = begin(&w);
	if (r == 0)
		r = find(&w, &keys);
	if (r == 0) {
		tenant_text_cut(w.text, &w.list);
		r = write_conf(&w, false);
		if (r == 0)
			r = replace_conf(&w);
		if (r) {
			unlink(w.fresh);
			refuse("nothing is changed");
		}
	}
	if (r == 0) {
		printf("tenant %s: no longer in %s\n", t->name, w.conf);
		for (unsigned i = keys ? 0 : 1; i < N_MADE; i++)
			if (unlink(made_path(&w, i, path)) == 0)
				printf("removed: %s\n", path);
			else if (errno != ENOENT)
				r = refuse("%s: %s: remove it", path, strerror(errno));
		printf("then: nemoctl ha reload, which ends its binding\n");
	}
	end(&w);
	return r;
}

static json_t *strings_of(const config_setting_t *group, const char *key)
{
	const config_setting_t *list = config_setting_get_member(group, key);
	json_t *out = json_array();
	const char *s;

	for (int i = 0; list && i < config_setting_length(list); i++)
		if ((s = config_setting_get_string_elem(list, i)))
			json_array_append_new(out, json_string(s));
	return out;
}

json_t *tenant_list(const char *conf)
{
	struct tenant t = {.conf = conf};
	struct work w = {.t = &t, .lock = -1};
	const config_setting_t *routers, *one;
	json_t *out = NULL;
	config_t c = {0};

	if (begin(&w) == 0 && parse(&w, &c) == 0) {
		routers = config_lookup(&c, "routers");
		out = json_array();
		for (int i = 0; routers && i < config_setting_length(routers); i++) {
			char path[PATH_MAX];

			one = config_setting_get_elem(routers, (unsigned)i);
			if (!config_setting_is_group(one))
				continue;
			t.name = string_of(one, "name");
			path_of(&w, ".seed", path);
			json_array_append_new(out,
				json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", t.name, "tenant",
					string_of(one, "tenant"), "home_address",
					string_of(one, "home_address"), "prefixes",
					strings_of(one, "prefixes"), "seed",
					access(path, F_OK) == 0 ? json_string(path) : json_null()));
		}
	}
	config_destroy(&c);
	end(&w);
	return out;
}
