/* tenant.c - a new mobile router: its line of the home agent's prefix table, its secret, and the
 * seed of its virtual machine.  What may be in a configuration is nemo-ha's to say. */
#include "common/ctl/tenant.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <pwd.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	char dir[PATH_MAX / 2];       /* of the configuration */
	char home[INET6_ADDRSTRLEN];  /* address */
	char agent[INET6_ADDRSTRLEN]; /* the home agent's */
	bool esp;                     /* with keys; else in clear */
	char key[2 * KEY_SIZE + 1];   /* hex */
	char *text;                   /* the configuration; owned */
	size_t end, last; /* of it: where the list 'routers' ends, and its last element; 0 = none */
	struct stat st;
	const struct passwd *owner; /* whom the daemon runs as; NULL: root */
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

/* --- the configuration's text --- */

/* Past a comment, a string or one character. */
static const char *skip(const char *p)
{
	const char *end = NULL;

	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (*p != '"')
		return p + 1;
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* Finds the end of the top level's list 'routers'. */
static bool find_list(struct work *w)
{
	bool in = false, named = false;
	int depth = 0;

	for (const char *p = w->text; *p;) {
		const char *next = skip(p);

		if (depth == 0 && strncmp(p, "routers", 7) == 0 && !isalnum((unsigned char)p[7]) &&
			(p == w->text || !isalnum((unsigned char)p[-1]))) {
			named = true;
			next = p + 7;
		} else if (strchr("({[", *p)) {
			depth++;
			in |= named && depth == 1 && *p == '(';
		} else if (strchr(")}]", *p)) {
			if (--depth == 0 && in) {
				w->end = (size_t)(p - w->text);
				return true;
			}
			if (depth == 1 && in)
				w->last = (size_t)(next - w->text);
		} else if (depth == 0 && *p == ';') {
			named = false;
		}
		p = next;
	}
	return false;
}

static int read_text(struct work *w)
{
	FILE *f = fopen(w->t->conf, "re");
	size_t size;

	if (!f || fstat(fileno(f), &w->st) < 0) {
		int e = errno;

		if (f)
			fclose(f);
		return refuse("%s: %s", w->t->conf, strerror(e));
	}
	w->text = calloc(1, (size_t)w->st.st_size + 1);
	size = w->text ? fread(w->text, 1, (size_t)w->st.st_size, f) : 0;
	fclose(f);
	if (size != (size_t)w->st.st_size)
		return refuse("%s: can't be read", w->t->conf);
	if (!find_list(w))
		return refuse(
			"%s: there is no list routers = ( ... ) to add to; an empty one will do",
			w->t->conf);
	return 0;
}

/* --- what is known --- */

static bool taken(const config_t *c, const char *home)
{
	config_setting_t *routers = config_lookup(c, "routers");
	struct in6_addr want, has;
	const char *s;

	inet_pton(AF_INET6, home, &want);
	for (int i = 0; routers && i < config_setting_length(routers); i++)
		if (config_setting_lookup_string(
			    config_setting_get_elem(routers, (unsigned)i), "home_address", &s) &&
			inet_pton(AF_INET6, s, &has) == 1 && memcmp(&has, &want, 16) == 0)
			return true;
	return false;
}

/* The first free address of the first home prefix, from ::1 on. */
static int choose_home(struct work *w, const config_t *c)
{
	config_setting_t *prefixes = config_lookup(c, "home_prefixes");
	const char *s = prefixes ? config_setting_get_string_elem(prefixes, 0) : NULL;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

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
		if (!taken(c, w->home) && strcmp(w->home, w->agent) != 0)
			return 0;
	}
	return refuse("no free home address in %s", s);
}

static int look_up(struct work *w)
{
	const char *address = "", *protection = "esp", *user = "nemo";
	bool marked = strncmp(w->text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;
	config_t c;
	int r = 0;

	config_init(&c);
	if (!config_read_string(&c, w->text + (marked ? strlen(BYTE_ORDER_MARK) : 0))) {
		r = refuse("%s:%d: %s", w->t->conf, config_error_line(&c), config_error_text(&c));
	} else {
		config_lookup_string(&c, "address", &address);
		config_lookup_string(&c, "protection", &protection);
		config_lookup_string(&c, "user", &user);
		w->owner = getpwnam(user);
		snprintf(w->agent, sizeof(w->agent), "%s", address);
		w->esp = strcmp(protection, "none") != 0;
		if (w->esp && strcmp(protection, "esp") != 0)
			r = refuse("%s: protection = \"%s\": secrets are made for \"esp\" only",
				w->t->conf, protection);
		else if (!w->t->home)
			r = choose_home(w, &c);
		else
			snprintf(w->home, sizeof(w->home), "%s", w->t->home);
	}
	config_destroy(&c);
	return r;
}

/* What goes into files and on lines of other commands. */
static int check_names(const struct tenant *t)
{
	if (!*t->name || strlen(t->name) > NAME_MAX_SIZE || *t->name == '.' || *t->name == '-')
		return refuse("\"%s\" is no name for a tenant", t->name);
	for (const char *p = t->name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return refuse("\"%s\": letters, digits, - . and _ make a name", t->name);
	for (const char *p = t->prefix; *p; p++)
		if (!isxdigit((unsigned char)*p) && !strchr(":./", *p))
			return refuse("\"%s\" is no prefix", t->prefix);
	for (const char *p = t->home ? t->home : ""; *p; p++)
		if (!isxdigit((unsigned char)*p) && !strchr(":.", *p))
			return refuse("\"%s\" is no address", t->home);
	return 0;
}

/* --- files --- */

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
	bool bad = ferror(f) || fflush(f) != 0 || fsync(fileno(f)) < 0;

	return fclose(f) != 0 || bad ? refuse("%s: can't be written", path) : 0;
}

static int write_keys(const struct work *w)
{
	char path[PATH_MAX];
	FILE *f = create(keys_path(w, path), 0600);

	if (!f)
		return 1;
	/* The daemon reads it at a reload, when it is no longer root. */
	if (w->owner && geteuid() == 0 && fchown(fileno(f), w->owner->pw_uid, w->owner->pw_gid) < 0)
		refuse("%s: %s", path, strerror(errno));
	fprintf(f, "psk %s %s\n", w->t->name, w->key);
	return finish(f, path);
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
	if (w->esp)
		fprintf(f, "keys = \"/run/nemo/nemo-mr.keys\";\n--- nemo-mr.keys\npsk %s %s\n",
			w->t->name, w->key);
	else
		fputs("protection = \"none\";\n", f);
	return finish(f, path);
}

static int write_conf(const struct work *w, const char *path)
{
	char keys[PATH_MAX];
	FILE *f = create(path, w->st.st_mode & 07777);

	if (!f)
		return 1;
	if (fchown(fileno(f), w->st.st_uid, w->st.st_gid) < 0)
		refuse("%s: %s", path, strerror(errno));
	fprintf(f, "%.*s%s%.*s", (int)w->last, w->text, w->last ? "," : "", (int)(w->end - w->last),
		w->text + w->last);
	fprintf(f,
		"  { name = \"%s\"; home_address = \"%s\";\n    prefixes = ( \"%s\" ); tenant = "
		"\"%s\";",
		w->t->name, w->home, w->t->prefix, w->t->name);
	if (w->esp)
		fprintf(f, "\n    keys = \"%s\";", keys_path(w, keys));
	fprintf(f, " }\n%s", w->text + w->end);
	return finish(f, path);
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
	return code ? refuse("refused, nothing is changed") : 0;
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

static int add(struct work *w, const char *fresh)
{
	char path[PATH_MAX];
	bool keys = false, seed = false;
	int r = w->esp ? make_key(w) : 0;

	if (r == 0 && w->esp) {
		r = write_keys(w);
		keys = r == 0;
	}
	if (r == 0) {
		r = write_seed(w);
		seed = r == 0;
	}
	if (r == 0)
		r = write_conf(w, fresh);
	if (r == 0)
		r = check_conf(fresh);
	if (r == 0 && rename(fresh, w->t->conf) < 0)
		r = refuse("%s: %s", w->t->conf, strerror(errno));
	if (r == 0)
		return 0;
	unlink(fresh);
	if (keys)
		unlink(keys_path(w, path));
	if (seed)
		unlink(path_of(w, ".seed", path));
	return r;
}

int tenant_add(const struct tenant *t)
{
	struct work w = {.t = t};
	const char *slash = strrchr(t->conf, '/');
	char fresh[PATH_MAX];
	int r = check_names(t);

	/* Absolute: the key file's name goes into the configuration. */
	if (r == 0 && !slash)
		r = refuse("%s: the whole path, please", t->conf);
	if (r)
		return r;
	snprintf(w.dir, sizeof(w.dir), "%.*s", (int)(slash - t->conf), t->conf);
	snprintf(fresh, sizeof(fresh), "%s.new", t->conf);
	r = read_text(&w);
	if (r == 0)
		r = look_up(&w);
	if (r == 0)
		r = add(&w, fresh);
	if (r == 0) {
		printf("tenant %s: network %s, home address %s\n", t->name, t->prefix, w.home);
		make_disk(&w);
		printf("then: nemoctl ha reload, and start the virtual machine with this seed\n");
	}
	explicit_bzero(w.key, sizeof(w.key));
	free(w.text);
	return r;
}
